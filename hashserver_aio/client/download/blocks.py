"""Which blocks of a file are there, which are on their way, and what they must hash to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from ...errors import FileChanged
from .digests import BlockDigests

STRETCH_BYTES = 16 * 2**20
"""One request asks for so much at most: more requests cost more, fewer leave less to share."""

_MISSING, _COMING, _THERE, _DISPUTED = range(4)


class Blocks:
    """The blocks of one file. What arrives must be what `digests` says of it, as soon as it says so."""

    def __init__(self, digests: BlockDigests) -> None:
        self.digests = digests
        self.size = digests.size
        self.block_size = digests.block_size
        self.count = len(digests.sha1s)
        self.drops = 0
        self.changed = asyncio.Condition()
        self.is_disputed = False
        self._states = bytearray(self.count)
        self.sha1s: dict[int, bytes] = {}
        self._lowest = 0
        self._wrong: dict[int, bytes] = {}

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

    def is_wrong(self, number: int, sha1: bytes) -> bool:
        """Tell whether a block hashes to something else than it must."""
        return self.digests.sha1s[number] not in (None, sha1)

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
        """What was taken and did not come is missing again."""
        for number in numbers:
            if self._states[number] == _COMING:
                self._states[number] = _MISSING
                self._lowest = min(self._lowest, number)

    def found(self, there: Mapping[int, bytes]) -> int:
        """Blocks were here before: how many bytes they have."""
        good = {number: sha1 for number, sha1 in there.items() if not self.is_wrong(number, sha1)}
        for number in good:
            self._states[number] = _THERE
        self.sha1s.update(good)
        return sum(self.span(number)[1] for number in good)

    def arrived(self, number: int, sha1: bytes) -> bool:
        """A block is in the file now; False if it is wrong, and so it is not there."""
        if self.is_wrong(number, sha1):
            self.give_back((number,))
            return False
        self._states[number] = _THERE
        self.sha1s[number] = sha1
        return True

    def dispute(self, number: int, sha1: bytes) -> None:
        """A block came wrong: if as before, what is said of it may be wrong, and it waits for that."""
        if self._wrong.get(number) == sha1:
            self._states[number] = _DISPUTED
            self.is_disputed = True
        self._wrong[number] = sha1

    def settle(self) -> None:
        """Nothing else is said of the blocks in dispute: they are missing again."""
        self.is_disputed = False
        while (number := self._states.find(_DISPUTED)) >= 0:
            self._states[number] = _MISSING
            self._lowest = min(self._lowest, number)

    def expect(self, digests: BlockDigests) -> int:
        """Learn what blocks must hash to, and drop those that do not: how many bytes of them there were.

        Raises: FileChanged, if other blocks were told of before, and that was not disputed.
        """
        before = zip(self.digests.sha1s, digests.sha1s, strict=False)
        is_same = (digests.size, digests.block_size) == (self.size, self.block_size)
        if not is_same or (not self.is_disputed and any(old not in (None, new) for old, new in before)):
            raise FileChanged
        self.digests = digests
        self.settle()
        return self.drop([number for number, sha1 in self.sha1s.items() if self.is_wrong(number, sha1)])

    def drop(self, numbers: Sequence[int]) -> int:
        """Blocks that seemed right are not: they are missing again. Tells how many bytes they have."""
        for number in numbers:
            del self.sha1s[number]
            self._states[number] = _MISSING
            self._lowest = min(self._lowest, number)
        self.drops += bool(numbers)
        return sum(self.span(number)[1] for number in numbers)

    async def tell(self) -> None:
        """Wake whoever waits for a change."""
        async with self.changed:
            self.changed.notify_all()
