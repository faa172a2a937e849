"""What a fetch sends of what it was given: to whom, and never what would make another request of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from multidict import CIMultiDict

from hashserver_aio.fetching import configured_proxy

from .fetches import LOOPBACK, Memory, Names, asked, code_of, fetcher, hello, target, to, wget
from .test_fetch_proxies import proxying


@asynccontextmanager
async def saying(answer: bytes) -> AsyncIterator[str]:
    """Answer every request on a connection with these very bytes, and hang up; the URL."""

    async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(met, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def test_credentials_stay() -> None:
    """What shows who asks, and what a host is called, goes to the host that was named and to no other."""
    seen: list[dict[str, str]] = []

    async def see(request: web.Request) -> web.StreamResponse:
        seen.append(dict(request.headers))
        response = web.Response()
        response.set_cookie("session", "secret")
        return response

    secrets = {
        "AUTHORIZATION": "Bearer s",
        "Cookie": "a=s",
        "X-API-KEY": "s",
        "host": "in.example",
        "X-Other": "o",
    }
    async with target({"/": see}, "127.0.0.2") as other, target({"/": to(other), "/same": see}) as url:
        async with fetcher(Memory(), *LOOPBACK) as fetch:
            for start in (f"{url}/", f"{url}/same", url.replace("://", "://me:secret@")):
                given = {} if "@" in start else secrets
                assert (await fetch.wget(asked(start, headers=given)))["ok"]
    moved, same, moved_again = seen
    for headers in moved, moved_again:
        assert not {"authorization", "cookie", "x-api-key"} & {name.lower() for name in headers}
        assert f"http://{headers['Host']}" == other
    assert moved["X-Other"] == "o"
    assert {name: CIMultiDict(same).getall(name) for name in secrets} == {n: [t] for n, t in secrets.items()}


async def test_nobody_is_led_back() -> None:
    """A host that a fetch was led to can't have it ask the first one for something in the client's name."""
    seen: list[tuple[str, bool]] = []

    async def see(request: web.Request) -> web.StreamResponse:
        seen.append((request.path, "Authorization" in request.headers))
        if request.path == "/":
            raise web.HTTPFound(f"{other}/")
        return web.Response()

    back: dict[str, str] = {}

    async def lead(request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound(back["to"])

    async with target({"/": lead}, "127.0.0.2") as other, target({"/": see, "/delete": see}) as url:
        back["to"] = f"{url}/delete"
        assert (await wget(f"{url}/", *LOOPBACK, headers={"Authorization": "s"}))["ok"]
    assert seen == [("/", True), ("/delete", False)]


async def test_a_redirect_with_a_user() -> None:
    """A redirect that names a user does not meet the Authorization that is sent already."""
    async with target({"/": hello}) as url:
        port = url.rpartition(":")[2]
        async with target(
            {"/": to(f"http://me:pass@127.0.0.1:{port}/"), "/a": to("//u@/b"), "/b": hello}
        ) as start:
            for path in ("/", "/a"):
                info = await wget(start + path, *LOOPBACK, headers={"Authorization": "s"})
                assert info["ok"] or code_of(info) == "InvalidUrlRedirectClientError"


async def test_host_and_proxies() -> None:
    """A proxy that goes by the Host header is not asked for a host that was never judged."""
    async with proxying() as proxy:
        configured = configured_proxy(f"http://127.0.0.1:{proxy.port}")
        async with fetcher(Memory(), proxy=configured, resolver=Names({})) as fetch:
            info = await fetch.wget(asked("http://web.example/", headers={"HOST": "10.0.0.1"}))
    assert (code_of(info), proxy.heads) == ("AddressRefused", [])


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 306, 307, 308])
async def test_redirects_to_nowhere(status: int) -> None:
    """An answer that redirects and does not say where to is stored like any other, its body too."""
    body = b"" if status == 304 else b"nowhere"
    memory = Memory()
    async with saying(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)) as url:
        async with target({"/": to(url)}) as before, fetcher(memory, *LOOPBACK) as fetch:
            info = await fetch.wget(asked(url))
            assert (info["ok"], info["code"], info["size"], info.get("history")) == (
                True,
                status,
                len(body),
                None,
            )
            assert list(memory.held.values()) == [body]
            assert [one["code"] for one in (await fetch.wget(asked(before)))["history"]] == [302]
            assert (await fetch.postfiles([], asked(url, method="POST")))["body"] == body


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA b: c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        b"HTTP/1.1 302 OK\r\nLocation: http://[::1\r\n\r\n",
        b"",
    ],
)
async def test_words(answer: bytes) -> None:
    """What went wrong is said in words of our own: nothing of Python, nor of the library underneath."""
    async with saying(answer) as url:
        info = await wget(url, *LOOPBACK)
    name = code_of(info)
    words = info["err"][1]["mesg"]
    assert words and not any(mark in words for mark in ("<", "0x", "Error", "message=", "b'", "\n")), words
    assert info["mesg"] == f"{name}: {words}"
