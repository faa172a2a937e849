"""The client's verbs, each against a real server."""

from __future__ import annotations

import asyncio
import hashlib
import json
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]  # it has no types
import pytest
from aiohttp import ClientSession, web

from hashserver_aio import Client
from hashserver_aio.checksums import Algorithm
from hashserver_aio.errors import (
    AddressRefused,
    BadArgument,
    BadChecksum,
    BadContent,
    BufferNotFound,
    BufferTooLarge,
    ChecksumMismatch,
    DigestMismatch,
    NotPermitted,
    ReadOnly,
    UploadCut,
)

from .clients import LONG, files_in, name, sha256
from .conftest import Connect
from .fetches import target

ABSENT = "ab" * 32
BODIES = {"empty": b"", "small": b"hello", "long": LONG}


@pytest.fixture
async def ours(connect: Connect) -> Client:
    """A client of ours, of a writable server on an empty directory."""
    return await connect()


@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_put_and_get(connect: Connect, algorithm: Algorithm, body: bytes) -> None:
    """A buffer comes back as it went in, under either of its names; put again, it is not new."""
    client = await connect(algorithm=algorithm)
    assert await client.algorithm() is algorithm
    own = name(body) if algorithm is Algorithm.SHA3_256 else sha256(body)
    assert not await client.has(own)
    assert [await client.put(body), await client.put(body)] == [(own, True), (own, False)]
    assert (await client.get(own), await client.get(own.upper())) == (body, body)
    assert await client.get(sha256(body), algorithm="sha-256") == body
    held = await client.stat(own)
    assert (held.name, held.size, held.sha256) == (own, len(body), sha256(body)) and held.modified


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_put_by_sha256(ours: Client, body: bytes) -> None:
    """Who knows no more than a SHA-256 can put, ask, get and delete a buffer by it."""
    by: dict[str, Any] = {"algorithm": "sha-256"}
    assert await ours.put(body, **by) == (sha256(body), True)
    assert await ours.put(body, name=sha256(body), **by) == (sha256(body), False)
    assert await ours.has([sha256(body), ABSENT], **by) == [True, False]
    assert (await ours.stat(sha256(body), **by)).size == len(body)
    assert [await ours.remove(sha256(body), **by) for _ in range(2)] == [True, False]


async def test_kinds_of_data(ours: Client, tmp_path: Path) -> None:
    """Bytes, a file, or what a function gives are put alike; each byte that goes out is told."""
    path, told = tmp_path / "file", list[tuple[int, int | None]]()
    path.write_bytes(LONG)

    async def pieces() -> AsyncIterator[bytes]:
        for begin in range(0, len(LONG), 100_000):
            yield LONG[begin : begin + 100_000]
            yield b""

    for data in (LONG, path, pieces):
        stored = await ours.put(data, progress=lambda *now: told.append(now))
        assert (stored, await ours.remove(stored.name)) == ((name(LONG), True), True)
        assert told[-1] == (len(LONG), len(LONG)) and told == sorted(told)
        told.clear()
    assert await ours.upload(path) == (name(LONG), True)
    assert await ours.download(name(LONG), tmp_path / "copy", progress=lambda *now: told.append(now)) == len(
        LONG
    )
    assert (tmp_path / "copy").read_bytes() == LONG and told[-1] == (len(LONG), len(LONG))
    assert await ours.put(pieces, name=name(LONG), size=None) == (name(LONG), False)


async def test_wrong_names(ours: Client) -> None:
    """What does not hash to the name it is given is not stored; what is no name is not asked for."""
    with pytest.raises(ChecksumMismatch):
        await ours.put(b"hello", name=ABSENT)
    with pytest.raises(DigestMismatch):
        await ours.put(LONG, name=ABSENT, algorithm="sha-256")
    assert (await ours.metrics())["file:count"] == 0
    for wrong in ("", "ab" * 31, "zz" * 32, "../" * 20):
        for ask in (ours.get, ours.has, ours.remove, ours.stat, ours.promise, ours.size, ours.del_):
            with pytest.raises(BadChecksum):
                await ask(wrong)
    with pytest.raises(BadArgument):
        await ours.get(ABSENT, algorithm="md5")


