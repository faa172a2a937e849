"""The buffers of a server, as fetching needs them: by SHA-256, in and out in pieces."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import closing

from ..blobs import Blob
from ..bodies import Body
from ..buffers import Buffers
from ..checksums import Hashset, parse_checksum
from ..errors import BufferCorrupt, BufferNotFound
from ..store import Form


class HeldBuffers:
    """What is held; of a name that is no SHA-256, BadChecksum is raised."""

    def __init__(self, buffers: Buffers) -> None:
        self._buffers = buffers

    async def size(self, sha256: str) -> int:
        """Tell the size of a buffer in bytes.

        Raises: BadChecksum, BufferNotFound, BufferCorrupt, Busy, StoreFailed.
        """
        with closing(await self._open(sha256)) as blob:
            return blob.size

    async def pieces(self, sha256: str) -> AsyncGenerator[bytes, None]:
        """Yield a buffer's bytes.

        Raises: BadChecksum, BufferNotFound, BufferCorrupt, Busy, StoreFailed.
        """
        with closing(await self._open(sha256)) as blob:
            sent = 0
            async for piece in blob.pieces or self._buffers.store.pieces(blob.stored):
                sent += len(piece)
                yield piece
            if sent != blob.size:
                raise BufferCorrupt(f"{blob.checksum} became shorter while it was read")

    async def _open(self, sha256: str) -> Blob:
        checksum = self._buffers.named(parse_checksum(sha256))
        if checksum is None:
            raise BufferNotFound(sha256)
        return await self._buffers.open(checksum)

    async def store(self, body: Body, announced_bytes: int) -> Hashset:
        """Store a body whose name is learned from its bytes; nothing, if it raises.

        Raises: BufferTooLarge, LimitReached, NoSpace, StoreFailed, Busy.
        """
        self._buffers.intake.refuse_size(None, Form.PLAIN, announced_bytes)
        return await self._buffers.intake.add(body)
