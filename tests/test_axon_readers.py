"""Reading inside buffers over HTTP: every value on a line, and a last line that says that it was the last."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import json
import logging
import os
import struct
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]  # it has no types
import pytest
from aiohttp import ClientError

from hashserver_aio.errors import StoreFailed
from hashserver_aio.reading.apart import SHORT_BYTES, Readers
from hashserver_aio.server.keys import READERS

from .axon import ABSENT, API, refusal, result, sha256
from .conftest import Client
from .peers import until
from .processes import children

END: dict[str, Any] = {"end": {}}


async def put(client: Client, body: bytes) -> str:
    """Store a buffer; its SHA-256."""
    await result(await client.put(f"{API}/files/put", data=io.BytesIO(body)))
    return sha256(body)


async def ask(client: Client, what: str, name: str, **query: str) -> tuple[int, list[Any]]:
    """Read in a buffer: the status, and each line of the answer."""
    async with client.get(f"{API}/{what}/{name}", params=query) as answer:
        lines = (await answer.read()).decode().removesuffix("\n").split("\n")
        return answer.status, [json.loads(line) for line in lines]


CASES = [
    ("readlines", {}, "aé\r\nb\rc\n".encode(), ["aé", "b", "c"]),
    ("readlines", {"errors": "replace"}, b"a\xff\n", ["a\ufffd"]),
    ("readlines", {"errors": "surrogateescape"}, b"a\xff\n", ["a\udcff"]),
    ("csvrows", {}, b'a,"b\r\nc"\r\nd\n', [["a", "b\nc"], ["d"]]),
    ("csvrows", {"delimiter": "\t", "quotechar": "'"}, b"a\t'b\tc'\n", [["a", "b\tc"]]),
    ("csvrows", {"dialect": "excel-tab"}, b"a\tb\n", [["a", "b"]]),
    ("csvrows", {"quoting": "none", "quotechar": ""}, b'"a",b\n', [['"a"', "b"]]),
    ("csvrows", {"quoting": "2", "skipinitialspace": "true"}, b'1, "x"\n', [[1.0, "x"]]),
    ("csvrows", {"doublequote": "false", "escapechar": "\\"}, b'"a\\"b",c\n', [['a"b', "c"]]),
    ("jsonlines", {}, b'{"a": [1, null]}\n\n"x"\n', [{"a": [1, None]}, "x"]),
    ("iterMpkFile", {}, msgpack.packb([1, b"x", None]) * 2, [[1, {"$bytes": "eA=="}, None]] * 2),
]


@pytest.mark.parametrize("count", [1, 10_000])
@pytest.mark.parametrize(("what", "query", "body", "items"), CASES)
async def test_reading(
    client: Client, what: str, query: dict[str, str], body: bytes, items: list[Any], count: int
) -> None:
    """What is read in a short buffer and in a long one are lines with an item each, and the end."""
    name = await put(client, body * count)
    assert count == 1 or len(body) * count > SHORT_BYTES
    assert await ask(client, what, name, **query) == (200, [{"item": item} for item in items] * count + [END])


async def test_empty(client: Client) -> None:
    """An empty buffer has nothing in it, and an end."""
    assert await ask(client, "readlines", await put(client, b"")) == (200, [END])


async def test_headers(client: Client) -> None:
    """A stream is lines of JSON that nobody keeps; HEAD is not for streams."""
    path = f"{API}/readlines/{await put(client, b'a')}"
    async with client.get(path) as answer:
        assert answer.headers["Content-Type"] == "application/x-ndjson"
        assert answer.headers["Cache-Control"] == "no-store"
    async with client.head(path) as answer:
        assert answer.status == 405


@pytest.mark.parametrize("form", ["gzip", "plain"])
@pytest.mark.parametrize("count", [10, 100_000])
async def test_compressed_buffers(client: Client, form: str, count: int) -> None:
    """What is inside a buffer is the same if it is held compressed."""
    body = b"0123456789abcde\n" * count
    data, coding = (gzip.compress(body), {"Content-Encoding": "gzip"}) if form == "gzip" else (body, {})
    name = hashlib.sha3_256(body).hexdigest()
    async with client.put(f"/{name}", data=io.BytesIO(data), headers=coding) as answer:
        assert answer.status == 200
    status, lines = await ask(client, "readlines", sha256(body))
    assert (status, len(lines), lines[-1]) == (200, count + 1, END)
    offset = len(body) - 5
    unpacked = [{"status": "ok", "result": [{"$bytes": "YmNk"}]}]
    assert await ask(client, "unpack", sha256(body), fmt="3s", offs=str(offset)) == (200, unpacked)


async def test_unpack(client: Client) -> None:
    """A struct is one answer with all its values."""
    name = await put(client, struct.pack(">Hdi", 7, float("inf"), -1) * 2)
    result = [{"status": "ok", "result": [7, {"$float": "inf"}, -1]}]
    for offset in (0, 14):
        assert await ask(client, "unpack", name, fmt=">Hdi", offs=str(offset)) == (200, result)
    for offset, rest in ((15, 13), (28, 0), (10**18, 0), (2**62, 0)):
        answer = await client.get(f"{API}/unpack/{name}", params={"fmt": ">Hdi", "offs": offset})
        wrong = f"Expected 14 bytes but got {rest} bytes"
        assert await refusal(answer) == (400, "BadDataValu", wrong)


REFUSED = [
    ("readlines", {"errors": "xx"}, "errors='xx' is not known, use one of ignore, "),
    ("readlines", {"error": "strict"}, "'error' is not known here, use errors, limit"),
    ("readlines", {"limit": "0"}, "limit=0 is not from 1 to 16777216 bytes"),
    ("readlines", {"limit": "16777217"}, "limit=16777217 is not"),
    ("readlines", {"limit": "many"}, "limit is a whole number"),
    ("csvrows", {"dialect": "lotus"}, "Invalid CSV dialect, use one of ['excel', "),
    ("csvrows", {"delimiter": "ab"}, "Invalid csv format parameter: "),
    ("csvrows", {"quotechar": ""}, "Invalid csv format parameter: "),
    ("csvrows", {"newp": "1"}, "Invalid csv format parameter: "),
    ("csvrows", {"strict": "maybe"}, "strict is true or false"),
    ("csvrows", {"quoting": "some"}, "quoting is a whole number"),
    ("iterMpkFile", {"errors": "ignore"}, "'errors' is not known here, use limit"),
    ("unpack", {}, "Struct format reads nothing"),
    ("unpack", {"fmt": "y"}, "Failed to unpack bytes with format y: "),
    ("unpack", {"fmt": "2000000s"}, "Struct format would read too much data: 2000000 bytes"),
    ("unpack", {"fmt": "I", "offs": "-1"}, "offs is a whole number"),
]


@pytest.mark.parametrize(("what", "query", "message"), REFUSED)
async def test_bad_arguments(client: Client, what: str, query: dict[str, str], message: str) -> None:
    """What makes no sense is refused, and it is said what would."""
    answer = await client.get(f"{API}/{what}/{await put(client, b'a,b')}", params=query)
    status, code, mesg = await refusal(answer)
    assert (status, code) == (400, "BadArg")
    assert mesg.startswith(message)


@pytest.mark.parametrize("what", ["readlines", "csvrows", "jsonlines", "iterMpkFile", "unpack"])
async def test_absent_buffers(client: Client, what: str) -> None:
    """What is not held is 404, and what is no name, in the words of the face."""
    query = {"fmt": "I"} if what == "unpack" else {}
    absent = await client.get(f"{API}/{what}/{ABSENT}", params=query)
    assert await refusal(absent) == (404, "NoSuchFile", f"SHA-256 not found: {ABSENT}")
    bad = await client.get(f"{API}/{what}/xyz", params=query)
    assert await refusal(bad) == (404, "BadArg", "Hash is not a SHA-256: xyz")


BAD = [
    ("jsonlines", {}, b"[1]\n", b"[NaN]\n", "BadJsonText"),
    ("readlines", {"errors": "strict"}, b"a\n", b"\xff\n", "BadDataValu"),
    ("readlines", {"limit": "3"}, b"abc\n", b"abcd\n", "BadDataValu"),
    ("csvrows", {"strict": "1"}, b"a,b\n", b'"a"b\n', "BadDataValu"),
    ("iterMpkFile", {}, b"\x93\1\2\3", b"\xc1", "BadDataValu"),
]


@pytest.mark.parametrize("count", [0, 1, 50_000])
@pytest.mark.parametrize(("what", "query", "good", "bad", "code"), BAD)
async def test_bad_content(
    client: Client, what: str, query: dict[str, str], good: bytes, bad: bytes, code: str, count: int
) -> None:
    """All that is good comes first, then a line that says what is wrong; if there is nothing good, the
    answer is an error as a whole."""
    status, lines = await ask(client, what, await put(client, good * count + bad), **query)
    if count == 0:
        assert (status, lines[0]["status"], lines[0]["code"]) == (400, "err", code)
        return
    assert (status, len(lines), {"item"}) == (200, count + 1, {key for line in lines[:-1] for key in line})
    assert lines[-1]["error"]["code"] == code


def open_buffers(directory: Path) -> set[str]:
    """Name the buffers that this process has open."""
    names = set()
    for path in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            names.add(os.readlink(path))
    return {name for name in names if name.startswith(str(directory)) and ".hashserver-aio" not in name}


async def test_a_client_that_leaves(client: Client, directory: Path) -> None:
    """When the client is gone, so are the process that read for it and the open file."""
    name = await put(client, b"some line\n" * 3_000_000)
    before = children()
    answer = await client.get(f"{API}/readlines/{name}")
    assert (await answer.content.readline()) == b'{"item":"some line"}\n'
    await asyncio.sleep(0.2)  # it sleeps for now
    assert open_buffers(directory) and children() - before
    answer.close()
    await until(lambda: not open_buffers(directory) and not children() - before, within_s=10)
    assert len(client.server.app[READERS].places) == 0  # type: ignore[attr-defined]  # the test server's own


async def test_too_many(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """When as many buffers are read as may be, the next one is told to come again, which is no trouble of the
    server's; a short one is read."""
    client.server.app[READERS].places.most = 0  # type: ignore[attr-defined]  # the test server's own
    async with client.get(f"{API}/readlines/{await put(client, b'x' * 100_000)}") as answer:
        assert (await refusal(answer))[:2] == (503, "Busy")
        assert answer.headers["Retry-After"] == "5"
    assert not [record for record in caplog.records if record.levelno > logging.INFO]
    assert await ask(client, "readlines", await put(client, b"x")) == (200, [{"item": "x"}, END])


