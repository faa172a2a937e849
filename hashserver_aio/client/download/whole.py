"""Checking all of a file: read back, from its first block on, while the later ones come."""

from __future__ import annotations

from collections.abc import Callable

from .blocks import Blocks
from .part import Part, sha1_of
from .target import Whole

AT_ONCE_BYTES = 16 * 2**20
"""So much is read and hashed in one go."""

READ_BYTES = 2**20


async def hashed(blocks: Blocks, part: Part, whole: Whole) -> str:
    """Hash a file, waiting for its blocks: its digits. It begins anew if a block turns out to be wrong."""
    while True:
        drops, number, digest = blocks.drops, 0, whole.new()
        while number < blocks.count and drops == blocks.drops:
            stop = await _there(blocks, number, drops)
            if stop > number:
                first, end = blocks.span(number)[0], sum(blocks.span(stop - 1))
                await part.do(_feed, part, digest.update, first, end)
            number = stop
        if drops == blocks.drops:
            return str(digest.hexdigest())


async def misread(blocks: Blocks, part: Part) -> list[int]:
    """Read all blocks back, of which it is known what they hash to: those that are wrong on the disk."""
    wrong = []
    for number in range(blocks.count):
        sha1 = await part.do(_sha1, part, *blocks.span(number))
        if blocks.is_wrong(number, sha1):
            wrong.append(number)
    return wrong


async def _there(blocks: Blocks, number: int, drops: int) -> int:
    """Wait for a block: the first behind it that is not there, or that is for another time."""
    async with blocks.changed:
        await blocks.changed.wait_for(lambda: blocks.has(number) or blocks.drops != drops)
    stop = number
    most = number + max(1, AT_ONCE_BYTES // blocks.block_size)
    while stop < min(most, blocks.count) and blocks.has(stop):
        stop += 1
    return stop


def _sha1(part: Part, first: int, length: int) -> bytes:
    return sha1_of(part.read(first, bytearray(length)))


def _feed(part: Part, take: Callable[[bytearray], None], first: int, end: int) -> None:
    buffer = bytearray(READ_BYTES)
    for at in range(first, end, READ_BYTES):
        take(part.read(at, buffer if end - at >= READ_BYTES else bytearray(end - at)))
