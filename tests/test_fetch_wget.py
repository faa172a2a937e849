"""Fetching: what is stored, and what is told of it."""

from __future__ import annotations

import asyncio
import hashlib
import time
import tracemalloc
from contextlib import suppress
from typing import Any

import pytest
from aiohttp import web

from hashserver_aio.bodies import Body
from hashserver_aio.checksums import Hashset
from hashserver_aio.errors import Busy
from hashserver_aio.fetching import fetcher as fetcher_module

from .fetches import GONE, LOOPBACK, Memory, Names, asked, code_of, fetcher, hello, target, to, trickle, wget


async def test_what_is_told() -> None:
    """A fetch stores the body and tells of the answer, the request and the hashes, as documented."""
    memory = Memory()
    async with target({"/a": hello}) as url, fetcher(memory, *LOOPBACK) as fetch:
        info = await fetch.wget(asked(f"{url}/a", params={"q": "1", "r": ["2", "3"]}, headers={"X-A": "b"}))
    assert memory.held == {hashlib.sha256(b"hello").hexdigest(): b"hello"}
    assert memory.announced == [5]
    assert set(info) == {"ok", "url", "code", "reason", "headers", "request", "size", "hashes"}
    assert (info["ok"], info["code"], info["reason"], info["size"]) == (True, 200, "OK", 5)
    assert info["url"] == info["request"]["url"] == f"{url}/a?q=1&r=2&r=3"
    assert info["request"]["method"] == "GET"
    assert info["request"]["headers"]["X-A"] == "b"
    assert info["headers"]["Content-Type"] == "text/plain; charset=utf-8"
    names = ("md5", "sha1", "sha256", "sha512")
    assert info["hashes"] == {name: hashlib.new(name, b"hello").hexdigest() for name in names}


@pytest.mark.parametrize("status", [201, 203, 404, 410, 500, 503, 599])
async def test_any_status(status: int) -> None:
    """A body is stored whatever the status says of it; `ok` says only that it came."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text="no such page", reason="Whatever")

    memory = Memory()
    async with target({"/": answer}) as url, fetcher(memory, *LOOPBACK) as fetch:
        info = await fetch.wget(asked(url))
    assert (info["ok"], info["code"], list(memory.held.values())) == (True, status, [b"no such page"])
    assert info["reason"] != "Whatever"  # it is the usual phrase


@pytest.mark.parametrize(
    ("more", "method", "body", "kind"),
    [
        ({}, "GET", b"", None),
        ({"method": "post", "body": "tëxt"}, "POST", "tëxt".encode(), "text/plain; charset=utf-8"),
        ({"method": "PUT", "body": b"\0"}, "PUT", b"\0", "application/octet-stream"),
        ({"method": "POST", "json": {"a": [1]}}, "POST", b'{"a": [1]}', "application/json"),
        ({"method": "POST", "body": {"a": "b c"}}, "POST", b"a=b+c", "application/x-www-form-urlencoded"),
        (
            {"method": "POST", "body": {"a": [1, "\xfc"]}},
            "POST",
            b"a=1&a=%C3%BC",
            "application/x-www-form-urlencoded",
        ),
        ({"method": "PROPFIND"}, "PROPFIND", b"", None),
    ],
)
async def test_what_is_sent(more: dict[str, Any], method: str, body: bytes, kind: str | None) -> None:
    """The request has the method and the body that were asked for."""
    seen: list[tuple[str, bytes, str | None]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append((request.method, await request.read(), request.headers.get("Content-Type")))
        return web.Response()

    given: dict[str, object] = {key: more[key] for key in ("json", "body") if key in more}
    request = {key: more[key] for key in ("method",) if key in more}
    async with target({"/": answer}) as url, fetcher(Memory(), *LOOPBACK) as fetch:
        assert (await fetch.wget(asked(url, **request), **given))["ok"]
    assert seen == [(method, body, kind)]


async def test_history() -> None:
    """Redirects are followed and told of, each with its request and without hashes."""
    routes = {"/a": to("/b", 301), "/b": to("/c?x=1", 307), "/c": hello}
    async with target(routes) as url:
        info = await wget(f"{url}/a", *LOOPBACK)
    assert info["url"] == f"{url}/c?x=1"
    assert [(one["code"], one["url"], one["request"]["url"]) for one in info["history"]] == [
        (301, f"{url}/a", f"{url}/a"),
        (307, f"{url}/b", f"{url}/b"),
    ]
    assert all(set(one) == {"ok", "url", "code", "reason", "headers", "request"} for one in info["history"])


async def test_redirects_without_end() -> None:
    """Redirects are followed ten times at most."""
    async with target({"/": to("/")}) as url:
        assert code_of(await wget(url, *LOOPBACK)) == "TooManyRedirects"


async def test_constant_memory() -> None:
    """A body of any size goes through in constant memory."""
    size = 256 * 2**20

    async def big(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(size)})
        await response.prepare(request)
        for _ in range(size // 2**20):
            await response.write(bytes(2**20))
        return response

    class Counting(Memory):
        largest = total = 0

        async def store(self, body: Body, announced_bytes: int) -> Hashset:
            while piece := await body.read():
                self.total += len(piece)
                self.largest = max(self.largest, tracemalloc.get_traced_memory()[0])
            return Hashset(b"", b"", b"", b"", self.total)

    memory = Counting()
    async with target({"/": big}) as url, fetcher(memory, *LOOPBACK) as fetch:
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            info = await fetch.wget(asked(url))
        finally:
            tracemalloc.stop()
    assert (info["size"], memory.total) == (size, size)
    assert memory.largest - before < 8 * 2**20


async def silent(request: web.Request) -> web.StreamResponse:
    """Answer nothing."""
    await asyncio.sleep(60)
    raise AssertionError


@pytest.mark.parametrize(
    ("path", "error"),
    [("/slow", "TimeoutError"), ("/silent", "TimeoutError"), ("/fast", "BufferTooLarge")],
)
async def test_bodies_without_end(path: str, error: str) -> None:
    """A body that comes slowly, never, or without an end, ends by the timeout or by its size."""
    memory = Memory(limit_bytes=10 * 2**20)
    app = {GONE: asyncio.Event()}
    async with target({"/slow": trickle, "/fast": trickle, "/silent": silent}, app=app) as url:
        async with fetcher(memory, *LOOPBACK) as fetch:
            begin = time.monotonic()
            info = await fetch.wget(asked(url + path, timeout=20 if path == "/fast" else 0.5))
    assert code_of(info) == error
    assert time.monotonic() - begin < 10
    assert memory.held == {}


async def test_stalled_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that sends nothing for long is given up before the fetch's time is over."""
    monkeypatch.setattr(fetcher_module, "STALL_S", 0.3)
    async with target({"/": silent}) as url:
        assert code_of(await wget(url, *LOOPBACK)) == "SocketTimeoutError"


