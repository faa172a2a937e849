"""Numbers that several processes see; made before they are forked."""

from __future__ import annotations

import mmap

_CACHE_LINE_BYTES = 64
"""Each number has one: two processes that write to the same line wait for each other."""


class SharedNumbers:
    """A number for each of several processes, to be written by it and read by all."""

    def __init__(self, count: int, value: float) -> None:
        numbers = memoryview(mmap.mmap(-1, count * _CACHE_LINE_BYTES)).cast("d")
        step = _CACHE_LINE_BYTES // numbers.itemsize
        self._numbers = [numbers[at : at + 1] for at in range(0, len(numbers), step)]
        for number in self._numbers:
            number[0] = value

    def of(self, process: int) -> memoryview[float]:
        """Give the place of one process's number."""
        return self._numbers[process]

    def all(self) -> list[float]:
        """Give all numbers."""
        return [number[0] for number in self._numbers]
