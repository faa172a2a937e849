"""Buffers that a server has lost, from its nodes: to who asks for them, and back into the store.

Only what is to be on nodes is brought back; so a buffer that was deleted on purpose never is.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from enum import StrEnum
from functools import partial

from ..blobs import Streamed
from ..buffers import Buffers
from ..catalogue.nodes import Nodes
from ..catalogue.placements import Placed
from ..checksums import Checksum
from ..errors import BufferNotFound, BufferTooLarge, Busy, LimitReached, NoSpace
from ..nodes.record import Failure
from ..store import Form
from .holders import Holders
from .restoring import Restoration
from .retrieving import retrieve

log = logging.getLogger(__name__)

RESTORING_AT_ONCE = 8
"""Each holds up to 8 MiB, and a connection to a node."""

MAX_RESTORING = 256
"""Under way or waiting for a turn."""

MAX_STREAMED = 32
"""Buffers that are only passed on, as they can't be stored: each holds up to 3 MiB while its client reads."""


class RescueEnd(StrEnum):
    """What became of a buffer that was lost: it is stored again, was only passed on, or no node had it."""

    RESTORED = "restored"
    STREAMED = "streamed"
    LOST = "lost"


class Rescue:
    """Brings back what is lost; the `replicas` of a server's buffers."""

    def __init__(
        self,
        buffers: Buffers,
        nodes: Nodes,
        holders: Holders,
        tell: Callable[[Checksum, int, Failure], object],
        ended: Callable[[RescueEnd], object] = lambda end: None,
    ) -> None:
        """`tell`: is told which node failed, and how, with what buffer; `ended`: how each rescue ended."""
        self._buffers = buffers
        self._nodes = nodes
        self._holders = holders
        self._tell = tell
        self._tell_end = ended
        self._turns = asyncio.Semaphore(RESTORING_AT_ONCE)
        self._running: dict[Checksum, tuple[Restoration, asyncio.Task[None]]] = {}
        self._streamed = 0
        self._is_closed = False

    async def close(self) -> None:
        """Bring nothing back any more."""
        self._is_closed = True
        for _, task in self._running.values():
            task.cancel()
        while self._running:
            await asyncio.wait([task for _, task in self._running.values()])

    async def bring(self, checksum: Checksum, *, streams: bool, seekable: bool) -> Streamed | bool:
        """Bring a buffer back: True, once it is stored; False, if nobody has it.

        The first one who takes it as it streams gets it as it comes; so does everybody, if it can't be
        stored. Raises: Busy, StoreFailed.
        """
        running = self._running.get(checksum)
        if running is None:
            placed = self._nodes.placed(checksum)
            if placed is None or placed.root is None:
                return False
            if not self._can_store(placed):
                return streams and await self._passed_on(placed)
            restoration = self._begin(placed)
            if streams and not seekable:
                return await self._arriving(restoration)
        else:
            restoration = running[0]
        if await restoration.stored():
            return True
        return streams and not restoration.is_lost and await self._passed_on(restoration.placed)

    def named(self, sha256: str) -> Checksum | None:
        """Find the buffer of a SHA-256 that could be brought back. Raises: StoreFailed."""
        return self._nodes.named(bytes.fromhex(sha256))

    @asynccontextmanager
    async def giving_up(self, checksum: Checksum) -> AsyncIterator[bool]:
        """Never bring a buffer back any more, nor go on with it, unless what is done meanwhile fails.

        Raises: Busy, StoreFailed.
        """
        placed = self._nodes.placed(checksum)
        if placed is None:
            yield False
            return
        await self._nodes.unwant(checksum, _now_ms())
        running = self._running.get(checksum)
        if running is not None:
            running[1].cancel()
            await asyncio.wait([running[1]])
        try:
            yield True
        except BaseException:  # it is here still
            await self._nodes.want(checksum, placed.size, placed.replicas, _now_ms())
            raise

    # -- restoring -------------------------------------------------------------------------------

    def _can_store(self, placed: Placed) -> bool:
        if not self._buffers.store.writable:
            return False
        try:
            self._buffers.intake.refuse_size(placed.checksum, Form.PLAIN, placed.size)
        except (BufferTooLarge, LimitReached, NoSpace) as error:
            log.warning("%s is lost, and can't be stored again: %s", placed.checksum, error)
            return False
        return True

    def _begin(self, placed: Placed) -> Restoration:
        """Begin to restore a buffer; from here on everybody else waits for that."""
        if self._is_closed or len(self._running) >= MAX_RESTORING:
            raise Busy("the server is stopping" if self._is_closed else "too many buffers are brought back")
        checksum = placed.checksum
        begin, again = partial(self._retrieved, placed), partial(self._counted, placed)
        is_wanted = partial(self._is_wanted, checksum)
        restoration = Restoration(self._buffers, placed, begin=begin, again=again, is_wanted=is_wanted)
        task = asyncio.create_task(restoration.run(self._turns))
        self._running[checksum] = restoration, task
        task.add_done_callback(partial(self._end, checksum, restoration))
        return restoration

    def _end(self, checksum: Checksum, restoration: Restoration, task: asyncio.Task[None]) -> None:
        del self._running[checksum]
        if restoration.is_stored:
            self._tell_end(RescueEnd.RESTORED)
        elif restoration.is_lost:
            self._tell_end(RescueEnd.LOST)
        if not task.cancelled() and task.exception() is not None:
            log.error("%s could not be brought back", checksum, exc_info=task.exception())

    def _is_wanted(self, checksum: Checksum) -> bool:
        return self._nodes.placed(checksum) is not None

    async def _arriving(self, restoration: Restoration) -> Streamed | bool:
        if not await restoration.has_begun():
            return False
        placed = restoration.placed
        return Streamed(placed.checksum, placed.size, time.time(), restoration.pieces(), restoration.leave)

    # -- passing on ------------------------------------------------------------------------------

    async def _retrieved(self, placed: Placed, first: int) -> AsyncGenerator[bytes, None]:
        """Yield a buffer's bytes, which were checked. Raises: BufferNotFound, StoreFailed."""
        sources = await self._holders.of(placed.checksum)
        tell = partial(self._tell, placed.checksum)
        algorithm = self._buffers.store.format.algorithm
        async with aclosing(retrieve(sources, placed, algorithm, tell, first)) as pieces:
            async for piece in pieces:
                yield piece

    async def _passed_on(self, placed: Placed) -> Streamed | bool:
        """Give a buffer without storing it, once its first bytes are there."""
        pieces = self._streaming(placed)
        try:
            await anext(pieces)
        except BufferNotFound:
            self._tell_end(RescueEnd.LOST)
            return False
        return Streamed(placed.checksum, placed.size, time.time(), pieces, lambda: None)

    async def _streaming(self, placed: Placed) -> AsyncGenerator[bytes, None]:
        """Yield nothing once the first bytes are there, and then all bytes."""
        async with aclosing(self._counted(placed, 0)) as pieces:
            first = await anext(pieces, b"")
            yield b""
            if first:
                yield first
            async for piece in pieces:
                yield piece

    async def _counted(self, placed: Placed, first: int) -> AsyncGenerator[bytes, None]:
        """Yield bytes that are only passed on, as fast as their client takes them. Raises: Busy, too."""
        if self._is_closed or self._streamed >= MAX_STREAMED:
            raise Busy("too many buffers that can't be stored are passed on; try again")
        self._streamed += 1
        try:
            async with aclosing(self._retrieved(placed, first)) as pieces:
                async for piece in pieces:
                    yield piece
        finally:
            self._streamed -= 1
        self._tell_end(RescueEnd.STREAMED)


def _now_ms() -> int:
    return int(time.time() * 1000)
