"""What servers say of the blocks of a file: asked for first, followed while they find it out, and doubted."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from ...errors import BadAnswer, BadArgument, FileChanged, HashserverError, StoreFailed
from .blocks import Blocks
from .digests import BlockDigests
from .part import Part
from .ranges import CHANGED, Source
from .target import Target
from .whole import misread

ANSWER_S = 20.0
"""A server that takes longer does not say it; but where nobody else does, it has as long as anything has."""

ASKED = 5
"""So often it is asked before it is believed that what comes makes no sense: a line may garble it."""

PAUSE_S = 0.5
MAX_PAUSE_S = 5.0
"""How often it is asked what further blocks hash to."""

NEWS_S = 600.0
"""Who has nothing new to say for that long says no more."""


class Telling:
    """Asks the servers of a file what its blocks hash to.

    `moved`: is told of bytes that were there and turn out to be wrong. `was_cut_short`: somebody may have
    something to say who could not, or not in time.
    """

    def __init__(self, target: Target, moved: Callable[[int], object]) -> None:
        self._moved = moved
        self._is_final = target.whole is None
        # Where nothing else is known of the file, a mirror could say anything.
        self._sources = list(target.sources if target.whole else target.sources[:1])
        self._what = target.what
        self._teller: Source | None = None
        self._says = Counter[Source]()
        self.was_cut_short = False

    async def begin(self, size: int) -> Blocks:
        """Ask for the first time. Raises: BadArgument, if nobody says it, nor what the whole hashes to."""
        for source in [source for source in self._sources if source.error is None]:
            digests = await self._told_by(source, size)
            if digests is not None:
                self._teller = source
                return Blocks(digests, is_final=self._is_final)
        if self._is_final:
            raise self._sources[0].error or BadArgument(
                f"nothing says what {self._what} hashes to: "
                "end the URL in #sha256=.., #sha3-256=.. or #sha512=.."
            )
        return Blocks(BlockDigests.unknown(size), is_final=False)

    async def follow(self, blocks: Blocks) -> None:
        """Ask again while there are blocks of which it is not told yet, or doubted what was told.

        Raises: BadAnswer, FileChanged, if the file can't be known any more.
        """
        clock = asyncio.get_running_loop().time
        pause_s, misses, news_s, untold = PAUSE_S, 0, clock(), blocks.untold
        while self._teller is not None:
            async with blocks.changed:
                await blocks.changed.wait_for(lambda: blocks.doubted or blocks.untold)
            await asyncio.sleep(pause_s)
            pause_s = min(1.5 * pause_s, MAX_PAUSE_S)
            try:
                self._learn(blocks, await self._told_by(self._teller, blocks.size))
                misses = 0
            except HashserverError:
                misses += 1
                if misses >= ASKED:
                    if self._is_final:
                        raise
                    self._teller = None
            if blocks.untold != untold:
                untold, news_s = blocks.untold, clock()
            elif untold and clock() - news_s > NEWS_S:
                if self._is_final:
                    raise BadAnswer(f"{self._teller} does not say what the last {untold} blocks hash to")
                self._teller = None
            await blocks.tell()

    async def doubt(self, blocks: Blocks, part: Part) -> bool:
        """Find out which blocks are wrong though none was known to be; False if nobody can say it."""
        drops = blocks.drops
        self._moved(-blocks.drop(await misread(blocks, part)))
        if blocks.drops == drops:
            async with blocks.changed:
                await blocks.changed.wait_for(
                    lambda: self._teller is None or not blocks.untold or blocks.drops != drops
                )
        while blocks.drops == drops and (other := self._least_asked()) is not None:
            digests = await self._told_by(other, blocks.size, NEWS_S)  # or all of it was in vain
            if digests is not None:
                with suppress(FileChanged):
                    self._moved(-blocks.expect_others(digests))
        return blocks.drops != drops

    def _least_asked(self) -> Source | None:
        """Choose whose word to take next; None when all had their say, as often as a line may garble it."""
        others = [source for source in self._sources if source is not self._teller]
        other = min(others, key=lambda source: self._says[source], default=None)
        if other is None or self._says[other] == ASKED:
            return None
        self._says[other] += 1
        return other

    def _learn(self, blocks: Blocks, digests: BlockDigests | None) -> None:
        if digests is None:
            raise BadAnswer(f"{self._what}: its server says no more what its blocks hash to")
        self._moved(-blocks.expect(digests))

    async def _told_by(
        self, source: Source, size: int, patience_s: float | None = None
    ) -> BlockDigests | None:
        """Ask a server; None if it can't say, or not in time. Raises: why not, if nobody else may say it."""
        patience_s = patience_s or (NEWS_S if self._is_final else ANSWER_S)
        error: HashserverError | None = None
        for _ in range(ASKED):
            try:
                async with asyncio.timeout(patience_s):
                    digests = await source.digests(size)
                if digests is None or digests.size == size:
                    return digests
                error = FileChanged(CHANGED)
            except (BadAnswer, StoreFailed) as failure:
                error = failure
            except TimeoutError:
                break
            except HashserverError as failure:
                error = failure
                break
        if self._is_final and error is not None:
            raise error
        self.was_cut_short = True
        return None
