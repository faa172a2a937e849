"""What is held and known about it: an index of the store, never the truth about it.

Every row can be lost; the worst that follows is that a file is hashed once more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from ..checksums import Checksum
from ..store import Form, Identity

__all__ = ["Arrival", "Catalogue", "Known"]


class Known(NamedTuple):
    """What is known of a stored file as long as it still is `identity`.

    `plain_size` in bytes; `sha256` 32 bytes, of the plain bytes; `durable`: synced to the disk.
    """

    identity: Identity
    plain_size: int
    sha256: bytes | None
    durable: bool


@dataclass(frozen=True, slots=True)
class Arrival:
    """A stored file that was found to hash to its name."""

    checksum: Checksum
    place: str
    form: Form
    known: Known


class Catalogue(Protocol):
    """What is held. Reads are answered at once; writes are durable when they return."""

    def known(self, checksum: Checksum, place: str, form: Form) -> Known | None:
        """Tell what is known of a stored file; the caller compares the identity."""

    def holds(self, checksum: Checksum) -> bool:
        """Tell whether a buffer is listed as held."""

    async def record(self, arrival: Arrival) -> None:
        """List a buffer as held, unless it is, and remember its file."""

    async def forget(self, checksum: Checksum, is_absent: Callable[[], bool]) -> None:
        """List a buffer as deleted, if it is still absent when its turn comes."""

    async def close(self) -> None:
        """Finish what is being written."""
