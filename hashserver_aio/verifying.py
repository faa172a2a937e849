"""Whether a stored file hashes to its name: remembered for as long as the file is the same.

A file is hashed once, however many ask for it at the same time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial

from .catalogue import Arrival, Catalogue, Known
from .checksums import Algorithm, Checksum, Digester, Digests, FullDigester, Hashset
from .counting import CORRUPT, QUARANTINED, Counts, shared_counts
from .errors import BadEncoding, Busy, StoreFailed
from .store import Form, Identity, Pace, Store, StoredFile

log = logging.getLogger(__name__)

SETTLED_S = 1.0
"""A younger file is not remembered as good: one more write could fall into the same tick of the
file system's clock and leave the identity as it is."""

MAX_BAD = 1_000
"""Corrupt files that are remembered, so that asking for one again does not hash it again."""

Key = tuple[Checksum, str, Form]


class FileChanged(Exception):
    """A file was written to or replaced while it was read; whoever opens it anew may see more."""


@dataclass(frozen=True, slots=True)
class _Bad:
    """A file that does not hash to its name; not corrupt if it does by the other algorithm."""

    identity: Identity
    is_corrupt: bool


@dataclass(frozen=True, slots=True)
class _Good:
    """What was found of a file that is good; `hashset`, if it was asked for."""

    known: Known
    hashset: Hashset | None


@dataclass(slots=True)
class _Job:
    """A file being hashed, and how many wait for it."""

    task: asyncio.Task[_Good | None]
    waiting: int = 0


