"""A download from its beginning to its end: what there is, what is here already, the rest, and the whole."""

from __future__ import annotations

import asyncio
from contextlib import closing, suppress
from pathlib import Path

from ...blocks import DEFAULT_BLOCK_BYTES
from ...errors import BadArgument, BufferTooLarge, ChecksumMismatch, FileChanged, HashserverError
from ..bodies import Progress
from ..retries import Again
from ..together import until
from .blocks import Blocks
from .digests import BlockDigests
from .fetching import Fetching
from .part import Part
from .ranges import FIRST_BYTES, Beginning, Source
from .target import Target, Whole, parse_whole
from .whole import hashed, misread

LEARN_S = 0.5
MAX_LEARN_S = 5.0
"""How often it is asked what further blocks hash to."""


ASKED = 3
"""So often it is asked what blocks hash to before it is believed that nobody knows: that is garbled, too."""


class Download:
    """One file to be saved at a path.

    `workers`: so many requests at a time, if there are as many `slots`, which all files share; `progress` is
    told of bytes that are here, and of how many there are.
    """

    def __init__(
        self, target: Target, path: Path, *, workers: int, slots: asyncio.Semaphore, progress: Progress | None
    ) -> None:
        self._target = target
        self._path = path
        self._workers = workers
        self._slots = slots
        self._progress = progress
        self._done = self._size = 0
        self._teller: Source | None = None

    async def run(self, limit_bytes: int | None = None) -> int:
        """Save the file, which is there once it is whole: its size.

        What came before, also to another process, is not asked for again. Raises: what a server refuses with;
        ServerUnreachable, BadAnswer; ChecksumMismatch; FileChanged; BufferTooLarge; NoSpace; Busy, if
        it is being saved already; BadArgument, if nobody says what it hashes to; OSError.
        """
        async with self._slots:
            beginning = await self._begin()
        self._size = beginning.size
        if limit_bytes is not None and self._size > limit_bytes:
            raise BufferTooLarge(f"it is longer than the {limit_bytes} bytes that are wanted")
        if self._target.whole is not None and self._size <= FIRST_BYTES:
            await self._save_small(beginning.data)
            return self._size
        digests = await self._first_digests(beginning.source)
        with closing(Part(self._path, self._target.what, self._size)) as part:
            await part.do(part.open)
            await self._fetch(part, digests, beginning)
            await part.do(part.finish)
        return self._size

    def _moved(self, count: int) -> None:
        self._done += count
        if self._progress is not None:
            self._progress(self._done, self._size)

    # -- what there is ---------------------------------------------------------------------------

    async def _begin(self) -> Beginning:
        """Ask for the first bytes: one server after the other, again and again, until one sends them."""
        sources, clock = self._target.sources, asyncio.get_running_loop().time
        while True:
            for source in sources:
                if source.error is not None or source.rests_until_s > clock():
                    continue
                began_s = clock()
                try:
                    beginning = await source.begin()
                    await self._check_small(beginning)
                    return beginning
                except Again as again:
                    source.failed(again, began_s)
                except HashserverError as error:
                    source.refused(error, began_s)
            resting = [source.rests_until_s for source in sources if source.error is None]
            if not resting:
                assert sources[0].error is not None
                raise sources[0].error
            await asyncio.sleep(max(0, min(resting) - clock()))

    async def _check_small(self, beginning: Beginning) -> None:
        """Check what came if it is all there is. Raises: Again."""
        whole = self._target.whole
        if whole is None or beginning.size > FIRST_BYTES:
            return
        digest = whole.new()
        await asyncio.to_thread(digest.update, beginning.data)
        if digest.hexdigest() != whole.digits:
            raise Again(_mismatch(self._target))

    async def _first_digests(self, first: Source) -> BlockDigests:
        """Ask what the blocks hash to. Raises: BadArgument, if nobody says so, nor what the whole does."""
        tellers = [source for source in self._target.sources if source.error is None]
        if self._target.whole is None:  # then a mirror could say anything of the file
            tellers = [source for source in tellers if source is self._target.sources[0]]
        for source in (*([first] * ASKED if first in tellers else ()), *tellers):
            digests = await _told_by(source)
            if digests is not None and digests.size == self._size:
                self._teller = source
                return digests
        if self._target.whole is None:
            raise BadArgument(
                f"nothing says what {self._target.what} hashes to: end the URL in #sha256=... (or sha3-256)"
            )
        return BlockDigests.unknown(self._size, DEFAULT_BLOCK_BYTES)

    async def _save_small(self, data: bytes) -> None:
        with closing(Part(self._path, self._target.what, self._size)) as part:
            await part.do(part.open)
            await part.do(part.write_all, data)
            await part.do(part.finish)
        self._moved(self._size)

    # -- the rest --------------------------------------------------------------------------------

    async def _fetch(self, part: Part, digests: BlockDigests, beginning: Beginning) -> None:
        """Have all blocks in the part, and all of it checked."""
        blocks = Blocks(digests)
        self._moved(blocks.found(await part.do(part.recover, blocks.block_size)))
        await part.do(part.begin, blocks.block_size, blocks.sha1s)
        fetching = Fetching(self._target.sources, blocks, part, self._slots, self._moved)
        await fetching.seed(beginning)
        workers = (fetching.work(self._workers) for _ in range(self._workers))
        await until(self._finished(part, blocks, fetching, beginning), (self._learn(blocks), *workers))

    async def _learn(self, blocks: Blocks) -> None:
        """Ask what further blocks hash to, until nobody needs to know it."""
        pause_s, misses = LEARN_S, 0
        while self._teller is not None:
            async with blocks.changed:
                await blocks.changed.wait_for(lambda: blocks.is_disputed or not blocks.digests.is_complete)
            await asyncio.sleep(pause_s)
            pause_s = min(1.5 * pause_s, MAX_LEARN_S)
            digests = await _told_by(self._teller)
            try:
                if digests is None:
                    raise FileChanged
                self._moved(-blocks.expect(digests))
                misses = 0
            except FileChanged:
                misses += 1
                if misses >= ASKED:
                    if self._target.whole is None:
                        raise
                    self._teller = None
                    blocks.settle()
            await blocks.tell()

    async def _finished(self, part: Part, blocks: Blocks, fetching: Fetching, beginning: Beginning) -> None:
        """Wait for all blocks, and check the whole. Raises: ChecksumMismatch."""
        whole = self._target.whole or await self._described(blocks, beginning)
        while True:
            if whole is None:
                async with blocks.changed:
                    await blocks.changed.wait_for(lambda: blocks.are_there and blocks.digests.is_complete)
                wrong = await misread(blocks, part)
                if not wrong:
                    return
                self._moved(-blocks.drop(wrong))
            elif await hashed(blocks, part, whole) == whole.digits:
                return
            elif not await self._doubted(blocks, fetching):
                await part.do(part.forget)
                raise _mismatch(self._target)
            await blocks.tell()

    async def _doubted(self, blocks: Blocks, fetching: Fetching) -> bool:
        """Find out which blocks are wrong though none was known to be; False if nobody can say it."""
        drops = blocks.drops
        async with blocks.changed:
            await blocks.changed.wait_for(
                lambda: self._teller is None or blocks.digests.is_complete or blocks.drops != drops
            )
        others = [source for source in self._target.sources if source is not self._teller]
        while blocks.drops == drops and others:
            digests = await _told_by(others.pop(0))
            if digests is not None and digests.is_complete:
                blocks.is_disputed = True
                with suppress(FileChanged):
                    self._moved(-blocks.expect(digests))
        blocks.settle()
        fetching.forgive()
        return blocks.drops != drops

    async def _described(self, blocks: Blocks, beginning: Beginning) -> Whole | None:
        """Ask the file's own server what all of it hashes to, once that is known; None if it can't say."""
        source, link = self._target.sources[0], beginning.describedby
        if link is None or beginning.source is not source:
            return None
        async with blocks.changed:
            await blocks.changed.wait_for(lambda: blocks.digests.is_complete)
        try:
            told = (await source.transport.call("GET", link)).json()
            return parse_whole(f"{told['algorithm']}={told['digest']}")
        except (HashserverError, TypeError, KeyError):
            return None


def _mismatch(target: Target) -> ChecksumMismatch:
    return ChecksumMismatch(f"what came does not hash to {target.what}")


async def _told_by(source: Source) -> BlockDigests | None:
    try:
        return await source.digests()
    except HashserverError:
        return None
