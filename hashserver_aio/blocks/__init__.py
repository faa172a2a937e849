"""Blocks of a buffer, and the Merkle tree over its leaves: what a download is checked by as it arrives.

Nothing here reads a file or knows a store. All of it always means the plain bytes.
"""

from .digester import BlockDigester
from .manifest import (
    DEFAULT_BLOCK_BYTES,
    MAX_BLOCK_BYTES,
    MAX_BLOCKS,
    SHA1_BYTES,
    Manifest,
    Proof,
    is_block_size,
    prove,
)
from .merkle import DIGEST_BYTES, LEAF_BYTES, Root, leaf_hash, root_of_path
from .recent import Recent

__all__ = [
    "DEFAULT_BLOCK_BYTES",
    "DIGEST_BYTES",
    "LEAF_BYTES",
    "MAX_BLOCKS",
    "MAX_BLOCK_BYTES",
    "SHA1_BYTES",
    "BlockDigester",
    "Manifest",
    "Proof",
    "Recent",
    "Root",
    "is_block_size",
    "leaf_hash",
    "prove",
    "root_of_path",
]
