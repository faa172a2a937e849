"""Which blocks of a file are there, which are on their way, and what they must hash to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from ...errors import FileChanged
from .digests import BlockDigests
from .ranges import CHANGED

STRETCH_BYTES = 16 * 2**20
"""One request asks for so much at most: more requests cost more, fewer leave less to share."""

_MISSING, _COMING, _THERE, _DOUBTED = range(4)


class Blocks:
    """The blocks of one file, and the SHA-1s that they must have, as far as those are told.

    `is_final`: nothing else tells whether the file is right. If not, all of it is hashed in the end, and a
    block that came twice in the same way is believed rather than what was told of it. `drops`: how often
    blocks that were there turned out to be wrong.
    """

    def __init__(self, digests: BlockDigests, *, is_final: bool) -> None:
        self.size = digests.size
        self.block_size = digests.block_size
        self.count = len(digests.sha1s)
        self.is_final = is_final
        self.sha1s: dict[int, bytes] = {}
        self.doubted: set[int] = set()
        self.disbelieved: set[int] = set()
        self.drops = 0
        self.changed = asyncio.Condition()
        self._told = list(digests.sha1s)
        self._wrong: dict[int, bytes] = {}
        self._states = bytearray(self.count)
        self._lowest = 0

    # -- which there are -------------------------------------------------------------------------

    @property
    def are_there(self) -> bool:
        """Tell whether none is missing."""
        return len(self.sha1s) == self.count

    def are_wanted(self) -> bool:
        """Tell whether some are missing and not on their way."""
        return self._states.find(_MISSING, self._lowest) >= 0

    def has(self, number: int) -> bool:
        """Tell whether a block is there."""
        return self._states[number] == _THERE

    def span(self, number: int) -> tuple[int, int]:
        """Tell the first byte and the length of a block."""
        first = number * self.block_size
        return first, min(self.block_size, self.size - first)

    def take(self, shares: int) -> range | None:
        """Take missing blocks in a row, to be fetched: of all that are missing one of so many shares."""
        self._lowest = first = self._states.find(_MISSING, self._lowest)
        if first < 0:
            self._lowest = self.count
            return None
        missing = self._states.count(_MISSING)
        most = min(max(1, STRETCH_BYTES // self.block_size), -(-missing // shares))
        end = first
        while end < self.count and end - first < most and self._states[end] == _MISSING:
            self._states[end] = _COMING
            end += 1
        return range(first, end)

    def give_back(self, numbers: Iterable[int]) -> None:
        """What was taken and did not come is missing again, unless it is to be found out what it must be."""
        for number in numbers:
            if self._states[number] == _COMING:
                self._states[number] = _DOUBTED if number in self.doubted else _MISSING
                self._lowest = min(self._lowest, number)

    def arrived(self, number: int, sha1: bytes) -> bool:
        """A block is in the file now; False if it was told meanwhile that it is wrong."""
        if self.is_wrong(number, sha1):
            return False
        self._states[number] = _THERE
        self.sha1s[number] = sha1
        return True

    def drop(self, numbers: Sequence[int]) -> int:
        """Blocks that seemed right are not: they are missing again. Tells how many bytes they have."""
        for number in numbers:
            del self.sha1s[number]
            self._states[number] = _MISSING
            self._lowest = min(self._lowest, number)
        self.drops += bool(numbers)
        return sum(self.span(number)[1] for number in numbers)

    # -- what they must be -----------------------------------------------------------------------

    @property
    def untold(self) -> int:
        """Of how many blocks it is to be told yet what they must hash to."""
        return self._told.count(None) - len(self.disbelieved)

    def is_wrong(self, number: int, sha1: bytes) -> bool:
        """Tell whether a block hashes to something else than it must."""
        return self._told[number] not in (None, sha1)

    def accepts(self, number: int, sha1: bytes) -> bool:
        """Judge a block that came. No line garbles a block twice in the same way: then somebody is wrong."""
        if not self.is_wrong(number, sha1):
            return True
        before, self._wrong[number] = self._wrong.get(number), sha1
        if before != sha1:
            return False
        if self.is_final:
            self.doubted.add(number)
            return False
        self._disbelieve(number)
        return True

    def expect(self, digests: BlockDigests) -> int:
        """Learn what blocks must hash to, and drop those that do not: how many bytes of them there were.

        Raises: FileChanged, if it is of another file, or other than before of blocks that nobody doubted.
        """
        if (digests.size, digests.block_size) != (self.size, self.block_size):
            raise FileChanged(CHANGED)
        for number, sha1 in enumerate(digests.sha1s):
            before = self._told[number]
            if sha1 in (None, before) or number in self.disbelieved:
                continue
            if before is None or number in self.doubted:
                self._told[number] = sha1
            elif self.is_final:
                raise FileChanged(CHANGED)
            else:
                self._disbelieve(number)
        self.doubted.clear()
        self._states = self._states.replace(bytes((_DOUBTED,)), bytes((_MISSING,)))
        self._lowest = 0
        return self._drop_wrong()

    def expect_others(self, digests: BlockDigests) -> int:
        """Take somebody else's word for what blocks must hash to. As `expect`; Raises: FileChanged."""
        if (digests.size, digests.block_size) != (self.size, self.block_size):
            raise FileChanged(CHANGED)
        self._told = list(digests.sha1s)
        self.disbelieved.clear()
        self._wrong.clear()
        return self._drop_wrong()

    def _disbelieve(self, number: int) -> None:
        self._told[number] = None
        self.disbelieved.add(number)

    def _drop_wrong(self) -> int:
        return self.drop([number for number, sha1 in self.sha1s.items() if self.is_wrong(number, sha1)])

    async def tell(self) -> None:
        """Wake whoever waits for a change."""
        async with self.changed:
            self.changed.notify_all()
