"""A catalogue for directories that can't be written: it lasts as long as the process, and is bounded."""

from __future__ import annotations

import secrets
import time
from bisect import bisect_left
from collections import OrderedDict

from ..blocks import Manifest, Recent
from ..checksums import Checksum, Digests, Hashset
from ..settings import Limits
from ..store import Form
from ..store.files import FileId
from . import Arrival, Digested, Held, IsAbsent, Known, Page, Totals
from .memory_farmers import MemoryFarmers
from .memory_nodes import MemoryNodes

MAX_FILES = 200_000
"""Some 120 MB at most; a file that fell out is hashed once more, and its buffer comes anew."""

MAX_MANIFEST_BYTES = 32 * 1024 * 1024
"""What the blocks of buffers hash to, of all together, and files; what fell out is computed once more."""

PAGE = 250


class MemoryCatalogue:
    """Knows the files that were used last, and the buffers they hold."""

    is_shared = False

    def __init__(self) -> None:
        self.farmers = MemoryFarmers()
        self.nodes = MemoryNodes(self._from)
        self._feed_id = secrets.token_hex(16)
        self._known: OrderedDict[tuple[Checksum, str, Form], Known] = OrderedDict()
        self._arrivals: OrderedDict[int, Held] = OrderedDict()
        self._held: dict[Checksum, int] = {}
        self._named: dict[bytes, Checksum] = {}
        self._others: dict[Checksum, Digests] = {}
        self._manifests = Recent[Checksum, Manifest](MAX_MANIFEST_BYTES)
        self._digested = Recent[tuple[FileId, int], Digested](MAX_MANIFEST_BYTES)
        self._notes: dict[str, str] = {}
        self._reserved: dict[int, tuple[Checksum, int]] = {}
        self._size = self._seq = self._now_ms = self._reservations = 0

    async def why_unusable(self) -> str | None:
        """Nothing can go wrong."""
        return None

    # -- files

    def known(self, checksum: Checksum, place: str, form: Form) -> Known | None:
        """Tell what is known of a stored file."""
        known = self._known.get((checksum, place, form))
        if known is not None:
            self._known.move_to_end((checksum, place, form))
        return known

    async def record(self, arrival: Arrival, reservation: int | None = None) -> None:
        """Remember a file; the one used longest ago makes room."""
        if reservation is not None:
            self._reserved.pop(reservation, None)
        self._known[arrival.checksum, arrival.place, arrival.form] = arrival.known
        if arrival.checksum not in self._held:
            self._arrive(arrival)
        if arrival.others is not None:
            self._others[arrival.checksum] = arrival.others
        while len(self._known) > MAX_FILES:
            (checksum, _, _), _ = self._known.popitem(last=False)
            self._leave(checksum)

    def _arrive(self, arrival: Arrival) -> None:
        self._seq += 1
        size, sha256 = arrival.known.plain_size, arrival.known.sha256
        self._now_ms = max(self._now_ms, time.time_ns() // 1_000_000)
        self._arrivals[self._seq] = Held(self._seq, arrival.checksum, size, self._now_ms, sha256)
        self._held[arrival.checksum] = self._seq
        self._size += size
        if sha256 is not None:
            self._named[sha256] = arrival.checksum

    def _leave(self, checksum: Checksum) -> None:
        seq = self._held.pop(checksum, None)
        if seq is not None:
            held = self._arrivals.pop(seq)
            self._size -= held.size
            self._named.pop(held.sha256 or b"", None)
            self._others.pop(checksum, None)
            self._manifests.drop(checksum)

    async def distrust(self, checksum: Checksum, place: str, form: Form) -> None:
        """Know nothing of a file any more."""
        self._known.pop((checksum, place, form), None)

    async def forget(self, checksum: Checksum, is_absent: IsAbsent) -> None:
        """List a buffer no more; a file of it that is gone is never asked for."""
        if checksum in self._held and is_absent(()):
            self._leave(checksum)

    # -- buffers

    def held(self, checksum: Checksum) -> Held | None:
        """Tell what a buffer that is listed as held is listed with."""
        seq = self._held.get(checksum)
        return None if seq is None else self._arrivals[seq]

    def named(self, sha256: bytes) -> Checksum | None:
        """Tell the name of the buffer, listed as held, that has this SHA-256."""
        return self._named.get(sha256)

    def hashset(self, checksum: Checksum) -> Hashset | None:
        """Tell all digests of a buffer that is listed as held, if they were ever computed."""
        held, others = self.held(checksum), self._others.get(checksum)
        if held is None or others is None or held.sha256 is None:
            return None
        return Hashset(others.md5, others.sha1, held.sha256, others.sha512, held.size)

    def manifest(self, checksum: Checksum, block_size: int) -> Manifest | None:
        """Tell what the blocks of a buffer that is listed as held hash to, if it was ever computed."""
        manifest = self._manifests.get(checksum)
        return manifest if manifest is not None and manifest.block_size == block_size else None

    async def keep_manifest(self, checksum: Checksum, manifest: Manifest) -> None:
        """Keep what the blocks of a buffer hash to; the one used longest ago makes room."""
        if checksum in self._held:
            self._manifests.keep(checksum, manifest)

    def totals(self) -> Totals:
        """Tell how much is held."""
        return Totals(len(self._arrivals), self._size)

    # -- files that are no buffers

    def digested(self, file: FileId, block_size: int) -> Digested | None:
        """Tell what a file was found to hash to; the caller compares the identity."""
        return self._digested.get((file, block_size))

    async def keep_digested(self, file: FileId, digested: Digested) -> None:
        """Keep what a file hashes to; the one used longest ago makes room."""
        self._digested.keep((file, digested.manifest.block_size), digested)

    # -- the feed

    def feed(self, first_seq: int) -> Page:
        """Give the next page of what is held, in the order of arrival, from a number on."""
        found = self._from(max(1, first_seq))
        next_seq = found[-1].seq + 1 if len(found) == PAGE else max(1, first_seq, self._seq + 1)
        return Page(self._feed_id, found, next_seq)

    def _from(self, first_seq: int) -> list[Held]:
        seqs = list(self._arrivals)
        begin = bisect_left(seqs, first_seq)
        return [self._arrivals[seq] for seq in seqs[begin : begin + PAGE]]

    def history(self, after: tuple[int, int], until_ms: int) -> list[Held]:
        """Give what came, in the order of time; of what left, nothing is known any more."""
        since_ms, last_seq = after
        while found := self._from(last_seq + 1):
            rows = [held for held in found if since_ms <= held.added_ms < until_ms]
            if rows:
                return rows
            last_seq = found[-1].seq
        return []

    # -- limits

    async def reserve(self, checksum: Checksum, size: int, limits: Limits) -> int | None:
        """Reserve room for a buffer."""
        coming = {name: size for name, size in self._reserved.values() if name not in self._held}
        coming[checksum] = size
        count, total = len(self._held) + len(coming), self._size + sum(coming.values())
        if checksum not in self._held and not limits.allow(count, total):
            return None
        self._reservations += 1
        self._reserved[self._reservations] = checksum, size
        return self._reservations

    async def release(self, reservation: int) -> None:
        """Give up a reservation."""
        self._reserved.pop(reservation, None)

    # -- notes

    def note(self, key: str) -> str:
        """Give what was noted under a key."""
        return self._notes.get(key, "")

    async def keep_note(self, key: str, text: str) -> None:
        """Note something."""
        self._notes[key] = text

    async def close(self) -> None:
        """Nothing to do."""
