"""Bytes in pieces, for whoever must not notice where these end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from itertools import pairwise

from hypothesis import strategies as st


def chunked(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """Cut data at places that may lie anywhere; without any, into single bytes."""
    if not cuts:
        return [data[i : i + 1] for i in range(len(data))]
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[begin:end] for begin, end in pairwise(edges)]


CUTS = st.lists(st.integers(0, 1000), max_size=6)


def pieces_of(data: bytes, count: int = 1024 * 1024) -> Iterator[bytes]:
    """Cut data into pieces of one length."""
    return (data[begin : begin + count] for begin in range(0, len(data), count))


class Source:
    """A buffer being read: how much of it was, and whether it was let go."""

    def __init__(self, data: bytes, repeat: int = 1) -> None:
        self._data = data
        self._repeat = repeat
        self.size = len(data) * repeat
        self.read_bytes = 0
        self.begun = asyncio.Event()
        self.closed = False

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield the bytes."""
        try:
            self.begun.set()
            for _ in range(self._repeat):
                for piece in pieces_of(self._data):
                    self.read_bytes += len(piece)
                    yield piece
        finally:
            self.closed = True
