"""Long reads and writes, piece by piece, as the event loop sees them.

An upload hashes and writes some pieces in threads while the next one arrives, and never holds more
than these.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from ..checksums import Checksum
from ..errors import HashserverError, check_size, from_os_error
from . import Pace, Sink
from .encodings import UPLOAD_WINDOW_LOG, plain_pieces
from .files import Identity
from .locks import REFRESHED_EVERY_S, SHOWN_AFTER_S
from .threads import Threads
from .uploads import Upload

_PIECES_A_TURN = 4
"""4 MiB of hashing is some 15 ms: long against a thread's hop, short for whoever waits."""

MAX_PIECES = 3
"""An upload's pieces that are not hashed or not written; with the next one, 2 MiB of memory."""

FLUSHED_BYTES = 32 * 1024 * 1024
"""So much of an upload is synced while the rest arrives, so that the last sync has little to wait for."""


async def feed(
    threads: Threads,
    pieces: Iterator[bytes],
    sink: Sink,
    *,
    limit_bytes: int | None = None,
    pace: Pace | None = None,
) -> None:
    """Pass pieces to a sink in threads, a few megabytes a turn.

    Raises: BufferTooLarge, once they are more than the limit; what the pieces raise.
    """
    total = 0
    while size := await threads.hash(_feed_some, pieces, sink):
        total += size
        check_size(total, limit_bytes)
        if pace is not None:
            await pace(size)


def _feed_some(pieces: Iterator[bytes], sink: Sink) -> int:
    total = 0
    for piece in islice(pieces, _PIECES_A_TURN):
        sink.update(piece)
        total += len(piece)
    return total


class StreamedUpload:
    """An upload of any length into a directory; see `PendingUpload`."""

    def __init__(self, threads: Threads, upload: Upload, sinks: Sequence[Sink], *, fsync: bool) -> None:
        self._threads = threads
        self._upload = upload
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._lanes = [threads.hash_lane(sink.update, self._tell) for sink in sinks]
        self._lanes.append(threads.disk_lane(upload.write, self._tell))
        self._flushes = threads.flush_lane(lambda _: upload.flush(), self._tell)
        self._unflushed_bytes = 0
        self._fsync = fsync
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

    def _tell(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop may be gone at the very end
            self._loop.call_soon_threadsafe(self._changed.set)

    async def write(self, piece: bytes) -> None:
        """Append bytes; it returns while they, and some before them, are being hashed and written."""
        for lane in self._lanes:
            lane.push(piece)
        self._unflushed_bytes += len(piece)
        if self._fsync and self._unflushed_bytes >= FLUSHED_BYTES and not self._flushes.behind:
            self._flushes.push(b"")
            self._unflushed_bytes = 0
        await self._until(lambda: all(lane.behind < MAX_PIECES for lane in self._lanes))

    async def finish(self) -> None:
        """Wait until all that was appended is hashed and written, and no sync is under way."""
        await self._until(lambda: not any(lane.behind for lane in (*self._lanes, self._flushes)))

    async def _until(self, is_reached: Callable[[], bool]) -> None:
        while True:
            self._changed.clear()
            for lane in (*self._lanes, self._flushes):
                if isinstance(lane.error, OSError):
                    raise from_os_error(lane.error) from lane.error
                if lane.error is not None:
                    raise lane.error
            if is_reached():
                return
            await self._changed.wait()

    async def verify(self, sink: Sink, limit_bytes: int | None) -> None:
        """Pass the plain bytes of what was appended to `sink`."""
        reader = self._upload.reader()
        with contextlib.closing(plain_pieces(reader, self._upload.form, UPLOAD_WINDOW_LOG)) as pieces:
            await feed(self._threads, pieces, sink, limit_bytes=limit_bytes)

    async def commit(self, checksum: Checksum, plain_size: int) -> Identity:
        """Make the buffer visible under its name, whole and durable."""
        return await self._threads.disk(self._upload.commit, checksum, plain_size)

    async def abort(self) -> None:
        """Leave nothing behind; also after a commit, to end what showed the upload."""
        if self._showing is not None:
            self._showing.cancel()
        await self._threads.disk(self._abort)

    def _abort(self) -> None:
        for lane in (*self._lanes, self._flushes):
            lane.stop()  # the descriptor must not be closed under it
        self._upload.abort()
