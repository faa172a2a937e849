"""A buffer on its way back into the store, and to the client that asked for it first.

The store sets the pace, and no client: one that falls behind gets the rest of what is stored by then. It goes
on when that client has gone.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, closing

from ..blobs import Blob
from ..buffers import Buffers
from ..catalogue.placements import Placed
from ..errors import BufferNotFound, Busy, HashserverError
from ..intake import finished
from ..waiting import MAX_WAIT_S
from .pipe import Pipe

STORE_ROOM = 2

CLIENT_ROOM = 4
"""In pieces of 1 MiB. A client that has not taken the first of them when a fifth comes is left behind."""

PIECE_BYTES = 256 * 1024

Begin = Callable[[int], AsyncGenerator[bytes, None]]
"""Begins to give a buffer's bytes, from one on; each was checked."""

log = logging.getLogger(__name__)


class Restoration:
    """One buffer that is brought back; in the end it `is_stored`, or `is_lost` if no node had it."""

    def __init__(
        self, buffers: Buffers, placed: Placed, *, begin: Begin, again: Begin, is_wanted: Callable[[], bool]
    ) -> None:
        """`begin`: to store it; `again`: for a client, if that fails. `is_wanted` is asked at the end."""
        self.placed = placed
        self.is_lost = self.is_stored = False
        self._error: HashserverError | None = None
        self._has_pieces = False
        self._buffers = buffers
        self._begin = begin
        self._again = again
        self._is_wanted = is_wanted
        self._to_store, self._to_client = Pipe(STORE_ROOM), Pipe(CLIENT_ROOM)
        self._begun = asyncio.Event()
        self._ended = asyncio.Event()

    async def run(self, turns: asyncio.Semaphore) -> None:
        """Bring it back, when there is a turn."""
        self._error = Busy("nobody brings it back any more; try again")  # so it ends if it is cancelled
        try:
            async with turns:
                await self._restore()
        finally:
            self._to_client.end(self._error)
            self._ended.set()
            self._begun.set()

    async def _restore(self) -> None:
        storing = asyncio.create_task(self._store())
        try:
            await self._pump()
            self._error = None
        except HashserverError as error:
            self._error = error
            self.is_lost = isinstance(error, BufferNotFound)
        finally:
            self._to_store.end(self._error)
            await finished(asyncio.wait([storing]))

    async def _pump(self) -> None:
        """Pass on what comes, as long as the store takes it. Raises: BufferNotFound, StoreFailed."""
        store, client = self._to_store, self._to_client
        async with aclosing(self._begin(0)) as pieces:
            async for piece in pieces:
                self._has_pieces = True
                self._begun.set()
                if client.is_taken and not client.has_ended and not client.offer(piece):
                    client.end()
                await store.give(piece)
                if not store.is_taken:
                    client.end()
                    return
        if not self._is_wanted():
            raise BufferNotFound(self.placed.checksum)

    async def _store(self) -> None:
        checksum = self.placed.checksum
        try:
            await self._buffers.intake.put(checksum, _Arriving(self._to_store))
            self.is_stored = True
            log.warning("%s was lost here, and is back from nodes", checksum)
        except HashserverError as error:
            log.warning("%s can't be brought back: %s", checksum, error)
        finally:
            self._to_store.leave()

    # -- who waits for it ------------------------------------------------------------------------

    async def stored(self) -> bool:
        """Wait for its end: whether it is stored. Raises: Busy, if it takes too long."""
        await self._in_time(self._ended)
        return self.is_stored

    async def has_begun(self) -> bool:
        """Wait until the first bytes are there: whether there are any. Raises: Busy, if it takes too long.

        This is for who wants the pieces, and who does not wait to its end has to leave.
        """
        try:
            await self._in_time(self._begun)
        except BaseException:
            self.leave()
            raise
        if self._has_pieces:
            return True
        if self._error is not None and not self.is_lost:
            raise self._error
        return not self.is_lost

    async def _in_time(self, event: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(MAX_WAIT_S):
                await event.wait()
        except TimeoutError:
            raise Busy(f"{self.placed.checksum} is still being brought back; try again") from None

    def leave(self) -> None:
        """Who wanted the pieces does not want them any more."""
        self._to_client.leave()

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield the bytes as they come. Raises: BufferNotFound, StoreFailed, Busy."""
        at, size = 0, self.placed.size
        try:
            while at < size and (piece := await self._to_client.take()):
                at += len(piece)
                yield piece
        finally:
            self.leave()
        if at < size:
            async with aclosing(self._rest(at)) as rest:
                async for piece in rest:
                    yield piece

    async def _rest(self, at: int) -> AsyncGenerator[bytes, None]:
        """Yield what a client was too slow for: from the store, or, if it could not be stored, anew."""
        await self._ended.wait()
        blob = await self._buffers.open_now(self.placed.checksum)
        if blob is None:
            async with aclosing(self._again(at)) as pieces:
                async for piece in pieces:
                    yield piece
            return
        with closing(blob):
            assert blob.file is not None  # it was stored as it is
            while piece := await _read(blob, at):
                at += len(piece)
                yield piece


async def _read(blob: Blob, at: int) -> bytes:
    assert blob.file is not None
    return await finished(asyncio.to_thread(os.pread, blob.file.fileno(), PIECE_BYTES, at))


class _Arriving:
    """What comes, as the body of an upload."""

    has_arrived = False

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    async def read(self) -> bytes:
        """Give some more bytes; b"" at the end. Raises: what they ended with."""
        return await self._pipe.take()