async def test_a_buffer_that_is_cut_under_way(client: Client, directory: Path) -> None:
    """A stream of a file that was cut ends without an end, never with half a line for a whole one."""
    body = b"some line" * 100 + b"\n"
    whole = b'{"item":"%b"}\n' % body[:-1]
    body *= 30_000
    name = await put(client, body)
    answer = await client.get(f"{API}/readlines/{name}")
    checksum = hashlib.sha3_256(body).hexdigest()
    path = directory / checksum[:2] / checksum
    path.chmod(0o600)
    os.truncate(path, len(body) // 2 + 3)
    lines = []
    with suppress(ClientError):  # hung up on
        async for line in answer.content:
            lines.append(line)
    assert {line for line in lines if line.endswith(b"\n") and not line.startswith(b'{"error')} == {whole}
    assert lines and not any(b'"end"' in line for line in lines)


@pytest.mark.parametrize(("batch", "is_ended"), [(b'{"item":"so', False), (b'{"item":"some line"}\n', True)])
async def test_half_a_line(
    client: Client, monkeypatch: pytest.MonkeyPatch, batch: bytes, is_ended: bool
) -> None:
    """What goes wrong is told on a line of its own; inside a line only hanging up tells."""

    async def read(*_: object, **_named: object) -> AsyncGenerator[bytes, None]:
        yield batch
        raise StoreFailed("the disk is gone")

    monkeypatch.setattr(Readers, "read", read)
    answer = await client.get(f"{API}/readlines/{await put(client, b'some line')}")
    if is_ended:
        error = b'{"error":{"code":"StoreFailed","mesg":"the disk is gone"}}\n'
        assert await answer.read() == batch + error
    else:
        with pytest.raises(ClientError):
            await answer.read()
