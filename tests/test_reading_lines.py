"""Reading lines, rows and lines of JSON: as Python reads the whole, wherever the pieces end."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hashserver_aio.errors import BadArgument, BadContent, BadJson, HashserverError, RecordTooLong
from hashserver_aio.reading import MAX_RECORD_BYTES, JsonLines, Lines, Parameter, Reader, Rows
from hashserver_aio.reading.json_lines import read_json_lines
from hashserver_aio.reading.lines import ERRORS, read_lines
from hashserver_aio.reading.rows import read_rows

from .chunks import CUTS, chunked

TEXT = st.text(alphabet="a,;\"' \n\r\t\x0b\x0c\x1c\x85\u2028\0é€😀", max_size=60).map(str.encode)
BYTES = st.lists(
    st.sampled_from([b"a", b"\n", b"\r", b"\xe2", b"\x82", b"\xac", b"\xf0\x9f", b"\xff", b"\xed\xa0"])
)
BROKEN = BYTES.map(b"".join)
LENIENT = st.sampled_from(sorted(set(ERRORS) - {"strict", "surrogatepass"}))


def as_python(data: bytes, errors: str) -> io.TextIOWrapper:
    """Open bytes as Python opens a text file."""
    return io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", errors=errors)


@given(st.one_of(TEXT, BROKEN), CUTS, LENIENT)
@example(b"a\r\nb\rc\n\r", [], "ignore")
@example(b"\xe2\x82\xac\n", [], "ignore")
@example(b"a\r\xff\nb", [], "ignore")
@example(b"a\n\xff", [], "ignore")
def test_lines_are_those_of_python(data: bytes, cuts: Sequence[int], errors: str) -> None:
    """Lines are what a text file of Python has, whatever the bytes, the pieces and the errors."""
    read = list(read_lines(chunked(data, cuts), errors, MAX_RECORD_BYTES))
    assert read == [line.rstrip("\n") for line in as_python(data, errors)]


@given(st.one_of(TEXT, BROKEN), CUTS, st.sampled_from(["strict", "surrogatepass"]))
def test_strict_tells_what_is_wrong(data: bytes, cuts: Sequence[int], errors: str) -> None:
    """What Python can't decode is an error after the good lines; and nothing else is."""
    lines = read_lines(chunked(data, cuts), errors, MAX_RECORD_BYTES)
    good = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").splitlines()
    for raw in good:
        try:
            text = raw.decode("utf-8", errors)
        except UnicodeDecodeError:
            with pytest.raises(BadContent, match=r"line \d+: 'utf-8' codec can't decode"):
                next(lines)
            return
        assert next(lines) == text
    assert list(lines) == []


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"delimiter": ";"},
        {"quotechar": "'", "doublequote": False, "escapechar": "a"},
        {"skipinitialspace": True, "delimiter": "\t"},
        {"quoting": csv.QUOTE_NONE},
        {"strict": True},
    ],
    ids=str,
)
@given(TEXT, CUTS, st.sampled_from(csv.list_dialects()))
@example(b'a,"b\r\nc"\r\nd', [], "excel")
@example(b'"a\n', [1], "excel")
def test_rows_are_those_of_python(
    parameters: dict[str, Parameter], data: bytes, cuts: Sequence[int], dialect: str
) -> None:
    """Rows are those that `csv.reader` reads in a text file, also those in several lines; errors are too."""
    whole = csv.reader(as_python(data, "ignore"), dialect, **parameters)  # type: ignore[arg-type]  # any
    rows = read_rows(chunked(data, cuts), dialect, "ignore", parameters, MAX_RECORD_BYTES)
    while True:
        try:
            expected = next(whole, None)
        except csv.Error as error:
            with pytest.raises(BadContent, match="CSV error: line") as caught:
                next(rows)
            assert str(error) in str(caught.value)
            return
        assert next(rows, None) == expected
        if expected is None:
            return


def test_numbers_in_rows() -> None:
    """Fields that must be numbers are; one that is not is an error, as is text where only numbers may be."""
    rows = Rows(parameters={"quoting": csv.QUOTE_NONNUMERIC})
    assert list(rows.texts([b'1,"2",nan\n'], 0)) == ['[1.0,"2",{"$float":"nan"}]']
    with pytest.raises(BadContent, match="could not convert"):
        list(rows.texts([b"1,x\n"], 0))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(), st.lists, max_leaves=9
)
ONE_LINE = VALUES.map(lambda value: json.dumps(value, ensure_ascii=False).replace("\r", "\\r"))


