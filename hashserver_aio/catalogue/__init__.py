"""What is held and known about it: an index of the store, never the truth about it.

Every row can be lost; the worst that follows is that a file is hashed once more,
or that a node has to register again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from ..blocks import Manifest
from ..checksums import Checksum, Digests, Hashset
from ..settings import Limits
from ..store import Form, Identity
from ..store.files import FileId
from .farmers import Farmers
from .nodes import Nodes

__all__ = ["Arrival", "Catalogue", "Digested", "Held", "IsAbsent", "Known", "Page", "Totals"]


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
    """A stored file that was found to hash to its name; `others` where they were computed, too."""

    checksum: Checksum
    place: str
    form: Form
    known: Known
    others: Digests | None = None


class Held(NamedTuple):
    """A buffer in the order of arrival: `seq` grows with each; `size` in bytes; `sha256` 32 bytes."""

    seq: int
    checksum: Checksum
    size: int
    added_ms: int
    sha256: bytes | None


class Page(NamedTuple):
    """Some of the feed, and the number to go on from; it is the one asked from where there is no more.

    `feed_id`: what the numbers belong to; "" where there is no catalogue yet.
    """

    feed_id: str
    held: list[Held]
    next_seq: int


class Digested(NamedTuple):
    """What a file that is no buffer was found to hash to; it holds as long as it still is `identity`.

    `checksum`: of all of it, by the algorithm of the manifest.
    """

    identity: Identity
    checksum: Checksum
    manifest: Manifest

    @property
    def memory_bytes(self) -> int:
        """Reckon what it takes in memory."""
        return 500 + self.manifest.memory_bytes


@dataclass(frozen=True, slots=True)
class Totals:
    """How many buffers are listed as held, and their plain bytes together."""

    count: int
    size: int


IsAbsent = Callable[[Collection[str]], bool]
"""Tells whether a buffer is absent that was known to have files in these places; it blocks."""


class Catalogue(Protocol):
    """What is held. Reads are answered at once; writes are durable when they return.

    Who has seen `seq` n in the feed never later meets a new one up to n. Numbers are comparable as
    long as `feed_id` is the same: it is another one when the catalogue was lost.
    `is_shared`: it outlives this process, and others see the same one. `farmers`: who has registered;
    `nodes`: those that hold buffers, and which.
    """

    is_shared: bool

    @property
    def farmers(self) -> Farmers:
        """Rows of nodes of `dataserv`."""

    @property
    def nodes(self) -> Nodes:
        """Rows of nodes that hold buffers, and of what is on them."""

    async def why_unusable(self) -> str | None:
        """Tell in a sentence, without a path, why nothing can be read or written; None if it can.

        Waits until what is being written is.
        """

    # -- files

    def known(self, checksum: Checksum, place: str, form: Form) -> Known | None:
        """Tell what is known of a stored file; the caller compares the identity."""

    async def record(self, arrival: Arrival, reservation: int | None = None) -> None:
        """List a buffer as held, unless it is, and remember its file; the reservation is used up."""

    async def distrust(self, checksum: Checksum, place: str, form: Form) -> None:
        """Know nothing of a file any more that was found not to hash to its name."""

    async def forget(self, checksum: Checksum, is_absent: IsAbsent) -> None:
        """List a buffer as deleted, if it is still absent when its turn comes.

        What `nodes` has of it stays: it is to come back from there.
        """

    # -- buffers

    def held(self, checksum: Checksum) -> Held | None:
        """Tell what a buffer that is listed as held is listed with."""

    def named(self, sha256: bytes) -> Checksum | None:
        """Tell the name of the buffer, listed as held, that has this SHA-256."""

    def hashset(self, checksum: Checksum) -> Hashset | None:
        """Tell all digests of a buffer that is listed as held, if they were ever computed."""

    def manifest(self, checksum: Checksum, block_size: int) -> Manifest | None:
        """Tell what the blocks of a buffer that is listed as held hash to, if it was ever computed."""

    async def keep_manifest(self, checksum: Checksum, manifest: Manifest) -> None:
        """Keep what the blocks of a buffer hash to, for as long as it is listed as held."""

    def totals(self) -> Totals:
        """Tell how much is held. Raises: StoreFailed."""

    # -- files that are no buffers

    def digested(self, file: FileId, block_size: int) -> Digested | None:
        """Tell what a file was found to hash to, if that was ever kept; the caller compares the identity."""

    async def keep_digested(self, file: FileId, digested: Digested) -> None:
        """Keep what a file hashes to, in the place of what it did before; what was kept first makes room."""

    # -- the feed

    def feed(self, first_seq: int) -> Page:
        """Give the next page of what is held, in the order of arrival, from a number on.

        A page may be empty with more behind it: what was deleted since is left out.
        Raises: StoreFailed.
        """

    def history(self, after: tuple[int, int], until_ms: int) -> list[Held]:
        """Give what came, in the order of time, deleted or not: the first ones of a page.

        `after`: the time in milliseconds and the seq of the last one seen, or of a time alone (t, 0)
        for all from it on. `until_ms`: before this time. Raises: StoreFailed.
        """

    # -- limits

    async def reserve(self, checksum: Checksum, size: int, limits: Limits) -> int | None:
        """Reserve room for a buffer, for ten minutes at most; None where there is none.

        Of one buffer, however often reserved and whether held, the room is taken only once.
        """

    async def release(self, reservation: int) -> None:
        """Give up a reservation."""

    # -- notes

    def note(self, key: str) -> str:
        """Give what was noted under a key; "" if nothing was."""

    async def keep_note(self, key: str, text: str) -> None:
        """Note something, in the place of what was noted before."""

    async def close(self) -> None:
        """Finish what is being written."""
