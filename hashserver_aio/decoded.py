"""Plain copies of buffers that are held only compressed, for requests that ask for ranges of them.

A copy is a nameless temporary file: it needs no cleaning up, and it is verified while it is made.
"""

from __future__ import annotations

import asyncio
import io
import os
import tempfile
from collections import OrderedDict
from contextlib import closing

from .catalogue import Known
from .checksums import Algorithm, Checksum, Digester
from .errors import BufferCorrupt, from_os_error
from .store import StoredFile
from .store.encodings import plain_pieces

MAX_COPIES = 16
MAX_BYTES = 1024 * 1024 * 1024
"""All copies of a process together; a buffer of more than this is sent whole instead."""


class DecodedFiles:
    """The copies made last."""

    def __init__(self, algorithm: Algorithm) -> None:
        self._algorithm = algorithm
        self._copies: OrderedDict[Checksum, tuple[int, io.FileIO]] = OrderedDict()
        self._making = asyncio.Lock()

    async def open(self, stored: StoredFile, known: Known) -> io.FileIO | None:
        """Open a plain copy; None if the buffer is too big for one. The caller closes it.

        Raises: BufferCorrupt, NoSpace, StoreFailed.
        """
        if known.plain_size > MAX_BYTES:
            return None
        # Shielded, on its own descriptor: a copy that is begun is kept for whoever asks next.
        making = asyncio.create_task(self._copy(stored.duplicate(), known.plain_size))
        return await asyncio.shield(making)

    async def _copy(self, stored: StoredFile, size: int) -> io.FileIO:
        async with self._making:  # one at a time: each may take a core and a gigabyte for seconds
            with stored.file:
                if stored.checksum not in self._copies:
                    self._make_room(size)
                    try:
                        copy = await asyncio.to_thread(self._decode, stored)
                    except OSError as error:
                        raise from_os_error(error) from None
                    self._copies[stored.checksum] = (size, copy)
            self._copies.move_to_end(stored.checksum)
            return io.FileIO(os.dup(self._copies[stored.checksum][1].fileno()), "rb")

    def _make_room(self, size: int) -> None:
        while self._copies:
            used = sum(held for held, _ in self._copies.values())
            if len(self._copies) < MAX_COPIES and used + size <= MAX_BYTES:
                return
            self._copies.popitem(last=False)[1][1].close()

    def _decode(self, stored: StoredFile) -> io.FileIO:
        descriptor, path = tempfile.mkstemp(prefix="hashserver-aio-")
        os.unlink(path)
        file = io.FileIO(descriptor, "r+b")
        digester = Digester(self._algorithm)
        try:
            with closing(plain_pieces(stored.reader(), stored.form)) as pieces:
                for piece in pieces:
                    digester.update(piece)
                    _write_all(descriptor, piece)
            if digester.checksum != stored.checksum:
                raise BufferCorrupt(f"File corruption: {stored.checksum} changed while it was read.")
        except BaseException:
            file.close()
            raise
        return file

    def close(self) -> None:
        """Let go of all copies."""
        for _, file in self._copies.values():
            file.close()
        self._copies.clear()


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
