"""Merkle trees straight from the definitions of RFC 9162, to hold ours against."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

LEAF = 64 * 1024


def sha3(data: bytes) -> bytes:
    """Hash as the store does by default."""
    return hashlib.sha3_256(data).digest()


def leaves_of(body: bytes) -> list[bytes]:
    """Cut a buffer into leaves."""
    return [body[at : at + LEAF] for at in range(0, len(body), LEAF)]


def split(count: int) -> int:
    """Find the largest power of two below a number."""
    power = 1
    while power * 2 < count:
        power *= 2
    return power


def mth(leaves: Sequence[bytes], new: Any = hashlib.sha3_256) -> bytes:
    """Compute the Merkle tree hash (section 2.1.1)."""
    if not leaves:
        return bytes(new(b"").digest())
    if len(leaves) == 1:
        return bytes(new(b"\0" + leaves[0]).digest())
    k = split(len(leaves))
    return bytes(new(b"\1" + mth(leaves[:k], new) + mth(leaves[k:], new)).digest())


def path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Compute the path of a leaf (section 2.1.3.1)."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def leads(index: int, count: int, leaf: bytes, hashes: Sequence[bytes]) -> bytes:
    """Follow a path from a leaf to the root, by recursion from the top."""
    if count == 1:
        assert not hashes
        return sha3(b"\0" + leaf)
    k = split(count)
    *below, sibling = hashes
    if index < k:
        return sha3(b"\1" + leads(index, k, leaf, below) + sibling)
    return sha3(b"\1" + sibling + leads(index - k, count - k, leaf, below))
