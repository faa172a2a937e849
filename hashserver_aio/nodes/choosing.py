"""Which nodes get a buffer: rendezvous hashing, weighted.

Each node draws a time for each buffer, from a hash of both; those that come first get it. Who joins or leaves
moves no more than what it gets or had: nobody else's times change.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Sequence
from typing import NamedTuple

from ..checksums import Checksum

MAX_WEIGHED_BYTES = 2**44
"""16 TiB. What a node claims beyond it gets it nothing more: it can't be checked before it is full."""

_UNIT_BYTES = 2**30


class Candidate(NamedTuple):
    """A node that may get a buffer; `node`: its seq, `host`: of its URL. Nothing goes to a weight of 0."""

    node: int
    key: bytes
    host: str
    weight: float


def weight_of(capacity: int, record: float) -> float:
    """Weigh a node: by the bytes that it says it can hold, and how much of what it said was so."""
    return max(0, min(capacity, MAX_WEIGHED_BYTES)) / _UNIT_BYTES * max(0.0, record)


def choose(checksum: Checksum, candidates: Sequence[Candidate], count: int) -> list[Candidate]:
    """Choose nodes for a buffer, the best first.

    Of those on one host only one is chosen, as long as there are others: they may be one disk.
    Source: Thaler and Ravishankar, 1998; weights as in Schindelhauer and Schomaker, 2005.
    """
    wanted = [candidate for candidate in candidates if candidate.weight > 0]
    times = _times(checksum, wanted)
    chosen: list[Candidate] = []
    others: list[Candidate] = []
    hosts: set[str] = set()
    for index in sorted(range(len(wanted)), key=times.__getitem__):
        if len(chosen) >= count:
            break
        candidate = wanted[index]
        (others if candidate.host in hosts else chosen).append(candidate)
        hosts.add(candidate.host)
    return chosen + others[: max(0, count - len(chosen))]


def _times(checksum: Checksum, candidates: Sequence[Candidate]) -> list[float]:
    """Draw the time of each candidate.

    With h uniform in (0, 1], -ln(h)/w comes first with a probability of w in the sum of all weights. (It is
    the score -w/ln(h), turned over, so that an h of 1 divides nothing by 0.) h has 53 bits, as floats have.
    """
    log, blake2b, name = math.log, hashlib.blake2b, bytes.fromhex(checksum)
    drawn = b"".join([blake2b(name + candidate.key, digest_size=8).digest() for candidate in candidates])
    numbers = struct.unpack(f">{len(candidates)}Q", drawn)
    return [
        -log(((number >> 11) + 1) * 2.0**-53) / candidate.weight
        for number, candidate in zip(numbers, candidates, strict=True)
    ]