@given(st.lists(st.one_of(ONE_LINE, st.sampled_from(["", " \t", "\u3000"]))), CUTS)
def test_lines_of_json(lines: list[str], cuts: Sequence[int]) -> None:
    """Each line that is not blank is one value, passed on as it is."""
    lines = [line.replace("Infinity", "1e999") for line in lines]  # the words of Python, not of JSON
    data = "\n".join(lines).encode("utf-8", "surrogatepass")
    read = list(read_json_lines(chunked(data, cuts), "surrogatepass", MAX_RECORD_BYTES))
    assert read == [line.strip() for line in lines if line.strip()]


@pytest.mark.parametrize("number", ["1" * 5000, "-" + "9" * 30, "1e999", "0." + "3" * 60])
def test_numbers_stay_as_they_are(number: str) -> None:
    """A number too long or too precise for Python goes through digit by digit."""
    assert list(JsonLines().texts([f"[{number}]\n".encode()], 0)) == [f"[{number}]"]


@pytest.mark.parametrize(
    "bad", ["NaN", "[Infinity]", "-Infinity", "[1,]", "1 2", "{1:2}", "\ufeff1", '"\t"', "{"]
)
def test_bad_json(bad: str) -> None:
    """The lines before a bad one are read; then it is told which one is bad, and where."""
    texts = JsonLines().texts([f"[1]\n\n{bad}\n[2]".encode()], 0)
    assert next(texts) == "[1]"
    with pytest.raises(BadJson, match=r"^Bad json line encountered: line 3, character \d+: "):
        next(texts)


def test_deep_json() -> None:
    """JSON that is nested more deeply than Python can follow is an error, not the end of the process."""
    with pytest.raises(BadJson, match="nested too deeply"):
        list(JsonLines().texts([b"[" * 200_000], 0))


@pytest.mark.parametrize("make", [Lines, Rows, JsonLines])
@given(st.lists(st.integers(0, 12), max_size=8), st.sampled_from(["\n", "\r", "\r\n"]), CUTS)
def test_long_lines(
    make: type[Lines | Rows | JsonLines], lengths: list[int], end: str, cuts: Sequence[int]
) -> None:
    """The lines before one that is too long are read; what is too long does not depend on the pieces."""
    data = end.join("1" * length for length in lengths).encode()
    fitting = next((index for index, length in enumerate(lengths) if length > 9), None)
    read, refusal = outcome(make(limit_bytes=9), chunked(data, cuts))
    everything, _ = outcome(make(), [data])
    if fitting is None:
        assert (read, refusal) == (everything, None)
    else:
        before, _ = outcome(
            make(), [end.join([*("1" * length for length in lengths[:fitting]), ""]).encode()]
        )
        assert (read, refusal) == (before, RecordTooLong)


@given(CUTS)
def test_long_rows(cuts: Sequence[int]) -> None:
    """A row may take no more than the limit in all its lines together."""
    data = b'"aa\na"\n' + b'"a\n\n\n\n\n\n\n"\n'
    assert outcome(Rows(limit_bytes=6), chunked(data, cuts)) == (['["aa\\na"]'], RecordTooLong)


def outcome(reader: Reader, pieces: list[bytes]) -> tuple[list[str], type[Exception] | None]:
    """Read until the end, or an error."""
    read: list[str] = []
    try:
        read.extend(reader.texts(pieces, sum(map(len, pieces))))
    except HashserverError as error:
        return read, type(error)
    return read, None


@pytest.mark.parametrize("errors", ["", "xmlcharrefreplace", "namereplace", "Strict"])
def test_unknown_errors(errors: str) -> None:
    """What can't be done with bad bytes is refused before anything is read, with what can."""
    for make in (Lines, Rows, JsonLines):
        with pytest.raises(BadArgument, match=r"use one of ignore, replace, "):
            make(errors=errors)


@pytest.mark.parametrize("limit", [0, -1, MAX_RECORD_BYTES + 1])
def test_impossible_limits(limit: int) -> None:
    """Nobody may ask for records without bound."""
    with pytest.raises(BadArgument, match="is not from 1 to"):
        Lines(limit_bytes=limit)


def test_unknown_dialect() -> None:
    """An unknown dialect is refused with the known ones, in the words that clients know."""
    with pytest.raises(BadArgument, match=r"^Invalid CSV dialect, use one of \['excel', "):
        Rows(dialect="lotus")


@pytest.mark.parametrize(
    "parameters",
    [
        {"delimiter": "ab"},
        {"quotechar": ""},
        {"foo": 1},
        {"quoting": 99},
        {"quoting": "all"},
        {"escapechar": 5},
    ],
    ids=str,
)
def test_bad_format_parameters(parameters: dict[str, Parameter]) -> None:
    """What Python's csv refuses is refused before anything is read."""
    with pytest.raises(BadArgument, match=r"^Invalid csv format parameter: "):
        Rows(parameters=parameters)
