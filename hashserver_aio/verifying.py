"""Whether a stored file hashes to its name: remembered for as long as the file is the same.

A file is hashed once, however many ask for it at the same time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict

from .catalogue import Arrival, Catalogue, Known
from .checksums import Checksum, Digester
from .errors import BadEncoding, StoreFailed
from .store import Form, Identity, Store, StoredFile

log = logging.getLogger(__name__)

SETTLED_S = 1.0
"""A younger file is not remembered as good: one more write could fall into the same tick of the
file system's clock and leave the identity as it is."""

MAX_BAD = 1_000
"""Corrupt files that are remembered, so that asking for one again does not hash it again."""

Key = tuple[Checksum, str, Form]


class Verifier:
    """Judges stored files."""

    def __init__(self, store: Store, catalogue: Catalogue) -> None:
        self._store = store
        self._catalogue = catalogue
        self._running: dict[tuple[Key, Identity], asyncio.Task[Known | None]] = {}
        self._bad: OrderedDict[Key, Identity] = OrderedDict()

    async def known(self, stored: StoredFile) -> Known | None:
        """Tell what is known of a file that is good; None if it is not.

        Raises: StoreFailed, if it can't be read.
        """
        key = (stored.checksum, stored.place, stored.form)
        known = self._catalogue.known(*key)
        if known is not None and known.identity == stored.identity:
            return known
        if self._bad.get(key) == stored.identity:
            await self._store.quarantine(stored)  # it may have been too young for that before
            return None
        return await self._verified_once(key, stored)

    async def _verified_once(self, key: Key, stored: StoredFile) -> Known | None:
        job = (key, stored.identity)
        task = self._running.get(job)
        if task is None:
            # Its own descriptor: the request that began it may be gone before it ends.
            task = asyncio.create_task(self._verify(key, stored.duplicate()))
            self._running[job] = task
            task.add_done_callback(lambda _: self._running.pop(job))
        return await asyncio.shield(task)

    async def _verify(self, key: Key, stored: StoredFile) -> Known | None:
        with stored.file:
            digester = Digester(self._store.format.algorithm)
            broken = False
            try:
                await self._store.read(stored, digester)
            except BadEncoding:
                broken = True
            if stored.now() != stored.identity:
                return None  # it was written to meanwhile: what was read says nothing
            if broken or digester.checksum != stored.checksum:
                await self._condemn(key, stored)
                return None
            known = Known(stored.identity, digester.size, digester.sha256, durable=False)
            await self._remember(stored, known)
            return known

    async def _remember(self, stored: StoredFile, known: Known) -> None:
        changed_s = max(stored.identity.mtime_ns, stored.identity.ctime_ns) / 1e9
        if time.time() - changed_s < SETTLED_S:
            return
        try:
            await self._catalogue.record(Arrival(stored.checksum, stored.place, stored.form, known))
        except StoreFailed as error:
            log.warning("%s is good, but not catalogued: %s", stored.checksum, error)

    async def _condemn(self, key: Key, stored: StoredFile) -> None:
        self._bad[key] = stored.identity
        if len(self._bad) > MAX_BAD:
            self._bad.popitem(last=False)
        aside = await self._store.quarantine(stored)
        what = "moved to quarantine" if aside else "left in place"
        log.error("%s%s is corrupt, %s", stored.checksum, stored.form, what)
