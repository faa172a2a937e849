"""What arrives: the body of an upload, and the digests that its sender states of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

from .errors import check_size

SMALL_BYTES = 64 * 1024
"""Up to here a body is hashed inline and stored in one hop: less than a hop costs to hash it."""

SMALL_WAIT_S = 0.05
"""A small body that takes longer gets a temp file after all, so that other servers see it coming."""

PIECE_BYTES = 512 * 1024
"""What a hop to a thread hashes and writes of a long body."""


class Body(Protocol):
    """The bytes of an upload, as they arrive."""

    @property
    def has_arrived(self) -> bool:
        """Whether nothing of it has to be waited for."""

    async def read(self) -> bytes:
        """Give some more bytes; b"" at the end.

        Raises: UploadCut, where they end before the end. May be cancelled and called again.
        """


class Claim(Protocol):
    """A digest of the body that its sender states."""

    def update(self, data: bytes | memoryview, /) -> object:
        """Take the next bytes of the body."""

    def check(self) -> None:
        """Raise DigestMismatch if the body was not as stated."""


async def read_small(body: Body) -> tuple[bytes, bool]:
    """Read what comes at once of a body: the bytes, and whether they are all."""
    head = bytearray()
    try:
        async with asyncio.timeout(None if body.has_arrived else SMALL_WAIT_S):
            while len(head) <= SMALL_BYTES:
                chunk = await body.read()
                if not chunk:
                    return bytes(head), True
                head += chunk
    except TimeoutError:
        pass
    return bytes(head), False


async def pieces(head: bytes, body: Body, limit_bytes: int | None) -> AsyncIterator[bytes]:
    """Yield a body's bytes, after those read already, in pieces worth a hop to a thread.

    Raises: BufferTooLarge, as soon as more than the limit has come.
    """
    chunks, size, total = [head], len(head), len(head)
    while chunk := await body.read():
        chunks.append(chunk)
        size += len(chunk)
        total += len(chunk)
        check_size(total, limit_bytes)
        if size >= PIECE_BYTES:
            piece, size = b"".join(chunks), 0
            chunks.clear()
            yield piece
            del piece
    if size:
        yield b"".join(chunks)
