"""A download from its beginning to its end: what there is, what is here already, the rest, and the whole."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from ...errors import BadAnswer, BufferTooLarge, ChecksumMismatch, FileChanged, HashserverError
from ..bodies import Progress
from ..retries import Again
from ..threads import in_thread
from ..together import until
from .blocks import Blocks
from .fetching import Fetching
from .part import Part, opened
from .ranges import CHANGED, Beginning, Source
from .target import Target, Whole, parse_whole
from .telling import Telling
from .whole import hashed, is_whole, misread

log = logging.getLogger(__name__)

MAX_BLIND = 3
"""So often all is fetched anew that turned out wrong while nobody said what its blocks hash to."""


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
        self._is_blind = False
        self._blind_tries = 0

    async def run(self, limit_bytes: int | None = None) -> int:
        """Save the file, which is there once it is whole: its size.

        What came before, also to another process, is not asked for again. Raises: what a server refuses with;
        ServerUnreachable, BadAnswer; ChecksumMismatch; FileChanged; BufferTooLarge; NoSpace; Busy, if
        it is being saved already; BadArgument, if nobody says what it hashes to; OSError.
        """
        while True:
            beginning = await self._begin()
            self._size, self._done = beginning.size, 0
            if limit_bytes is not None and self._size > limit_bytes:
                raise BufferTooLarge(f"it is longer than the {limit_bytes} bytes that are wanted")
            try:
                if not await self._is_there():
                    await self._save(beginning)
            except HashserverError as error:
                if not self._is_of_another(beginning.source) and not self._may_begin_anew(error):
                    raise
            else:
                self._tell_of_mirrors()
                return self._size

    async def _is_there(self) -> bool:
        """Tell whether the file is there already, from before."""
        whole = self._target.whole
        if whole is None or not await in_thread(is_whole, self._path, self._size, whole):
            return False
        self._moved(self._size)
        return True

    def _tell_of_mirrors(self) -> None:
        for mirror in self._target.sources[1:]:
            if mirror.error is not None:
                log.warning("of no use for %s: the mirror %s: %s", self._path.name, mirror, mirror.error)

    async def _save(self, beginning: Beginning) -> None:
        async with opened(self._path, self._target.what, self._size) as part:
            if self._target.whole is not None and len(beginning.data) == self._size:
                await part.do(part.write_all, bytes(beginning.data))
                self._moved(self._size)
            else:
                await self._fetch(part, beginning)
            await part.do(part.finish)

    def _is_of_another(self, mirror: Source) -> bool:
        """Tell whether a mirror that was first to answer has a file of another size than others have.

        Then it is asked no more, and they are.
        """
        others = [source for source in self._target.sources if source.other_size is not None]
        if self._target.whole is None or mirror is self._target.sources[0] or not others:
            return False
        for source in others:
            source.forgive()
        mirror.error = BadAnswer(f"{mirror.transport.url} has a file of another size")
        return True

    def _may_begin_anew(self, error: HashserverError) -> bool:
        """Tell whether it may go better once more: what came is wrong, and nobody had said in time of
        which block.
        """
        if not isinstance(error, ChecksumMismatch) or not self._is_blind:
            return False
        self._blind_tries += 1
        return self._blind_tries <= MAX_BLIND

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
                    async with self._slots:
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
        if whole is None or beginning.size > len(beginning.data):
            return
        digest = whole.new()
        await asyncio.to_thread(digest.update, beginning.data)
        if digest.hexdigest() != whole.digits:
            raise Again(_mismatch(self._target))

    # -- the rest --------------------------------------------------------------------------------

    async def _fetch(self, part: Part, beginning: Beginning) -> None:
        """Have all blocks in the part, and all of it checked."""
        telling = Telling(self._target, self._moved)
        blocks = await telling.begin(self._size)
        self._is_blind = telling.was_cut_short and blocks.untold == blocks.count
        for number in part.claimed(blocks.block_size):
            sha1 = await part.do(part.sha1, *blocks.span(number))
            if part.is_as_claimed(number, blocks.block_size, sha1) and blocks.arrived(number, sha1):
                self._moved(blocks.span(number)[1])
        await part.do(part.begin, blocks.block_size, blocks.sha1s)
        fetching = Fetching(self._target.sources, blocks, part, self._slots, self._moved)
        await fetching.seed(beginning)
        workers = (fetching.work(self._workers) for _ in range(self._workers))
        checking = self._check(part, blocks, fetching, telling, beginning)
        await until(checking, (telling.follow(blocks), *workers))

    async def _check(
        self, part: Part, blocks: Blocks, fetching: Fetching, telling: Telling, beginning: Beginning
    ) -> None:
        """Wait for all blocks, and check the whole. Raises: ChecksumMismatch."""
        whole = self._target.whole or await self._described(blocks, beginning)
        while True:
            if whole is None:
                async with blocks.changed:
                    await blocks.changed.wait_for(lambda: blocks.are_there and not blocks.untold)
                wrong = await misread(blocks, part)
                if not wrong:
                    return
                self._moved(-blocks.drop(wrong))
            elif await hashed(blocks, part, whole) == whole.digits:
                return
            elif await telling.doubt(blocks, part):
                fetching.forgive()
            else:
                if not blocks.disbelieved:  # or else the next time these are fetched again
                    await part.do(part.forget)
                raise _mismatch(self._target)
            await blocks.tell()

    async def _described(self, blocks: Blocks, beginning: Beginning) -> Whole | None:
        """Ask the file's own server what all of it hashes to, once that is known; None if it can't say."""
        source, link = self._target.sources[0], beginning.describedby
        if link is None or beginning.source is not source:
            return None
        async with blocks.changed:
            await blocks.changed.wait_for(lambda: not blocks.untold)
        try:
            told = (await source.transport.call("GET", link)).json()
            return parse_whole(f"{told['algorithm']}={told['digest']}")
        except (HashserverError, TypeError, KeyError):
            return None


def _mismatch(target: Target) -> HashserverError:
    if target.whole is None:
        return FileChanged(CHANGED)
    return ChecksumMismatch(f"what came does not hash to {target.what}")
