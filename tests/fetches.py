"""What tests of fetching share: buffers in memory, targets on loopback, names that point anywhere."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.typedefs import Handler

from hashserver_aio.bodies import Body
from hashserver_aio.checksums import Algorithm, FullDigester, Hashset
from hashserver_aio.errors import BufferNotFound, BufferTooLarge
from hashserver_aio.fetching import Fetcher, FetchInfo, FetchRequest, parse_allowed, read_request
from hashserver_aio.fetching.guard import Proxy

GONE = web.AppKey("GONE", asyncio.Event)
LOOPBACK = ("127.0.0.0/8", "::1")


class Memory:
    """Buffers by SHA-256, in memory."""

    def __init__(self, limit_bytes: int = 2**40) -> None:
        self.held: dict[str, bytes] = {}
        self.limit_bytes = limit_bytes
        self.opened: list[str] = []
        self.announced: list[int] = []

    def add(self, body: bytes) -> str:
        """Hold a buffer; its name."""
        name = hashlib.sha256(body).hexdigest()
        self.held[name] = body
        return name

    async def store(self, body: Body, announced_bytes: int) -> Hashset:
        """Hold what comes, if it comes to its end."""
        whole, digester = bytearray(), FullDigester(Algorithm.SHA_256)
        while piece := await body.read():
            whole += piece
            digester.update(piece)
            if len(whole) > self.limit_bytes:
                raise BufferTooLarge("too large")
        self.announced.append(announced_bytes)
        self.add(bytes(whole))
        return digester.hashset

    async def size(self, sha256: str) -> int:
        """Tell a size."""
        if sha256 not in self.held:
            raise BufferNotFound(sha256)
        return len(self.held[sha256])

    async def pieces(self, sha256: str) -> AsyncGenerator[bytes, None]:
        """Yield a buffer."""
        self.opened.append(sha256)
        body = self.held[sha256]
        for start in range(0, len(body), 2**16):
            yield body[start : start + 2**16]


class Names(AbstractResolver):
    """Names that point to what a test says: a list of addresses, or a list of what each question gets."""

    def __init__(self, names: Mapping[str, Sequence[str | Sequence[str]]]) -> None:
        self.names = {name: list(answers) for name, answers in names.items()}
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Answer; the last answer is given for ever."""
        self.asked.append(host)
        answers = self.names.get(host)
        if answers:
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            addresses = [answer] if isinstance(answer, str) else answer
        else:  # as the system does: 0x7f.1 is an address
            infos = socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST, type=socket.SOCK_STREAM)
            addresses = [str(info[4][0]) for info in infos]
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in addresses
        ]

    async def close(self) -> None:
        """Nothing is open."""


@asynccontextmanager
async def fetcher(
    memory: Memory, *allowed: str, proxy: Proxy | None = None, resolver: AbstractResolver | None = None
) -> AsyncIterator[Fetcher]:
    """Fetch for a while, from what is listed."""
    fetcher = Fetcher(memory, parse_allowed(allowed), proxy, resolver=resolver)
    try:
        yield fetcher
    finally:
        fetcher.close()


def asked(url: str, **more: object) -> FetchRequest:
    """Read a request as a client would send it."""
    return read_request({"url": url, **more}, "GET")


async def wget(url: str, *allowed: str, **more: object) -> FetchInfo:
    """Fetch once, into a memory of its own, with no name server but for this machine's name."""
    here = [["::1", "127.0.0.1"]]
    names = Names({"localhost": here, "localhost.": here})
    async with fetcher(Memory(), *allowed, resolver=names) as fetch:
        return await fetch.wget(asked(url, **more))


class Listener:
    """Counts who connects, and tells them that they are in."""

    def __init__(self) -> None:
        self.connections = 0
        self.port = 0

    async def met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer any request."""
        self.connections += 1
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsecret")
        await writer.drain()
        writer.close()


@asynccontextmanager
async def listening(host: str | None = None) -> AsyncIterator[Listener]:
    """Listen where only this machine may come: on every address of it, of both kinds."""
    listener = Listener()
    family = socket.AF_INET if host else socket.AF_INET6
    with socket.socket(family) as sock:
        if host is None:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind((host or "::", 0))
        listener.port = sock.getsockname()[1]
        async with await asyncio.start_server(listener.met, sock=sock):
            yield listener


@asynccontextmanager
async def target(
    routes: Mapping[str, Handler],
    host: str = "127.0.0.1",
    port: int = 0,
    app: Mapping[Any, Any] | None = None,
    **more: Any,
) -> AsyncIterator[str]:
    """Run a real server of any method at some paths; its URL."""
    application = web.Application(client_max_size=2**40)
    for key, value in (app or {}).items():
        application[key] = value
    for path, handler in routes.items():
        application.router.add_route("*", path, handler)
    runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, host, port, **more)
    await site.start()
    try:
        scheme = "https" if more.get("ssl_context") else "http"
        yield f"{scheme}://{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def to(url: str, status: int = 302, *, close: bool = False) -> Handler:
    """Make a handler that redirects."""

    async def redirect(request: web.Request) -> web.StreamResponse:
        response = web.Response(status=status, headers={"Location": url})
        if close:
            response.force_close()
        return response

    return redirect


async def hello(request: web.Request) -> web.StreamResponse:
    """Answer."""
    return web.Response(text="hello")


async def trickle(request: web.Request) -> web.StreamResponse:
    """Answer for ever: fast, or a byte at a time; and note whether the client went away."""
    response = web.StreamResponse()
    await response.prepare(request)
    try:
        while True:
            await response.write(bytes(2**16 if request.path == "/fast" else 1))
            await asyncio.sleep(0 if request.path == "/fast" else 0.05)
    finally:
        request.app[GONE].set()


def code_of(info: FetchInfo) -> str:
    """Tell the name of what went wrong."""
    assert info["ok"] is False
    assert info["code"] == -1
    name, more = info["err"]
    assert set(more) == {"mesg"}
    return str(name)
