"""The blocks of one file on their way: several requests at a time, from whoever sends them fastest.

What broke goes on where it was; what came wrong, or takes much longer than others did, is asked of another
server, if there is one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from statistics import median
from typing import NoReturn

from ...errors import BadAnswer, ChecksumMismatch, FileChanged, HashserverError
from ..retries import Again
from .blocks import Blocks
from .part import Part, sha1_of
from .ranges import Beginning, Source

SLOW_S = 2.0
SLOW_TIMES = 4
"""A block that takes so many times as long as others of late, or as this, is asked for anew."""

SLOW_TURNS = 2
"""So often; then it is slow for a reason."""

RECENT = 32

MAX_WRONG = 8
"""A block that came wrong so often is not what the servers have."""


class _Begun:
    """A block that has begun to come: the first `count` bytes of it, and from whom."""

    def __init__(self, buffer: bytearray, length: int) -> None:
        self.buffer = buffer
        self.data = memoryview(buffer)[:length]
        self.count = 0
        self.sources: set[Source] = set()

    def add(self, data: bytes | bytearray | memoryview, source: Source) -> int:
        """Take bytes: how many of them are of this block."""
        count = min(len(data), len(self.data) - self.count)
        self.data[self.count : self.count + count] = data[:count]
        self.count += count
        self.sources.add(source)
        return count


class Fetching:
    """Fetches the blocks of a file into its part.

    `slots`: bounds the requests of all files; `moved`: is told of bytes that came, less those that came
    wrong.
    """

    def __init__(
        self,
        sources: tuple[Source, ...],
        blocks: Blocks,
        part: Part,
        slots: asyncio.Semaphore,
        moved: Callable[[int], object],
    ) -> None:
        self._sources = sources
        self._blocks = blocks
        self._part = part
        self._slots = slots
        self._moved = moved
        self._begun: dict[int, _Begun] = {}
        self._buffers: list[bytearray] = []  # used again: fresh memory costs time
        self._shunned: dict[int, set[Source]] = {}
        self._wrong: dict[int, int] = {}
        self._slow: dict[int, int] = {}
        self._took_s = deque[float](maxlen=RECENT)

    async def seed(self, beginning: Beginning) -> None:
        """Take what came when it was found out what there is."""
        for number in range(-(-len(beginning.data) // self._blocks.block_size)):
            first, length = self._blocks.span(number)
            if not self._blocks.has(number):
                self._add(number, beginning.data[first : first + length], beginning.source)
                if self._is_whole(number):
                    await self._settle(number)

    async def work(self, shares: int) -> NoReturn:
        """Fetch what is missing, one request at a time, as long as anything may be: until it is cancelled.

        Raises: ChecksumMismatch; when there is nobody left to ask, why not; OSError.
        """
        while True:
            stretch = self._blocks.take(shares)
            if stretch is None:
                async with self._blocks.changed:
                    await self._blocks.changed.wait_for(self._blocks.are_wanted)
                continue
            expected = set(stretch)
            try:
                source = await self._choose(stretch.start)
                async with self._slots:
                    await self._fetch(stretch, source, expected)
            finally:
                self._blocks.give_back(expected)
            await self._blocks.tell()
            hopeless = next((number for number, times in self._wrong.items() if times > MAX_WRONG), None)
            if hopeless is not None:
                raise ChecksumMismatch(f"block {hopeless} never comes as it should be: is the file changing?")

    def forgive(self) -> None:
        """What blocks were held to was wrong: begin anew to find out who lies."""
        self._shunned.clear()
        self._wrong.clear()
        for source in self._sources:
            source.forgive()

    async def _choose(self, number: int) -> Source:
        """Choose whom to ask, and wait while he rests."""
        while True:
            usable = [source for source in self._sources if source.error is None]
            if not usable:
                assert self._sources[0].error is not None
                raise self._sources[0].error
            shunned = self._shunned.get(number, set())
            candidates = [source for source in usable if source not in shunned] or usable
            now_s = asyncio.get_running_loop().time()
            ready = [source for source in candidates if source.rests_until_s <= now_s]
            if ready:
                return min(ready, key=lambda each: (each.in_flight + 1) / each.rate)
            await asyncio.sleep(min(source.rests_until_s for source in candidates) - now_s)

    async def _fetch(self, stretch: range, source: Source, expected: set[int]) -> None:
        """Fetch blocks in a row, as far as it goes; what came, right or wrong, is no longer `expected`."""
        began_s = asyncio.get_running_loop().time()
        source.in_flight += 1
        try:
            await self._receive(stretch, source, expected)
        except Again as again:
            source.failed(again, began_s)
        except TimeoutError:
            source.crawled()
            for number in sorted(expected)[:1]:  # none, if it was the end that took too long
                self._slow[number] = self._slow.get(number, 0) + 1
                self._shunned.setdefault(number, set()).add(source)
        except FileChanged as error:
            source.error = error
        except HashserverError as error:
            source.refused(error, began_s)
        finally:
            source.in_flight -= 1

    async def _receive(self, stretch: range, source: Source, expected: set[int]) -> None:
        """Raises: Again; TimeoutError, of a block that takes too long; what the server refuses with."""
        clock = asyncio.get_running_loop().time
        number, since_s = stretch.start, clock()
        begun = self._begun.get(number)
        first = self._blocks.span(number)[0] + (begun.count if begun is not None else 0)
        end = sum(self._blocks.span(stretch[-1]))
        async with asyncio.timeout(self._patience_s(number)) as deadline:
            async with source.read(first, end, self._blocks.size) as pieces:
                async for piece in pieces:
                    source.moved(len(piece))
                    view = memoryview(piece)
                    while view:
                        if number == stretch.stop:
                            raise Again(BadAnswer("the server sends more than it was asked for"))
                        view = view[self._add(number, view, source) :]
                        if not self._is_whole(number):
                            continue
                        took_s = clock() - since_s
                        _reschedule(deadline, None)  # the disk may take its time
                        expected.discard(number)
                        if await self._settle(number):
                            source.came(self._blocks.span(number)[1], took_s)
                        self._took_s.append(took_s)
                        number, since_s = number + 1, clock()
                        limit_s = self._patience_s(number)
                        _reschedule(deadline, None if limit_s is None else since_s + limit_s)
                if expected:
                    raise Again(BadAnswer("the server sends less than it was asked for"))

    def _patience_s(self, number: int) -> float | None:
        """Tell how long a block may take; None if it took too long too often."""
        if self._slow.get(number, 0) >= SLOW_TURNS:
            return None
        return SLOW_TIMES * max(SLOW_S, median(self._took_s) if self._took_s else 0)

    def _add(self, number: int, data: bytes | bytearray | memoryview, source: Source) -> int:
        """Take bytes of a block: how many of them are of it."""
        begun = self._begun.get(number)
        if begun is None:
            buffer = self._buffers.pop() if self._buffers else bytearray(self._blocks.block_size)
            begun = self._begun[number] = _Begun(buffer, self._blocks.span(number)[1])
        count = begun.add(data, source)
        self._moved(count)
        return count

    def _is_whole(self, number: int) -> bool:
        begun = self._begun[number]
        return begun.count == len(begun.data)

    async def _settle(self, number: int) -> bool:
        """Check a block, and write it if it is right; tell whether it is."""
        block, is_right = self._begun.pop(number), False
        try:
            sha1 = await self._part.do(sha1_of, block.data)
            if self._blocks.accepts(number, sha1):
                await self._part.do(self._part.write, number, self._blocks.span(number)[0], block.data, sha1)
                is_right = self._blocks.arrived(number, sha1)
        finally:
            if not is_right:
                self._moved(-block.count)
                self._blocks.give_back((number,))
        if not is_right:
            self._wrong[number] = self._wrong.get(number, 0) + 1
            self._shunned.setdefault(number, set()).update(block.sources)
            for source in block.sources:
                source.lied()
        self._buffers.append(block.buffer)
        await self._blocks.tell()
        return is_right


def _reschedule(deadline: asyncio.Timeout, when_s: float | None) -> None:
    if not deadline.expired():
        deadline.reschedule(when_s)
