"""The client and what takes long, breaks while it is sent, or makes no sense: it is told, and in time."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import pytest
from aiohttp import web

from hashserver_aio import Client
from hashserver_aio.errors import (
    BadAnswer,
    BufferNotFound,
    ServerUnreachable,
)

from .authority import Authority
from .clients import LONG, dies, lying, name, says, sha256, shorten_pauses


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The longest that each pause might have been; they are cut short."""
    return shorten_pauses(monkeypatch)


async def test_silence() -> None:
    """A server that says nothing, or takes nothing, is given up; one that is slow is waited for."""

    async def silent(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.Response()

    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = 10
        await response.prepare(request)
        for _ in range(10):
            await asyncio.sleep(0.1)
            await response.write(b"x")
        return response

    async with lying(silent, retries=1, stall_s=0.4) as (liar, client):
        for ask in (client.get(name(LONG)), client.put(bytes(30_000_000))):
            with pytest.raises(ServerUnreachable, match="too long"):
                await ask
        assert len(liar.asked) == 4
        liar.answers = [slow]
        assert await client.get(name(b"x" * 10)) == b"x" * 10


async def test_slow_upload() -> None:
    """An upload that moves takes as long as it takes."""

    async def slow(request: web.Request) -> web.StreamResponse:
        while await request.content.read(2**20):  # noqa: ASYNC110 - a body is read, no event awaited
            await asyncio.sleep(0.02)
        return web.Response()

    async with lying(slow, stall_s=0.5) as (liar, client):
        assert (await client.put(bytes(50_000_000))).is_new
        assert len(liar.asked) == 1 and liar.asked[0].headers["Expect"] == "100-continue"


async def test_uploads_tried_again() -> None:
    """An upload is sent again from its beginning, also one of pieces."""
    bodies: list[bytes] = []

    async def takes(request: web.Request) -> web.StreamResponse:
        bodies.append(await request.read())
        return web.Response() if len(bodies) % 3 == 0 else await dies(request)

    async def pieces() -> AsyncIterator[bytes]:
        yield b"he"
        yield b"llo"

    async with lying(takes) as (_, client):
        for data in (LONG, pieces):
            await client.put(data)
    assert bodies == [LONG] * 3 + [b"hello"] * 3


async def test_trouble_with_the_data(tmp_path: Path) -> None:
    """What goes wrong with what is to be sent is told as it is, and is no reason to try again."""

    async def broken() -> AsyncIterator[bytes]:
        yield b"hello"
        raise ValueError("mine")

    async def takes(request: web.Request) -> web.StreamResponse:
        return web.Response(body=await request.read())

    async with lying(takes) as (liar, client):
        with pytest.raises(ValueError, match="mine"):
            await client.put(broken, name=name(b"hello"))
        with pytest.raises(FileNotFoundError):
            await client.put(tmp_path / "nothing")
        assert len(liar.asked) <= 1


NONSENSE = {
    "no JSON": (200, b"<html>"),
    "no object": (200, b"7"),
    "no result": (200, b'{"status": "ok"}'),
    "teapot": (418, b"\xff\xfe"),
    "no such route": (404, b'{"message": "Not Found", "code": "NotFound"}'),
    "unknown code": (400, b'{"status": "err", "code": "Whatever", "mesg": "x"}'),
    "deep": (200, b"[" * 100_000),
    "redirect": (302, b""),
}


@pytest.mark.parametrize(("status", "body"), NONSENSE.values(), ids=NONSENSE)
async def test_nonsense(status: int, body: bytes) -> None:
    """What is no answer of such a server is told as that, whatever was asked."""
    async with lying(says(status, body)) as (liar, client):
        digest = sha256(b"")
        asks: list[Awaitable[object]] = [
            client.has([digest]),
            client.size(digest),
            client.wants([digest]),
            client.puts([b""]),
        ]
        asks += [client.promise(digest), client.dels([digest]), client.unpack(digest, "B")]
        asks += [anext(client.hashes()), anext(client.readlines(digest)), anext(client.history(0))]
        for ask in asks:
            with pytest.raises(BadAnswer):
                await ask
        with pytest.raises(BadAnswer):
            async with Client(liar.url) as other:
                await other.put(b"hello")


async def test_nobody_there(unused_tcp_port: int, authority: Authority) -> None:
    """Where nobody listens, and where no certificate is right, a sentence says so."""
    async with Client(f"http://127.0.0.1:{unused_tcp_port}", retries=1) as client:
        with pytest.raises(ServerUnreachable, match=f"{unused_tcp_port} can't be reached: .*"):
            await client.get(name(b""))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with Client(url, retries=0, stall_s=0.2) as client:
            with pytest.raises(ServerUnreachable, match="too long"):
                await client.metrics()


async def test_transfers(tmp_path: Path) -> None:
    """No more buffers are on their way than there may be, each way; the others wait."""
    now = [0, 0]

    async def answer(request: web.Request) -> web.StreamResponse:
        now[0] += 1
        now[1] = max(now)
        await asyncio.sleep(0.05)
        now[0] -= 1
        return web.Response(body=b"hello")

    async with lying(answer, transfers=3) as (liar, client):
        for asks in ([client.get(name(b"hello")) for _ in range(12)], [client.put(b"x") for _ in range(12)]):
            await asyncio.gather(*asks)
            assert (now[1], len(liar.asked)) == (3, 12)
            liar.asked.clear()


async def test_leaving() -> None:
    """Who stops reading lets go of the connection, and of its turn."""
    async with lying(says(200, LONG), transfers=1) as (_, client):
        for _ in range(3):
            stream = client.stream(name(LONG))
            await anext(stream)
            await stream.aclose()
    with pytest.raises(BufferNotFound):
        async with lying(says(404, b"Not found")) as (_, client):
            await anext(client.stream(name(LONG)))
