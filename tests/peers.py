"""Several servers on one directory, as their clients see them, and what other programs do there."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp


class Peer:
    """One of the servers, as a client sees it."""

    def __init__(self, url: str, algorithm: str = "sha3_256") -> None:
        self.url, self.algorithm = url, algorithm
        self.session = aiohttp.ClientSession(url, timeout=aiohttp.ClientTimeout(total=20))

    def name(self, body: bytes) -> str:
        """Name a buffer."""
        return hashlib.new(self.algorithm, body).hexdigest()

    async def get(self, body: bytes) -> int:
        """Get a buffer: the status; a 200 has the right bytes."""
        async with self.session.get(f"/{self.name(body)}") as answer:
            assert answer.status != 200 or await answer.read() == body
            return answer.status

    async def put(self, body: bytes, path: str = "/") -> int:
        """Put or ("/promise/") promise a buffer: the status."""
        data = io.BytesIO(body) if path == "/" else None
        async with self.session.put(path + self.name(body), data=data) as answer:
            return answer.status

    async def has(self, body: bytes, route: str = "/has") -> bool:
        """Ask whether a buffer is there, or coming."""
        async with self.session.get(route, json=[self.name(body)]) as answer:
            return bool((await answer.json())[0])

    async def begin(self, body: bytes, sent: int) -> Upload:
        """Begin to put a buffer."""
        port = int(self.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"PUT /{self.name(body)} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body[:sent])
        await writer.drain()
        return Upload(reader, writer, body[sent:])


@dataclass
class Upload:
    """A PUT that has sent a part of its body."""

    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter
    _rest: bytes

    async def finish(self) -> int:
        """Send the rest: the status."""
        self._writer.write(self._rest)
        status = int((await self._reader.readline()).split()[1])
        await self.cut(reset=False)
        return status

    async def cut(self, reset: bool) -> None:
        """Hang up, politely or not."""
        if reset:
            self._writer.transport.abort()
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


def lay(directory: Path, body: bytes, name: str = "") -> Path:
    """Put a good file, or one of another name, into a directory as a foreign program would."""
    name = name or hashlib.sha3_256(body).hexdigest()
    path = directory / name[:2] / name
    path.parent.mkdir(exist_ok=True)
    aside = directory / f"aside-{name}"
    aside.write_bytes(body)
    os.utime(aside, (1e9, 1e9))
    aside.rename(path)
    return path


def leftovers(directory: Path) -> list[str]:
    """Name the temps, promises and lock files that are left."""
    patterns = (".hashserver-aio/tmp/*/*", ".hashserver-aio/promises/*", "**/*.LOCK")
    return [str(path.relative_to(directory)) for pattern in patterns for path in directory.glob(pattern)]


async def until(condition: Any, within_s: float = 1) -> None:
    """Wait until a condition, or an awaitable one, holds."""
    async with asyncio.timeout(within_s):
        # Polled, because what is waited for happens in other processes.
        while not (await result if asyncio.iscoroutine(result := condition()) else result):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
