"""What is counted: numbers in memory that several processes share, each with a row of its own.

A row is only ever added to by the one process that has it, and goes on under the process that
replaces it: so the sums of all rows never go back. How they are told to others is none of this room.
"""

from __future__ import annotations

import mmap
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from .checksums import Algorithm, Digests

HASHES = (*map(str, Algorithm), *Digests._fields)
"""The hashes that are measured, in the order of their columns."""

SYNC_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the columns that syncs are sorted into; from a good SSD to a disk that is dying."""

IN_PROGRESS, WAITING = range(2)
"""Requests in progress, and of these the ones that wait for a buffer: what is now, not a sum over time."""

HITS, MISSES, BYTES_IN, BYTES_OUT, CORRUPT, QUARANTINED, SYNC_S = range(2, 9)
SYNCS = SYNC_S + 1
"""The first of the columns for syncs, one more than there are bounds."""

HASHED_BYTES = SYNCS + len(SYNC_BOUNDS_S) + 1
HASHING_S = HASHED_BYTES + len(HASHES)
"""The first of the columns for hashes, one a hash."""

AUDIT_RESULTS = ("passed", "wrong", "missing", "late", "unreachable", "refused")
"""What audits of nodes come to, in the order of their columns."""

AUDITS = HASHING_S + len(HASHES)
"""The first of the columns for audits, one a result."""

PUSHES = AUDITS + len(AUDIT_RESULTS)
RESCUES = PUSHES + 1
"""Buffers that nodes took, and buffers that were lost here and came back from them."""

MORE = RESCUES + 1
"""The first column that this room gives no meaning to."""

_A_LINE = 64 // 8
"""Numbers in a cache line: two processes that write to the same one wait for each other."""


class Counts:
    """What one process counts, and the sums of what all do that it shares memory with.

    `row`: its numbers, by column. The event loop's thread adds to those columns that are its own
    without further ado; what other threads count goes through methods.
    """

    def __init__(self, rows: Sequence[memoryview[float]], number: int = 0) -> None:
        self.row = rows[number]
        self._rows = rows
        self._adding = threading.Lock()

    def hashed(self, name: str, size: int, taken_s: float) -> None:
        """Some bytes were hashed; from any thread."""
        at = HASHES.index(name)
        with self._adding:
            self.row[HASHED_BYTES + at] += size
            self.row[HASHING_S + at] += taken_s

    def add(self, column: int) -> None:
        """Something happened once more; from the event loop's thread."""
        self.row[column] += 1

    def audited(self, result: str) -> None:
        """An audit came to one of AUDIT_RESULTS; from the event loop's thread."""
        self.row[AUDITS + AUDIT_RESULTS.index(result)] += 1

    @contextmanager
    def syncing(self) -> Iterator[None]:
        """Measure a sync, unless it fails; from any thread."""
        began_s = time.perf_counter()
        yield
        taken_s = time.perf_counter() - began_s
        with self._adding:
            self.row[SYNCS + bisect_left(SYNC_BOUNDS_S, taken_s)] += 1
            self.row[SYNC_S] += taken_s

    def died(self) -> None:
        """The process that had this row has ended, and with it whatever it was doing."""
        self.row[IN_PROGRESS] = self.row[WAITING] = 0

    @property
    def are_of_one(self) -> bool:
        """Whether only one process counts."""
        return len(self._rows) == 1

    def sums(self) -> list[float]:
        """Add up the numbers of all processes, column by column."""
        return [sum(column) for column in zip(*(row.tolist() for row in self._rows), strict=True)]


def shared_counts(processes: int = 1, more: int = 0) -> list[Counts]:
    """Make the counts of some processes, before they are forked; `more`: columns from MORE on."""
    width = -(-(MORE + more) // _A_LINE) * _A_LINE
    numbers = memoryview(mmap.mmap(-1, processes * width * 8)).cast("d")
    rows = [numbers[at : at + width] for at in range(0, len(numbers), width)]
    return [Counts(rows, number) for number in range(processes)]
