"""A buffer on its way here: verified, and gone on with in the middle after a cut.

The last piece is held back until all of it is known to be right: whoever gets it has the buffer.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from aiohttp import ClientResponse, hdrs

from ..checksums import Algorithm, Checksum
from ..errors import BadAnswer, BufferTooLarge, ChecksumMismatch
from .bodies import Hasher, Progress
from .retries import Again
from .transport import Transport

_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)")


@dataclass(frozen=True, slots=True)
class Name:
    """What a buffer is called, and where a server has it."""

    checksum: Checksum
    algorithm: Algorithm
    path: str


class Reception:
    """One buffer being received; `size` is known once the first answer has come."""

    def __init__(
        self, transport: Transport, name: Name, limit_bytes: int | None, progress: Progress | None
    ) -> None:
        self.size: int | None = None
        self._transport = transport
        self._name = name
        self._limit_bytes = limit_bytes
        self._progress = progress
        self._received = 0
        self._etag = ""

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield the bytes; the last of them only if all hash to the name.

        Raises: ChecksumMismatch, BufferTooLarge; BufferNotFound and what else the server refuses with;
        ServerUnreachable, BadAnswer.
        """
        hasher, patience, last = Hasher(self._name.algorithm), self._transport.patience(), b""
        while True:
            try:
                async with self._transport.downloads:
                    async with aclosing(self._rest()) as rest:
                        async for piece in rest:
                            patience.progressed()
                            await hasher.update(piece)
                            if last:
                                yield last
                            last = piece
                break
            except Again as again:
                await patience.wait(again)
        if hasher.checksum != self._name.checksum:
            raise ChecksumMismatch(f"what the server sent does not hash to {self._name.checksum}")
        if last:
            yield last

    async def _rest(self) -> AsyncGenerator[bytes, None]:
        """Yield what was not received yet, as far as one answer goes. Raises: Again, and more."""
        headers = {}
        if self._received and self._etag:
            headers = {hdrs.RANGE: f"bytes={self._received}-", hdrs.IF_RANGE: self._etag}
        path = self._name.path
        async with self._transport.ask(hdrs.METH_GET, path, headers=headers) as response:
            skip = self._received - self._begin(response)
            async for piece in response.content.iter_any():
                if skip >= len(piece):
                    skip -= len(piece)
                    continue
                piece, skip = piece[skip:], 0
                self._count(len(piece))
                yield piece

    def _begin(self, response: ClientResponse) -> int:
        """Tell which byte an answer begins with. Raises: BadAnswer, BufferTooLarge."""
        if response.status == 206:
            match = _CONTENT_RANGE.fullmatch(response.headers.get(hdrs.CONTENT_RANGE, ""))
            if match is None or int(match[1]) != self._received:
                raise BadAnswer("the server sent another part of the buffer than it was asked for")
            return self._received
        is_plain = response.headers.get(hdrs.CONTENT_ENCODING, "identity") == "identity"
        etag = response.headers.get(hdrs.ETAG, "")
        self._etag = etag if is_plain and etag.startswith('"') else ""
        self.size = response.content_length if is_plain else None
        self._refuse(self.size or 0)
        return 0

    def _count(self, count: int) -> None:
        self._received += count
        self._refuse(self._received)
        if self._progress is not None:
            self._progress(self._received, self.size)

    def _refuse(self, size: int) -> None:
        if self._limit_bytes is not None and size > self._limit_bytes:
            raise BufferTooLarge(f"the buffer is longer than the {self._limit_bytes} bytes that are wanted")
