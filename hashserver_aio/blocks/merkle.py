"""The Merkle tree over leaves of 64 KiB: its root in one pass, and paths to the root.

Source: RFC 9162 section 2.1, with any hash of 32 bytes. Where that splits a tree at the largest power
of two below its size, each level of it is the one below, hashed in pairs; what has no pair goes up as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..checksums import NewHash

LEAF_BYTES = 64 * 1024

DIGEST_BYTES = 32

_LEAF, _NODE = b"\x00", b"\x01"
"""What a hash begins with, so that no leaf can be passed off as a node."""


def leaf_hash(new: NewHash, leaf: bytes | memoryview) -> bytes:
    """Hash a leaf."""
    whole = new(_LEAF)
    whole.update(leaf)
    return whole.digest()


def _node_hash(new: NewHash, children: bytes) -> bytes:
    return new(_NODE + children).digest()


class Root:
    """The root of a tree whose leaves come one after the other; memory is one hash a level.

    Instead of leaves the roots of whole trees of one size (a power of two of leaves) may come; the last one
    may be smaller.
    """

    def __init__(self, new: NewHash) -> None:
        self._new = new
        self._stack: list[bytes] = []
        self._count = 0

    def add(self, digest: bytes) -> None:
        """Take the hash of the next leaf."""
        self._stack.append(digest)
        self._count += 1
        pairs = self._count
        while pairs % 2 == 0:
            right, left = self._stack.pop(), self._stack.pop()
            self._stack.append(_node_hash(self._new, left + right))
            pairs //= 2

    def digest(self) -> bytes:
        """The root over all that came so far; of nothing, the hash of nothing."""
        if not self._stack:
            return self._new(b"").digest()
        root = self._stack[-1]
        for left in reversed(self._stack[:-1]):
            root = _node_hash(self._new, left + root)
        return root


def levels_of(new: NewHash, leaves: bytes) -> list[bytes]:
    """Give the levels of a tree from the hashes of its leaves up to the root, each packed."""
    levels = [leaves]
    while len(below := levels[-1]) > DIGEST_BYTES:
        pairs = (below[at : at + 2 * DIGEST_BYTES] for at in range(0, len(below), 2 * DIGEST_BYTES))
        levels.append(b"".join(p if len(p) == DIGEST_BYTES else _node_hash(new, p) for p in pairs))
    return levels


def path_in(levels: Sequence[bytes], index: int) -> list[bytes]:
    """Give the hashes that lead from one hash of the lowest level to the root (RFC 9162 2.1.3.1)."""
    path = []
    for level in levels[:-1]:
        at = (index ^ 1) * DIGEST_BYTES
        if at < len(level):
            path.append(level[at : at + DIGEST_BYTES])
        index //= 2
    return path


def root_of_path(new: NewHash, leaf: bytes, index: int, count: int, path: Sequence[bytes]) -> bytes | None:
    """Compute the root that a path leads to; None where it is no path of a leaf of such a tree.

    `leaf`: the hash of the leaf with this index, of `count`. Source: RFC 9162 section 2.1.3.2.
    """
    if not 0 <= index < count:
        return None
    at, last, root = index, count - 1, leaf
    for sibling in path:
        if last == 0 or len(sibling) != DIGEST_BYTES:
            return None
        if at % 2 or at == last:
            root = _node_hash(new, sibling + root)
            while at % 2 == 0 and at != 0:  # levels that it went up alone
                at, last = at // 2, last // 2
        else:
            root = _node_hash(new, root + sibling)
        at, last = at // 2, last // 2
    return root if last == 0 else None
