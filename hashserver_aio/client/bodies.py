"""What is sent: bytes, a file, or whatever gives its pieces anew each time that it is asked.

A body can be sent again, always: after a cut, a redirect, or on a connection that turned out to be dead.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import Payload
from aiohttp.abc import AbstractStreamWriter

from ..checksums import Algorithm, Checksum
from ..errors import UploadCut
from .threads import in_thread

PIECE_BYTES = 256 * 1024

Data = bytes | Path | Callable[[], AsyncIterator[bytes]]
"""Bytes, a file, or a function that begins to give the same pieces each time that it is called."""

Progress = Callable[[int, int | None], object]
"""Is told how many bytes there are by now, and how many there will be, if that is known."""

_HASHES = {Algorithm.SHA3_256: hashlib.sha3_256, Algorithm.SHA_256: hashlib.sha256}


class Hasher:
    """Hashes what comes; long pieces in a thread, as they would keep the event loop from others."""

    INLINE_BYTES = 64 * 1024

    def __init__(self, algorithm: Algorithm) -> None:
        self._hash = _HASHES[algorithm]()

    async def update(self, piece: bytes) -> None:
        """Take the next bytes."""
        if len(piece) <= self.INLINE_BYTES:
            self._hash.update(piece)
        else:
            await asyncio.to_thread(self._hash.update, piece)

    @property
    def checksum(self) -> Checksum:
        """The checksum of all bytes so far."""
        return Checksum(self._hash.hexdigest())


@dataclass(frozen=True, slots=True)
class Body:
    """Bytes to be sent; `size` is None where nobody knows how many."""

    pieces: Callable[[], AsyncGenerator[bytes, None]]
    size: int | None

    @classmethod
    async def of(cls, data: Data, size: int | None = None) -> Body:
        """Make a body. Raises: OSError, of a file."""
        if isinstance(data, Path):
            path = data
            stat = await asyncio.to_thread(path.stat)
            return cls(lambda: _of_file(path), stat.st_size)
        if callable(data):
            begin = data
            return cls(lambda: _of_iterator(begin()), size)
        return cls.of_bytes(data)

    @classmethod
    def of_bytes(cls, data: bytes) -> Body:
        """Make a body of bytes."""
        whole = bytes(data)  # of a buffer that may change, a copy
        return cls(lambda: _of_bytes(whole), len(whole))

    async def named(self, algorithm: Algorithm) -> tuple[Checksum, Body]:
        """Read all of it: its checksum, and the body of a size that is known now."""
        hasher, size = Hasher(algorithm), 0
        async with aclosing(self.pieces()) as pieces:
            async for piece in pieces:
                await hasher.update(piece)
                size += len(piece)
        return hasher.checksum, Body(self.pieces, size)


async def _of_bytes(whole: bytes) -> AsyncGenerator[bytes, None]:
    for begin in range(0, len(whole), PIECE_BYTES):
        yield whole[begin : begin + PIECE_BYTES]


async def _of_file(path: Path) -> AsyncGenerator[bytes, None]:
    with ExitStack() as stack:
        # Entered in the thread, so that it is closed also if nobody waits for it any more.
        file = await in_thread(lambda: stack.enter_context(path.open("rb", buffering=0)))
        while piece := await in_thread(file.read, PIECE_BYTES):
            yield piece


async def _of_iterator(iterator: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    try:
        async for piece in iterator:
            yield piece
    finally:
        if isinstance(iterator, AsyncGenerator):
            await iterator.aclose()


class BodyPayload(Payload):
    """A body on its way: read anew each time that aiohttp sends it.

    `tell` is called with what is sent by now. `failure` is what went wrong with the body itself, which
    aiohttp would take for a broken connection.
    """

    _autoclose = True

    def __init__(self, body: Body, tell: Callable[[int], object]) -> None:
        super().__init__(body, content_type="application/octet-stream")
        self._body = body
        self._size = body.size
        self._tell = tell
        self.failure: Exception | None = None

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Refuse: a body is no text, and may be too long to be held."""
        raise TypeError("a body is sent, never decoded")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send the body."""
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Send the body, whose length is what was announced."""
        sent = 0
        async with aclosing(self._body.pieces()) as pieces:
            while piece := await self._next(pieces, sent):
                await writer.write(piece)
                sent += len(piece)
                self._tell(sent)

    async def _next(self, pieces: AsyncGenerator[bytes, Any], sent: int) -> bytes:
        try:
            async for piece in pieces:
                if piece:
                    self._check(sent + len(piece), is_end=False)
                    return piece
            self._check(sent, is_end=True)
        except Exception as error:
            self.failure = error
            raise
        return b""

    def _check(self, sent: int, *, is_end: bool) -> None:
        if self._size is not None and (sent != self._size if is_end else sent > self._size):
            raise UploadCut(f"what was to be sent has changed: it is not {self._size} bytes long any more")
