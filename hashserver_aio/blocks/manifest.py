"""What a buffer's blocks and leaves hash to, and proofs that a leaf is one of a buffer's.

For proofs the roots of the trees over each block are kept: a block is whole trees of leaves, so one block
has to be read and hashed, and no other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from ..checksums import Algorithm, new_hash
from .merkle import DIGEST_BYTES, LEAF_BYTES, leaf_hash, levels_of, path_in

DEFAULT_BLOCK_BYTES = 2 * 1024 * 1024

MAX_BLOCK_BYTES = 64 * 1024 * 1024
"""A block is read and hashed for each proof: here a quarter of a second."""

MAX_BLOCKS = 2**18
"""22 MB of digests, and a list of 16 MB when it is told; 512 GiB in blocks of 2 MiB."""

SHA1_BYTES = 20


def is_block_size(size: int) -> bool:
    """Tell whether blocks may have this size: whole trees of leaves, and not too many of them."""
    return LEAF_BYTES <= size <= MAX_BLOCK_BYTES and size & (size - 1) == 0


@dataclass(frozen=True)
class Manifest:
    """What the blocks of a buffer hash to, in order and packed.

    `sha1s`: 20 bytes a block. `digests`: 32 bytes a block, by `algorithm`. `roots`: of the trees over the
    leaves of each block; `root`: over all leaves.
    """

    algorithm: Algorithm
    size: int
    block_size: int
    sha1s: bytes
    digests: bytes
    roots: bytes
    root: bytes

    @property
    def leaf_count(self) -> int:
        """How many leaves there are; the last one may be shorter, and an empty buffer has none."""
        return -(-self.size // LEAF_BYTES)

    @property
    def memory_bytes(self) -> int:
        """Reckon what it takes in memory, once a proof was asked for."""
        return 1000 + len(self.sha1s) + len(self.digests) + 3 * len(self.roots)

    @cached_property
    def levels(self) -> list[bytes]:
        """The levels of the tree above the blocks; to compute them takes a while."""
        return levels_of(new_hash(self.algorithm), self.roots)

    def block_of(self, leaf: int) -> tuple[int, int]:
        """Tell the first byte, and the length, of the block that a leaf is in."""
        first = leaf * LEAF_BYTES // self.block_size * self.block_size
        return first, min(self.block_size, self.size - first)


@dataclass(frozen=True, slots=True)
class Proof:
    """The bytes of a leaf, and the hashes that lead from it to the root."""

    index: int
    leaf: bytes
    path: list[bytes]


def prove(manifest: Manifest, index: int, block: bytes) -> Proof | None:
    """Prove that a leaf is one of a buffer's, with the bytes of its block; None if they are others."""
    new = new_hash(manifest.algorithm)
    inner, outer = index % (manifest.block_size // LEAF_BYTES), index * LEAF_BYTES // manifest.block_size
    leaves = list(_leaves(block))
    levels = levels_of(new, b"".join(leaf_hash(new, leaf) for leaf in leaves))
    if levels[-1] != manifest.roots[outer * DIGEST_BYTES : (outer + 1) * DIGEST_BYTES]:
        return None
    path = path_in(levels, inner) + path_in(manifest.levels, outer)
    return Proof(index, bytes(leaves[inner]), path)


def _leaves(block: bytes) -> Iterator[memoryview]:
    view = memoryview(block)
    return (view[at : at + LEAF_BYTES] for at in range(0, len(view), LEAF_BYTES))