class Verifier:
    """Judges stored files."""

    def __init__(self, store: Store, catalogue: Catalogue, counts: Counts | None = None) -> None:
        self._store = store
        self._counts = counts or shared_counts()[0]
        self._catalogue = catalogue
        self._jobs: dict[tuple[Key, Identity, bool], _Job] = {}
        self._bad: OrderedDict[Key, _Bad] = OrderedDict()

    async def known(self, stored: StoredFile) -> Known | None:
        """Tell what is known of a file that is good; None if it is not.

        Raises: StoreFailed, if it can't be read; FileChanged, if it is no more what was opened.
        """
        known = self.recalled(stored)
        if known is not None:
            return known
        bad = self._found_bad(stored)
        if bad is not None:
            if bad.is_corrupt:
                await self._put_aside(stored)  # it may have been too young for that before
            return None
        good = await self._verified_once(stored, fully=False)
        return None if good is None else good.known

    def recalled(self, stored: StoredFile) -> Known | None:
        """Tell what is known of a file that was found to be good before, and is the same; else None."""
        known = self._catalogue.known(stored.checksum, stored.place, stored.form)
        if known is None or known.identity != stored.identity:
            return None
        return known if self._found_bad(stored) is None else None

    def found_bad(self, checksums: set[Checksum]) -> set[Checksum]:
        """Tell which of these buffers have, or had, a file that was found to be bad."""
        return checksums.intersection(checksum for checksum, _, _ in self._bad) if self._bad else set()

    def _found_bad(self, stored: StoredFile) -> _Bad | None:
        bad = self._bad.get(_key(stored)) if self._bad else None
        return bad if bad is not None and bad.identity == stored.identity else None

    async def check(self, stored: StoredFile, pace: Pace | None = None) -> Known | None:
        """Hash a file, whatever is known of it; None if it is not good. Raises as `known` does."""
        good = await self._verify(stored.duplicate(), self._new_digester(), pace)
        return None if good is None else good.known

    async def examined(self, stored: StoredFile, digester: Digester) -> bool:
        """Hash a file with a digester of the caller's; False if it is not good. Raises as `known` does."""
        if self._found_bad(stored) is not None:
            return False
        return await self._verify(stored.duplicate(), digester) is not None

    async def hashset(self, stored: StoredFile) -> Hashset | None:
        """Hash a file in every way, and keep that; None if it is not good. Raises as `known` does."""
        good = await self._verified_once(stored, fully=True)
        return None if good is None else good.hashset

    def _new_digester(self, *, fully: bool = False) -> Digester:
        return (FullDigester if fully else Digester)(self._store.format.algorithm, self._counts.hashed)

    async def _verified_once(self, stored: StoredFile, *, fully: bool) -> _Good | None:
        """Wait for the one who hashes a file; when nobody waits any more, he stops."""
        key = (_key(stored), stored.identity, fully)
        job = self._jobs.get(key)
        if job is None:
            # Its own descriptor: the request that began it may be gone before it ends.
            digester = self._new_digester(fully=fully)
            job = _Job(asyncio.create_task(self._verify(stored.duplicate(), digester)))
            self._jobs[key] = job
        job.waiting += 1
        try:
            return await asyncio.shield(job.task)
        finally:
            job.waiting -= 1
            if not job.waiting:
                job.task.cancel()
                if self._jobs.get(key) is job:
                    del self._jobs[key]

    async def _verify(self, stored: StoredFile, digester: Digester, pace: Pace | None = None) -> _Good | None:
        with stored.file:
            broken = False
            try:
                await self._store.read(stored, digester, pace)
            except BadEncoding:
                broken = True
            if stored.now() != stored.identity:
                raise FileChanged  # written to or replaced meanwhile: what was read says nothing
            if broken or digester.checksum != stored.checksum:
                await self._condemn(stored, digester)
                return None
            known = Known(stored.identity, digester.size, digester.sha256, durable=False)
            await self._remember(stored, known, digester.others)
            return _Good(known, digester.hashset if isinstance(digester, FullDigester) else None)

    async def _remember(self, stored: StoredFile, known: Known, others: Digests | None) -> None:
        before = self.recalled(stored)
        if before is None and 0 <= stored.identity.age_s < SETTLED_S:
            return
        if before is not None and before[1:3] == known[1:3]:
            if others is None:
                return
            known = before
        try:
            arrival = Arrival(stored.checksum, stored.place, stored.form, known, others)
            await self._catalogue.record(arrival)
            if not await asyncio.to_thread(stored.is_in_place):  # deleted before the row was there
                await self._forget(stored.checksum)
        except (StoreFailed, Busy) as error:
            log.warning("%s is good, but not catalogued: %s", stored.checksum, error)

    async def _condemn(self, stored: StoredFile, digester: Digester) -> None:
        key = _key(stored)
        await self._distrust(key)
        is_corrupt = not await self._is_of_other_algorithm(stored, digester)
        self._bad[key] = _Bad(stored.identity, is_corrupt)
        if len(self._bad) > MAX_BAD:
            self._bad.popitem(last=False)
        if not is_corrupt:
            log.error("%s is named by another hash algorithm than this server's", stored.checksum)
            return
        self._counts.row[CORRUPT] += 1
        aside = await self._put_aside(stored)
        if aside:
            await self._forget(stored.checksum)
        what = "moved to quarantine" if aside else "left in place"
        log.error("%s%s is corrupt, %s", stored.checksum, stored.form, what)

    async def _put_aside(self, stored: StoredFile) -> bool:
        aside = await self._store.quarantine(stored)
        self._counts.row[QUARANTINED] += aside
        return aside

    async def _distrust(self, key: Key) -> None:
        """Take back what was known of a file: it rotted since, and looks as it did."""
        if self._catalogue.known(*key) is not None:
            try:
                await self._catalogue.distrust(*key)
            except (StoreFailed, Busy) as error:
                log.error("%s is corrupt, and still catalogued as good: %s", key[0], error)

    async def _forget(self, checksum: Checksum) -> None:
        with contextlib.suppress(StoreFailed, Busy):  # then whoever asks for it finds that it is gone
            await self._catalogue.forget(checksum, partial(self._store.is_absent, checksum))

    async def _is_of_other_algorithm(self, stored: StoredFile, digester: Digester) -> bool:
        """Tell whether a file is good for a server of the other algorithm: it is not ours to move."""
        if digester.algorithm is not Algorithm.SHA_256:
            return digester.sha256.hex() == stored.checksum
        other = Digester(Algorithm.SHA3_256, self._counts.hashed)
        with contextlib.suppress(BadEncoding):
            await self._store.read(stored, other)
        return other.checksum == stored.checksum


def _key(stored: StoredFile) -> Key:
    return stored.checksum, stored.place, stored.form
