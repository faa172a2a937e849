"""Long lists of names: parsed in slices, with the answers of a parse of the whole."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import random
import secrets
import time

import pytest

from hashserver_aio.errors import BadChecksum, BadNameList
from hashserver_aio.server import name_lists
from hashserver_aio.server.name_lists import MAX_LIST_BYTES, SLICE_BYTES, parse_names

from .conftest import Client

_DICE = random.Random(1)
NAMES = [_DICE.randbytes(32).hex() for _ in range(5_000)]
LIST = json.dumps(NAMES).encode()


def test_the_list_is_long() -> None:
    """The list of these tests is cut several times."""
    assert len(LIST) > 5 * SLICE_BYTES


@pytest.mark.parametrize("separators", [(", ", ": "), (",", ":"), (" ,\n\t ", ":")])
async def test_whatever_the_space(separators: tuple[str, str]) -> None:
    """A list is the same however its names are set apart."""
    body = json.dumps(NAMES, separators=separators).encode()
    assert await parse_names(b"\r\n " + body + b" \t\n") == NAMES


async def test_every_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever slices end, no name is lost, doubled or moved."""
    body = json.dumps(NAMES[:7]).encode()
    for size in range(1, len(body)):
        monkeypatch.setattr(name_lists, "SLICE_BYTES", size)
        assert await parse_names(body) == NAMES[:7]


async def test_unusual_names() -> None:
    """Upper case and escaped digits are accepted, as in a short list."""
    unusual = [NAMES[0].upper(), *NAMES[1:]]
    body = json.dumps(unusual).replace(NAMES[-1], "".join(f"\\u{ord(digit):04x}" for digit in NAMES[-1]))
    assert await parse_names(body.encode()) == NAMES


@pytest.mark.parametrize("index", [0, 1, 2_500, 4_999])
@pytest.mark.parametrize("bad", ["x" * 64, "12", "", 7, None, ["a" * 64], {"a": "b"}, "a,b" * 22, '","' * 22])
async def test_first_bad_name(index: int, bad: object) -> None:
    """A bad name is told with its index, wherever it stands."""
    names: list[object] = list(NAMES)
    names[index] = bad
    with pytest.raises(BadChecksum) as caught:
        await parse_names(json.dumps(names).encode())
    assert (caught.value.index, caught.value.text) == (index, bad)


@pytest.mark.parametrize(
    "body",
    [
        LIST[:-1],
        LIST[1:],
        LIST[:-1] + b",]",
        LIST[:-1] + b", ]",
        b"[," + LIST[1:],
        LIST.replace(b",", b",,", 1),
        LIST.replace(b",", b" ", 1),
        LIST + b"]",
        LIST + LIST,
        b"[" * 200_000 + b"a" * 15_000_000,
        LIST[:-1] + b"\x00]",
        LIST[:-1] + b"\xff]",
        b'"' + LIST[1:-1] + b'"',
    ],
    ids=lambda body: f"{body[:3]!r}..{body[-6:]!r}",
)
async def test_no_json(body: bytes) -> None:
    """What is no JSON as a whole is refused, also where every slice of it would pass."""
    with pytest.raises(BadNameList, match="JSON decode error"):
        await parse_names(body)


@pytest.mark.parametrize("value", [{"a": NAMES}, " " * 100_000, None])
async def test_no_list(value: object) -> None:
    """Another JSON value is no list, however long."""
    body = json.dumps(value).encode() + b" " * 100_000
    with pytest.raises(BadNameList, match="valid list"):
        await parse_names(body)


async def test_empty_list_with_much_space() -> None:
    """An empty list is one however long it is."""
    assert await parse_names(b"[" + b" " * 200_000 + b"]") == []


async def test_others_have_a_turn() -> None:
    """While the longest list is parsed, the event loop goes on."""
    body = json.dumps([secrets.token_hex(32)] * (MAX_LIST_BYTES // 68)).encode()
    gaps = [time.monotonic()]

    async def look() -> None:
        while True:
            await asyncio.sleep(0)
            gaps.append(time.monotonic())

    looking = asyncio.create_task(look())
    assert len(await parse_names(body)) == MAX_LIST_BYTES // 68
    looking.cancel()
    assert len(gaps) > len(body) // SLICE_BYTES


async def test_long_lists_are_answered_like_short_ones(client: Client) -> None:
    """The answer to 20,000 names is that to each of them."""
    names = [secrets.token_hex(32) for _ in range(20_000)]
    body = b"hello"
    held = hashlib.sha3_256(body).hexdigest()
    assert (await client.put(f"/{held}", data=body)).status == 200
    assert (await client.put(f"/promise/{names[7]}")).status == 202
    names[12_345] = held

    async def asked(route: str) -> list[object]:
        answer = await client.post(route, data=io.BytesIO(json.dumps(names).encode()))
        answers: list[object] = await answer.json()
        return answers

    expected = [index in (7, 12_345) for index in range(20_000)]
    assert await asked("/has") == expected
    expected[7] = False
    assert await asked("/has-now") == expected
    lengths = await asked("/buffer-length")
    assert [lengths.pop(12_345), lengths.pop(7)] == [5, True] and set(lengths) == {0}
