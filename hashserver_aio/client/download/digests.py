"""What a server says of the blocks of a file: `/rd/`, as `rd-api` 1.7 words it, and so do our servers.

SHA-1s are told as they become known, which a list of better digests is not, and they are hashed as fast as
a line is: so they find the blocks that arrived wrong, while the whole is known by a better digest.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ...blocks import DEFAULT_BLOCK_BYTES, LEAF_BYTES, MAX_BLOCK_BYTES, MAX_BLOCKS, SHA1_BYTES
from ...errors import BadAnswer, BufferTooLarge

PENDING = "pending"

LISTING_BYTES, LINE_BYTES = 64 * 1024, 120
"""What is said of a file takes no more, and no more for each of its blocks."""


@dataclass(frozen=True, slots=True)
class BlockDigests:
    """The SHA-1s of a file's blocks, in order; None where it is not known yet."""

    size: int
    block_size: int
    sha1s: tuple[bytes | None, ...]

    @classmethod
    def unknown(cls, size: int) -> BlockDigests:
        """What is known where nobody says anything. Raises: BufferTooLarge."""
        block_size = DEFAULT_BLOCK_BYTES
        while size > block_size * MAX_BLOCKS:
            block_size *= 2
        if block_size > MAX_BLOCK_BYTES:
            raise BufferTooLarge(f"{size:,} bytes are more than can be downloaded")
        return cls(size, block_size, (None,) * -(-size // block_size))


def most_bytes(size: int) -> int:
    """Tell how long what a server says of a file of a size may be."""
    return LISTING_BYTES + LINE_BYTES * min(MAX_BLOCKS, size // LEAF_BYTES + 1)


def parse_digests(body: bytes) -> BlockDigests | None:
    """Read what a server says of a file; None if it has nothing to say. Raises: BadAnswer."""
    try:
        told = json.loads(body)
        if told["ok"] is not True:
            return None
        size, blocks = _whole(told["file_size"]), told["blocks"]
        block_size = _block_size(size, blocks)
        sha1s = tuple(_sha1(each[3]) for each in blocks)
    except (TypeError, KeyError, IndexError, ValueError, RecursionError):
        raise BadAnswer("what the server says of the blocks makes no sense") from None
    return BlockDigests(size, block_size, sha1s)


def _block_size(size: int, blocks: list[Any]) -> int:
    """Find how long blocks are. Raises: ValueError, if they are not those of a file of this size."""
    if not blocks and size == 0:
        return LEAF_BYTES
    firsts = [_whole(each[1]) for each in blocks]
    block_size = _whole(blocks[0][2]) + 1
    if not min(size, LEAF_BYTES) <= block_size <= MAX_BLOCK_BYTES or len(blocks) > MAX_BLOCKS:
        raise ValueError  # too many, or too large to be held
    if firsts[0] or any(after - before != block_size for before, after in pairwise(firsts)):
        raise ValueError
    if not 0 < size - firsts[-1] <= block_size or blocks[-1][2] != size - 1:
        raise ValueError
    return block_size


def _whole(value: Any) -> int:
    """Read a number. Raises: ValueError, if it is none, or a fraction."""
    if type(value) is not int:
        raise ValueError
    return value


def _sha1(text: str) -> bytes | None:
    if text == PENDING:
        return None
    sha1 = bytes.fromhex(text)
    if len(sha1) != SHA1_BYTES:
        raise ValueError
    return sha1
