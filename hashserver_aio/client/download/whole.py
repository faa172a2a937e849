"""Checking all of a file: read back, from its first block on, while the later ones come."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from stat import S_ISREG

from .blocks import Blocks
from .part import Part
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


def is_whole(path: Path, size: int, whole: Whole) -> bool:
    """Tell whether a file is there, and right."""
    try:
        with path.open("rb") as file:
            if not S_ISREG(os.fstat(file.fileno()).st_mode) or os.fstat(file.fileno()).st_size != size:
                return False
            return str(hashlib.file_digest(file, whole.new).hexdigest()) == whole.digits
    except OSError:
        return False


async def misread(blocks: Blocks, part: Part) -> list[int]:
    """Read back the blocks that are there: those that are not on the disk as they came."""
    wrong = []
    for number, came in list(blocks.sha1s.items()):
        sha1 = await part.do(part.sha1, *blocks.span(number))
        if sha1 != came == blocks.sha1s.get(number):  # or it was fetched again meanwhile
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


def _feed(part: Part, take: Callable[[bytearray], None], first: int, end: int) -> None:
    buffer = bytearray(READ_BYTES)
    for at in range(first, end, READ_BYTES):
        take(part.read(at, buffer if end - at >= READ_BYTES else bytearray(end - at)))
