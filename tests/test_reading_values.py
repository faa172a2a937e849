"""Reading msgpack and structs, and wording what they hold as JSON."""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Sequence
from itertools import chain, repeat
from typing import Any

import msgpack  # type: ignore[import-untyped]  # it has no types
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hashserver_aio.errors import BadArgument, BadContent, HashserverError, RecordTooLong
from hashserver_aio.reading import MAX_RECORD_BYTES, JsonLines, Lines, Messages, Reader, Rows, Struct
from hashserver_aio.reading.wording import to_bytes

from .chunks import CUTS, chunked

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats().map(lambda real: real if real == real else math.nan)  # there are many; one is enough
    | st.binary()
    | st.text(alphabet=st.characters(categories=["L", "Cc", "Cs"]))
    | st.builds(msgpack.ExtType, st.integers(2, 127), st.binary(max_size=9))
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.binary() | st.integers(0, 9) | st.just("$a"), inner)
    ),
    max_leaves=12,
)


def packed(value: object) -> bytes:
    """Pack as clients do."""
    data: bytes = msgpack.packb(value, use_bin_type=True, unicode_errors="surrogatepass")
    return data


def unworded(value: Any) -> Any:
    """Take back what the words of JSON were made of, as the documentation describes them."""
    if isinstance(value, list):
        return [unworded(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    match list(value.items()):
        case [("$bytes", text)]:
            return base64.b64decode(text)
        case [("$float", text)]:
            return float(text)
        case [("$ext", [code, text])]:
            return msgpack.ExtType(code, base64.b64decode(text))
        case [("$map", pairs)]:
            return {unworded(key): unworded(inner) for key, inner in pairs}
    return {key: unworded(inner) for key, inner in value.items()}


def is_same(one: Any, other: Any) -> bool:
    """Compare, NaN with NaN included."""
    return bool(packed(one) == packed(other))


@given(st.lists(VALUES, max_size=4), CUTS)
def test_values_are_those_of_msgpack(values: list[object], cuts: Sequence[int]) -> None:
    """Every value that msgpack has is read, wherever the pieces end, and nothing of it is lost in JSON."""
    data = b"".join(map(packed, values))
    texts = list(Messages().texts(chunked(data, cuts), len(data)))
    assert not any("\n" in text for text in texts)
    read = [unworded(json.loads(to_bytes(text))) for text in texts]
    assert len(read) == len(values)
    assert all(map(is_same, read, values))


@given(st.lists(VALUES, min_size=1, max_size=3), CUTS, st.integers(1, 40))
def test_cut_off(values: list[object], cuts: Sequence[int], missing: int) -> None:
    """A file that ends inside a value gives the values before it, and an error."""
    whole = [packed(value) for value in values]
    data = b"".join(whole)[: -min(missing, len(whole[-1]))]
    cut_at = len(b"".join(whole[:-1]))
    texts = Messages().texts(chunked(data, cuts), len(data))
    assert len([next(texts) for _ in whole[:-1]]) == len(values) - 1
    if len(data) == cut_at:
        assert next(texts, None) is None
    else:
        with pytest.raises(BadContent, match=f"begins at byte {cut_at} is cut off"):
            next(texts)


@pytest.mark.parametrize("number", [2**64, 2**200 + 1, -(2**63) - 1, -(2**300)])
def test_integers_past_64_bits(number: int) -> None:
    """They are numbers in JSON: extension 0 without a sign, 1 with one."""
    data = number.to_bytes(number.bit_length() // 8 + 1, "big", signed=number < 0)
    message = packed(msgpack.ExtType(number < 0, data))
    assert list(Messages().texts([message], len(message))) == [str(number)]


def test_a_number_too_long_to_word() -> None:
    """An integer of more digits than Python words stays the extension that it is."""
    message = packed(msgpack.ExtType(0, b"\xff" * 2000))
    (text,) = Messages().texts([message], len(message))
    assert unworded(json.loads(text)) == msgpack.ExtType(0, b"\xff" * 2000)


def test_time() -> None:
    """msgpack's own time stays what it is: its extension -1."""
    message = packed(msgpack.Timestamp(1, 5))
    (text,) = Messages().texts([message], len(message))
    assert json.loads(text) == {"$ext": [-1, base64.b64encode(msgpack.Timestamp(1, 5).to_bytes()).decode()]}


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (b"\xc1", "no msgpack"),
        (b"\xa1\xff", "can't decode"),
        (b"\x91" * 5000 + b"\x01", "nested too deeply"),
        (b"\x91" * 900 + b"\x01" * 10, None),
        (b"\xc7\x05\xff12345", "timestamp"),
        (b"\xdd\xff\xff\xff\xff", "cut off"),
        (b"\xdf\x00\xff\xff\xff" * 100, "cut off"),
    ],
)
def test_bad_msgpack(bad: bytes, why: str | None) -> None:
    """What is no msgpack is told as that, after what was read before it; nothing is taken at its word
    that says it is longer than the file."""
    data = b"\x01" + bad
    texts = Messages().texts([data], len(data))
    assert next(texts) == "1"
    if why is None:
        assert len(list(texts)) == 10
        return
    with pytest.raises(BadContent, match=why) as caught:
        next(texts)
    assert "byte 1" in str(caught.value)


@given(st.lists(st.integers(0, 20), max_size=6), CUTS, st.booleans())
@example([5, 20], [], False)
def test_long_values(lengths: list[int], cuts: Sequence[int], flat: bool) -> None:
    """The values before one that is too long are read; what is too long does not depend on the pieces."""
    whole = [packed(b"x" * length if flat else [1] * length) for length in lengths]
    data = b"".join(whole)
    fitting = next((index for index, one in enumerate(whole) if len(one) > 12), len(whole))
    read: list[str] = []
    try:
        read.extend(Messages(limit_bytes=12).texts(chunked(data, cuts), len(data)))
    except HashserverError as error:
        assert isinstance(error, RecordTooLong)
        assert f"byte {len(b''.join(whole[:fitting]))} is longer than 12 bytes" in str(error)
        assert len(read) == fitting < len(whole)
    else:
        assert len(read) == fitting == len(whole)


ENDLESS = [
    (Lines(limit_bytes=10_000), b"1", b"1"),
    (Rows(limit_bytes=10_000), b'"', b"1\n"),
    (JsonLines(limit_bytes=10_000), b"[", b"[],"),
    (Messages(limit_bytes=10_000), b"\xdd\0\0\x27\x10", b"\xa3abc"),
]


@pytest.mark.parametrize(("reader", "begin", "more"), ENDLESS, ids=lambda value: getattr(value, "name", ""))
def test_endless_records(reader: Reader, begin: bytes, more: bytes) -> None:
    """Of a record without an end no more is read, and held, than one may have."""
    pieces = chain([begin], repeat(more * 100, 1000))
    with pytest.raises(RecordTooLong):
        list(reader.texts(pieces, 10**12))
    read = 1000 - sum(1 for _ in pieces)
    assert read * 100 * len(more) <= 11_000


@given(st.integers(-(2**31), 2**31 - 1), st.floats(), st.binary(min_size=3, max_size=3), CUTS)
def test_structs(number: int, real: float, raw: bytes, cuts: Sequence[int]) -> None:
    """What Python packed is unpacked, wherever the pieces end."""
    data = struct.pack("<id3s?", number, real, raw, True)
    (text,) = Struct("<id3s?").texts(chunked(data, cuts), len(data))
    read = unworded(json.loads(text))
    assert read[0] == number and (read[1] == real or math.isnan(real)) and read[2:] == [raw, True]


def test_struct_past_the_end() -> None:
    """A buffer too short is told in the words that clients know."""
    with pytest.raises(BadContent, match=r"^Expected 4 bytes but got 3 bytes$"):
        list(Struct("<I").texts([b"abc"], 3))


@pytest.mark.parametrize(
    ("fmt", "why"),
    [
        ("y", "Failed to unpack bytes with format y: bad char"),
        ("é", "Failed to unpack"),
        ("1048577x", "would read too much data: 1048577 bytes"),
        ("999999999999999999999x", "Failed to unpack"),
        ("", "reads nothing"),
        ("0s", "reads nothing"),
    ],
)
def test_bad_formats(fmt: str, why: str) -> None:
    """A format that is none, or describes too much or nothing, is refused before anything is read."""
    with pytest.raises(BadArgument, match=why):
        Struct(fmt)


@pytest.mark.parametrize("text", ['"\ud800"', '["\udcff€"]'])
def test_half_a_character(text: str) -> None:
    """Half of a surrogate pair, which UTF-8 has not, is escaped as JSON does it."""
    assert json.loads(to_bytes(text)) == json.loads(text)


def test_limits_have_a_limit() -> None:
    """Nobody may ask for values without bound."""
    with pytest.raises(BadArgument):
        Messages(limit_bytes=MAX_RECORD_BYTES + 1)