async def test_absent(ours: Client, tmp_path: Path) -> None:
    """What is absent is told as such by each verb, and leaves no file behind."""
    for ask in (ours.get, ours.stat, ours.hashset):
        with pytest.raises(BufferNotFound, match=ABSENT):
            await ask(ABSENT)
    with pytest.raises(BufferNotFound):
        await ours.download(ABSENT, tmp_path / "file")
    assert files_in(tmp_path) == ["buffers"]
    assert (await ours.size(ABSENT), await ours.remove(ABSENT), await ours.del_(ABSENT)) == (
        None,
        False,
        False,
    )


async def test_long_lists(ours: Client) -> None:
    """More names than one request may have are asked for in several."""
    names = [hashlib.sha3_256(b"%d" % number).hexdigest() for number in range(25_000)]
    for number in (0, 9_999, 10_000, 24_999):
        await ours.put(b"%d" % number)
    held = await ours.has(names)
    assert [number for number, is_held in enumerate(held) if is_held] == [0, 9_999, 10_000, 24_999]
    wanted = [hashlib.sha256(b"%d" % number).hexdigest() for number in range(25_000)]
    assert await ours.wants(wanted) == [
        each for each, is_held in zip(wanted, held, strict=True) if not is_held
    ]
    assert await ours.has([]) == []


async def test_promise(ours: Client) -> None:
    """A promise is counted where that is asked for, and its buffer is waited for."""
    assert await ours.promise(name(b"later")) == 600
    assert (await ours.has(name(b"later")), await ours.has(name(b"later"), promised=True)) == (False, True)
    getting = asyncio.create_task(ours.get(name(b"later")))
    await asyncio.sleep(0.2)
    await ours.put(b"later")
    assert await getting == b"later"


async def test_names_of_the_axon(ours: Client) -> None:
    """Sizes, digests and counts are those of the Axon; a SHA-256 may be digits or bytes."""
    assert await ours.puts([b"one", b"", LONG]) == [(len(b), sha256(b)) for b in (b"one", b"", LONG)]
    digest = hashlib.sha256(b"one").digest()
    assert (await ours.size(digest), await ours.size(digest.hex())) == (3, 3)
    found = await ours.hashset(digest)
    assert found == {n: hashlib.new(n, b"one").hexdigest() for n in ("md5", "sha1", "sha256", "sha512")} | {
        "size": 3
    }
    assert await ours.wants([digest, ABSENT]) == [ABSENT]
    assert await ours.metrics() == {"file:count": 3, "size:bytes": 3 + len(LONG)}
    assert await ours.dels([digest, ABSENT]) == [True, False]
    assert await ours.del_(sha256(b""))


async def test_upload(ours: Client) -> None:
    """What is written to an upload is one buffer from save to save; what is not saved is none."""
    async with await ours.upload() as upload:
        for part in (b"", LONG[:10], LONG[10:2_000_000], LONG[2_000_000:]):
            await upload.write(part)
        assert await upload.save() == (len(LONG), sha256(LONG))
        assert await upload.save() == (0, sha256(b""))
        await upload.write(b"never saved")
    assert await ours.wants([sha256(b"never saved"), sha256(LONG)]) == [sha256(b"never saved")]


async def test_feed(ours: Client) -> None:
    """The feed is told in the Axon's way and in ours; history keeps what was deleted."""
    for body in (b"one", b"two", b"three"):
        await ours.put(body)
    await ours.remove(name(b"two"))
    told = [item async for item in ours.hashes()]
    assert told == [(0, (sha256(b"one"), 3)), (2, (sha256(b"three"), 5))]
    arrivals = [arrival async for arrival in ours.feed(1)]
    assert [(each.index, each.sha256, each.size) for each in arrivals] == [(2, sha256(b"three"), 5)]
    assert len(arrivals[0].feed_id) == 32
    past = [item async for item in ours.history(0)]
    assert [each for _, each in past] == [(sha256(b"one"), 3), (sha256(b"two"), 3), (sha256(b"three"), 5)]
    assert [item async for item in ours.history(past[-1][0] + 1, past[-1][0] + 2)] == []


