"""Plain copies of buffers that are held only compressed, for requests that ask for ranges of them.

A copy is a nameless temporary file: it needs no cleaning up, and it is verified while it is made.
"""

from __future__ import annotations

import asyncio
import io
import os
import tempfile
from collections import OrderedDict

from .catalogue import Known
from .checksums import Checksum, Digester
from .counting import Counts
from .errors import BufferCorrupt, NoSpace
from .store import Store, StoredFile
from .store.filesystem import write_all

MAX_COPIES = 16
MAX_BYTES = 1024 * 1024 * 1024
"""All copies of a process together; a buffer of more than this is sent whole instead."""

MAX_QUEUED = 16
"""Who comes when so many wait gets the whole instead."""


class DecodedFiles:
    """The copies made last."""

    def __init__(self, store: Store, counts: Counts) -> None:
        self._store = store
        self._counts = counts
        self._copies: OrderedDict[Checksum, tuple[int, io.FileIO]] = OrderedDict()
        self._making = asyncio.Lock()
        self._queued = 0

    async def open(self, stored: StoredFile, known: Known) -> io.FileIO | None:
        """Open a plain copy, to be closed by the caller; None if none is to be had.

        It is not if the buffer is too big, the temporary disk too full, or too many wait.
        Raises: BufferCorrupt, StoreFailed.
        """
        if known.plain_size > MAX_BYTES or self._queued >= MAX_QUEUED:
            return None
        self._queued += 1
        try:
            async with self._making:  # one at a time: each may take a core and a gigabyte for seconds
                if stored.checksum not in self._copies:
                    self._make_room(known.plain_size)
                    self._copies[stored.checksum] = (known.plain_size, await self._decode(stored))
                self._copies.move_to_end(stored.checksum)
                return io.FileIO(os.dup(self._copies[stored.checksum][1].fileno()), "rb")
        except NoSpace:
            return None
        finally:
            self._queued -= 1

    def _make_room(self, size: int) -> None:
        while self._copies:
            used = sum(held for held, _ in self._copies.values())
            if len(self._copies) < MAX_COPIES and used + size <= MAX_BYTES:
                return
            self._copies.popitem(last=False)[1][1].close()

    async def _decode(self, stored: StoredFile) -> io.FileIO:
        copy = _Copy(Digester(self._store.format.algorithm, self._counts.hashed))
        try:
            await self._store.read(stored, copy)
            if copy.digester.checksum != stored.checksum:
                raise BufferCorrupt(f"File corruption: {stored.checksum} changed while it was read.")
        except BaseException:
            copy.file.close()
            raise
        return copy.file

    def close(self) -> None:
        """Let go of all copies."""
        for _, file in self._copies.values():
            file.close()
        self._copies.clear()


class _Copy:
    """A nameless file that takes bytes and hashes them."""

    def __init__(self, digester: Digester) -> None:
        descriptor, path = tempfile.mkstemp(prefix="hashserver-aio-")
        os.unlink(path)
        self.file = io.FileIO(descriptor, "r+b")
        self.digester = digester

    def update(self, data: bytes | memoryview, /) -> None:
        """Take the next bytes."""
        self.digester.update(data)
        write_all(self.file.fileno(), data)