async def test_who_asked_is_gone() -> None:
    """A fetch ends when nobody wants it any more: its connection is closed, and nothing is stored."""
    memory, came, gone = Memory(), asyncio.Event(), asyncio.Event()

    async def come(request: web.Request) -> web.StreamResponse:
        came.set()
        return await trickle(request)

    async with target({"/": come}, app={GONE: gone}) as url, fetcher(memory, *LOOPBACK) as fetch:
        task = asyncio.create_task(fetch.wget(asked(url)))
        async with asyncio.timeout(30):
            await came.wait()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        async with asyncio.timeout(5):
            await gone.wait()
    assert task.cancelled()
    assert memory.held == {}


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 70_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: a\r\n" % n for n in range(200)),
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"a" * 60_000) for n in range(6)),
        b"nonsense\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        b"",
    ],
)
async def test_bad_answers(head: bytes) -> None:
    """What is no answer, or one with more headers than may be held, is told and not stored."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head + b"\r\n")
        writer.close()

    memory = Memory()
    async with (
        await asyncio.start_server(answer, "127.0.0.1", 0) as server,
        fetcher(memory, *LOOPBACK) as fetch,
    ):
        port = server.sockets[0].getsockname()[1]
        async with asyncio.timeout(10):
            info = await fetch.wget(asked(f"http://127.0.0.1:{port}/"))
    assert code_of(info)
    assert memory.held == {}


async def test_nobody_there() -> None:
    """A server that is not there, or has no name, is told of in the result."""
    info = await wget("http://127.0.0.1:1/", *LOOPBACK)
    assert code_of(info) == "ClientConnectorError"
    assert info["reason"] == f"Exception occurred during request: {info['mesg']}"
    assert code_of(await wget("http://none.example/", *LOOPBACK)) == "ClientConnectorDNSError"


async def test_so_many_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """More fetches than there may be at a time are asked to come again."""
    monkeypatch.setattr(fetcher_module, "MAX_FETCHES", 1)
    async with target({"/": silent}) as url, fetcher(Memory(), *LOOPBACK, resolver=Names({})) as fetch:
        first = asyncio.create_task(fetch.wget(asked(url, timeout=0.5)))
        await asyncio.sleep(0.1)
        with pytest.raises(Busy):
            await fetch.wget(asked(url))
        assert code_of(await first) == "TimeoutError"
        assert code_of(await fetch.wget(asked(url, timeout=0.1))) == "TimeoutError"