async def test_reading(ours: Client) -> None:
    """What is inside buffers comes as Python has it, also what JSON has no words for."""
    values = [{"a": b"\0\xff"}, float("inf"), {1: [2], (3, 4): None}, {"$bytes": "no"}, 2**64]
    values += [msgpack.ExtType(7, b"x"), msgpack.Timestamp(5, 6), 2**64 - 1, "é"]
    packed = b"".join(map(_pack, values))
    text, rows = "a\nü\r\nb".encode(), b"a\t'b\t'\n1\t2\n"
    lines = b'{"$bytes": "eA=="}\n\n[1.5, null]\n'
    for body in (packed, text, rows, lines):
        await ours.put(body)
    assert [line async for line in ours.readlines(sha256(text))] == ["a", "ü", "b"]
    found = [row async for row in ours.csvrows(sha256(rows), delimiter="\t", quotechar="'", strict=True)]
    assert found == [["a", "b\t"], ["1", "2"]]
    assert [each async for each in ours.jsonlines(sha256(lines))] == [{"$bytes": "eA=="}, [1.5, None]]
    assert [each async for each in ours.iterMpkFile(sha256(packed))] == values
    assert await ours.unpack(sha256(text), "<2sB", 1) == struct.unpack_from("<2sB", text, 1)
    with pytest.raises(BadContent):
        assert [each async for each in ours.readlines(sha256(packed), errors="strict")]


def _pack(value: object) -> bytes:
    big = isinstance(value, int) and value >= 2**64
    packed = msgpack.packb(msgpack.ExtType(0, (2**64).to_bytes(9, "big")) if big else value)
    assert isinstance(packed, bytes)
    return packed


async def test_fetching(connect: Connect) -> None:
    """The server fetches and sends for the client; what it may not is told as its own error."""
    client = await connect(allow_fetch=True, fetch_allow=("127.0.0.0/8",))
    got: list[bytes] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        got.append(await request.read())
        return web.Response(body=b"\xff body")

    async with target({"/": answer}) as url:
        info = await client.wget(url, timeout=5)
        assert (info["ok"], info["hashes"]["sha256"]) == (True, sha256(b"\xff body"))
        assert (await client.wput(info["hashes"]["sha256"], url))["code"] == 200
        form = await client.postfiles([{"name": "a", "value": "b"}], url)
    assert form["body"] == b"\xff body" and got[1] == b"\xff body" and b'name="a"' in got[2]
    assert (await client.wget("http://192.168.1.1/"))["err"][0] == AddressRefused.__name__
    with pytest.raises(BadArgument):
        await client.wget(url, method="CONNECT")


async def test_may_not(connect: Connect, directory: Path) -> None:
    """What a server does not do, or not for this client, is told by its class."""
    client = await connect(writable=False)
    for ask in (
        client.put(b"x"),
        client.put(LONG),
        client.put(LONG, algorithm="sha-256"),
        client.promise(ABSENT),
    ):
        with pytest.raises(ReadOnly):
            await ask
    with pytest.raises(NotPermitted):
        await client.wget("http://example.org/")
    upload = await client.upload()
    with pytest.raises(ReadOnly):
        for _ in range(100):
            await upload.write(LONG)


async def test_limits(ours: Client, tmp_path: Path) -> None:
    """No more is taken than is wanted; a file that changes while it is sent is not stored."""
    await ours.put(LONG)
    for ask in (
        ours.get(name(LONG), limit_bytes=100),
        ours.download(name(LONG), tmp_path / "x", limit_bytes=1),
    ):
        with pytest.raises(BufferTooLarge):
            await ask

    async def pieces() -> AsyncIterator[bytes]:
        yield b"too much"

    with pytest.raises(UploadCut):
        await ours.put(pieces, name=ABSENT, size=3)
    assert files_in(tmp_path) == ["buffers"]


async def test_session_of_others(ours: Client) -> None:
    """A session that is given is used, and left open."""
    async with ClientSession() as session:
        async with Client(ours.url, session=session) as client:
            await client.put(b"hello")
            assert json.loads((await client.get(name(b"hello"))).replace(b"hello", b"1")) == 1
        assert not session.closed
