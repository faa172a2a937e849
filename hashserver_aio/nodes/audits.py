"""Audits: a node is asked for leaves of a buffer that nobody could foresee, and for their paths to the root.

Who checks an answer needs the root and the size, no byte of the buffer and no secret: so it goes on for ever.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgpack  # type: ignore[import-untyped]  # it has no types

from ..blocks import DIGEST_BYTES, LEAF_BYTES, Proof, leaf_hash, root_of_path
from ..checksums import Algorithm, Checksum, new_hash

LEAVES = 8
"""So many are asked for at once; `docs/audits.rst` tells why."""

LEAVES_AGAIN = 64
"""So many of what failed since it last passed: four megabytes, to be good again."""

_RANDOM = secrets.SystemRandom()


class Challenge(NamedTuple):
    """What a node is asked for: leaves of a buffer of `size` bytes, by their numbers, rising."""

    checksum: Checksum
    size: int
    leaves: tuple[int, ...]

    @property
    def leaf_count(self) -> int:
        """How many leaves the buffer has; none, if it is empty."""
        return _leaf_count(self.size)


def make_challenge(checksum: Checksum, size: int, leaves: int = LEAVES) -> Challenge:
    """Ask for some leaves of a buffer, or for all if it has no more.

    An empty buffer has none: to answer that proves nothing, as there is nothing that could be lost.
    """
    count = _leaf_count(size)
    return Challenge(checksum, size, tuple(sorted(_RANDOM.sample(range(count), min(leaves, count)))))


def packed(proofs: Sequence[Proof]) -> bytes:
    """Word an answer: [[index, leaf, [sibling, ...]], ...] as msgpack."""
    wire: bytes = msgpack.packb([[proof.index, proof.leaf, proof.path] for proof in proofs])
    return wire


def max_answer_bytes(challenge: Challenge) -> int:
    """Tell how long the answer to a challenge may be."""
    path = _depth(challenge) * (2 + DIGEST_BYTES)  # what stands before each: of bytes 2, of a leaf 3,
    return 5 + len(challenge.leaves) * (1 + 9 + 3 + LEAF_BYTES + 3 + path)  # of a number up to 9, of a list 5


def is_passed(challenge: Challenge, algorithm: Algorithm, root: bytes, answer: bytes) -> bool:
    """Tell whether an answer holds exactly the leaves that were asked for, of the buffer with this root."""
    if not challenge.leaves:
        return answer == packed([]) and root == new_hash(algorithm)(b"").digest()
    proofs = _unpacked(challenge, answer)
    if not isinstance(proofs, list) or len(proofs) != len(challenge.leaves):
        return False
    wanted = zip(challenge.leaves, proofs, strict=True)
    return all(_is_proof(challenge, index, algorithm, root, proof) for index, proof in wanted)


def _is_proof(challenge: Challenge, index: int, algorithm: Algorithm, root: bytes, proof: Any) -> bool:
    if not isinstance(proof, list) or [type(part) for part in proof] != [int, bytes, list]:
        return False
    told, leaf, path = proof
    if told != index or len(leaf) != min(LEAF_BYTES, challenge.size - index * LEAF_BYTES):
        return False
    if not all(isinstance(sibling, bytes) for sibling in path):
        return False
    new = new_hash(algorithm)
    return root_of_path(new, leaf_hash(new, leaf), index, challenge.leaf_count, path) == root


def _unpacked(challenge: Challenge, answer: bytes) -> Any:
    """Read an answer, of which nothing is larger than it has to be; None if it can't be read."""
    if len(answer) > max_answer_bytes(challenge):
        return None
    try:
        return msgpack.unpackb(
            answer,
            max_array_len=max(len(challenge.leaves), 3, _depth(challenge)),
            max_bin_len=LEAF_BYTES,
            max_map_len=0,
            max_str_len=0,
            max_ext_len=0,
        )
    except Exception:  # a stranger wrote it: nothing that the library raises is known to be all
        return None


def _leaf_count(size: int) -> int:
    return -(-size // LEAF_BYTES)


def _depth(challenge: Challenge) -> int:
    """Tell how long a path is at most."""
    return max(0, challenge.leaf_count - 1).bit_length()
