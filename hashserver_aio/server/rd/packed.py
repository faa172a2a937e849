"""Wording packed digests, a thousand at a time: of a large buffer all at once would hold up others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

AT_ONCE = 1000
"""So many are worded in half a millisecond."""


async def worded(count: int, word: Callable[[int], str]) -> str:
    """Word things by their numbers, with commas between them."""
    parts = []
    for first in range(0, count, AT_ONCE):
        if first:
            await asyncio.sleep(0)
        parts.append(",".join(map(word, range(first, min(first + AT_ONCE, count)))))
    return ",".join(parts)


def hexadecimal(packed: bytes, digest_size: int, number: int) -> str:
    """Write one of some packed digests."""
    return packed[number * digest_size : (number + 1) * digest_size].hex()
