"""A connection as raw bytes: requests in segments as a test cuts them, answers as they came."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Sequence

from .conftest import Client

CLOSING = b"GET /healthcheck HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"

PAUSE_S = 0.003
"""Enough for the server, which runs in the same thread, to see one segment before the next."""

PATIENCE_S = 3.0
"""Longer than a refused body is waited for."""

_HEAD = re.compile(rb"HTTP/\d\.\d [^\r\n]*\r\n(?:[^\r\n]+\r\n)+\r\n")
_LENGTH = re.compile(rb"\r\nContent-Length: (\d+)\r\n")
_DATE = re.compile(rb"Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT")


def get(name: str, *headers: str) -> bytes:
    """Word a GET; with no other headers it is of the plainest."""
    return "\r\n".join([f"GET /{name} HTTP/1.1", "Host: t", *headers, "", ""]).encode("latin-1")


def put(name: str, body: bytes, *headers: str) -> bytes:
    """Word a PUT."""
    lines = [f"PUT /{name} HTTP/1.1", "Host: t", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def normal(answers: bytes) -> bytes:
    """Sort the headers of each answer and take the time from its Date; every other byte stays."""

    def sort(match: re.Match[bytes]) -> bytes:
        start, *lines = match[0].removesuffix(b"\r\n\r\n").split(b"\r\n")
        return b"\r\n".join([start, *sorted(_DATE.sub(b"Date: now", line) for line in lines), b"", b""])

    return _HEAD.sub(sort, answers)


def status_of(answer: bytes) -> int:
    """Read the status of an answer."""
    return int(answer.split(b" ", 2)[1])


def body_of(answer: bytes) -> bytes:
    """Take the body of an answer."""
    return answer.partition(b"\r\n\r\n")[2]


class Wire(asyncio.Protocol):
    """A client's end of a connection."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.is_closed = False
        self._changed = asyncio.Event()
        self.transport: asyncio.Transport

    @classmethod
    async def to(cls, client: Client, context: ssl.SSLContext | None = None) -> Wire:
        """Connect to the server of an aiohttp client."""
        loop = asyncio.get_running_loop()
        assert client.port is not None
        _, wire = await loop.create_connection(cls, client.host, client.port, ssl=context)
        return wire

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; asyncio sends every segment at once (TCP_NODELAY)."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Keep what came."""
        self.received += data
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end; what came before it is kept, also when it was a reset."""
        self.is_closed = True
        self._changed.set()

    async def send(self, *segments: bytes, pause_s: float = PAUSE_S) -> None:
        """Send segments, each on its own."""
        for segment in segments:
            self.transport.write(segment)
            await asyncio.sleep(pause_s)

    async def answer(self) -> bytes:
        """Take the next answer, by its Content-Length (so none to a HEAD)."""
        async with asyncio.timeout(10):
            while (end := self._end()) is None:
                assert not self.is_closed, bytes(self.received)
                self._changed.clear()
                await self._changed.wait()
        answer = bytes(self.received[:end])
        del self.received[:end]
        return answer

    def _end(self) -> int | None:
        head = self.received.find(b"\r\n\r\n") + 4
        length = _LENGTH.search(self.received[:head])
        end = head + (int(length[1]) if length else 0)
        return end if head > 3 and len(self.received) >= end else None

    async def ask(self, *segments: bytes) -> bytes:
        """Send a request: its answer, and nothing that came besides."""
        await self.send(*segments)
        answer = await self.answer()
        assert not self.received, bytes(self.received)
        return answer

    async def rest(self, patience_s: float = 10) -> bytes:
        """Take all that comes until the server hangs up; what it leaves open is told by the end."""
        try:
            async with asyncio.timeout(patience_s):
                while not self.is_closed:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return bytes(self.received) + b"(left open)"
        return bytes(self.received)

    async def watched(self, name: str) -> Wire:
        """Ask for a small buffer until the next request may be answered the fast way."""
        for _ in range(2):
            assert status_of(await self.ask(get(name))) == 200
        return self


async def conversation(
    client: Client, segments: Sequence[bytes], warm: str = "", pause_s: float = PAUSE_S
) -> bytes:
    """Send segments, then a request to hang up, on one connection: all that is answered, normal."""
    wire = await Wire.to(client)
    try:
        if warm:
            await wire.watched(warm)
            await wire.ask(get(warm))
        await wire.send(*segments, CLOSING, pause_s=pause_s)
        return normal(await wire.rest(PATIENCE_S))
    finally:
        wire.transport.abort()
