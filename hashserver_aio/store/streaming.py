"""Long reads and writes, piece by piece, as the event loop sees them.

An upload hashes and writes one piece in a thread while the next one arrives; it never holds more
than these two.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from itertools import islice

from ..errors import HashserverError, check_size
from . import Sink
from .encodings import UPLOAD_WINDOW_LOG, plain_pieces
from .files import Identity
from .locks import REFRESHED_EVERY_S, SHOWN_AFTER_S
from .threads import Threads, finished
from .uploads import Upload

_PIECES_A_TURN = 4
"""4 MiB of hashing is some 15 ms: long against a thread's hop, short for whoever waits."""


async def feed(threads: Threads, pieces: Iterator[bytes], sink: Sink, limit_bytes: int | None = None) -> None:
    """Pass pieces to a sink in threads, a few megabytes a turn.

    Raises: BufferTooLarge, once they are more than the limit; what the pieces raise.
    """
    total = 0
    while size := await threads.hash(_feed_some, pieces, sink):
        total += size
        check_size(total, limit_bytes)


def _feed_some(pieces: Iterator[bytes], sink: Sink) -> int:
    total = 0
    for piece in islice(pieces, _PIECES_A_TURN):
        sink.update(piece)
        total += len(piece)
    return total


class StreamedUpload:
    """An upload of any length into a directory; see `PendingUpload`."""

    def __init__(self, threads: Threads, upload: Upload, sinks: Sequence[Sink]) -> None:
        self._threads = threads
        self._upload = upload
        self._sinks = sinks
        self._job: Future[None] | None = None
        self._showing: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Make the temp file; from now on other servers see the upload."""
        await self._threads.disk(self._upload.open)
        self._showing = asyncio.create_task(self._show_lock())

    async def _show_lock(self) -> None:
        """Show programs that know lock files only, once the upload is no matter of a moment."""
        delay_s = SHOWN_AFTER_S
        while True:
            await asyncio.sleep(delay_s)
            with contextlib.suppress(HashserverError):  # the upload will meet the same, and say so
                await self._threads.disk(self._upload.show_lock)
            delay_s = REFRESHED_EVERY_S

    async def write(self, piece: bytes) -> None:
        """Append bytes; it returns while they are still being hashed and written."""
        await self.finish()
        self._job = self._threads.start_hash(self._take, piece)

    def _take(self, piece: bytes) -> None:
        self._upload.write(piece)
        for sink in self._sinks:
            sink.update(piece)

    async def finish(self) -> None:
        """Wait until all that was appended is hashed and written."""
        if self._job is not None:
            job, self._job = self._job, None
            await finished(job)

    async def verify(self, sink: Sink, limit_bytes: int | None) -> None:
        """Pass the plain bytes of what was appended to `sink`."""
        reader = self._upload.reader()
        with contextlib.closing(plain_pieces(reader, self._upload.form, UPLOAD_WINDOW_LOG)) as pieces:
            await feed(self._threads, pieces, sink, limit_bytes)

    async def commit(self, plain_size: int) -> Identity:
        """Make the buffer visible, whole and durable."""
        return await self._threads.disk(self._upload.commit, plain_size)

    async def abort(self) -> None:
        """Leave nothing behind; also after a commit, to end what showed the upload."""
        if self._showing is not None:
            self._showing.cancel()
        await self._threads.disk(self._abort)

    def _abort(self) -> None:
        if self._job is not None:
            self._job.exception()  # waits: the descriptor must not be closed under it
        self._upload.abort()
