"""What comes in: uploads, from the first look at a request to the disk.

When `put` returns, a buffer is whole, good and durable; until then nobody is promised anything.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import aclosing, asynccontextmanager, closing, suppress
from typing import Any, TypeVar

from .bodies import Body, Claim, read_small
from .bodies import pieces as pieces_of
from .catalogue import Arrival, Catalogue, Known
from .checksums import Checksum, Digester
from .errors import (
    Busy,
    ChecksumMismatch,
    HashserverError,
    LimitReached,
    NoSpace,
    StoreFailed,
    check_size,
)
from .settings import Settings
from .store import Form, Identity, Store
from .waiting import Waiting

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_DISTRUSTED = 10_000
"""Once so many writes have failed, every body is taken until the server is started anew."""


class Intake:
    """Takes buffers in, and wakes who waits for them."""

    def __init__(self, store: Store, catalogue: Catalogue, waiting: Waiting, settings: Settings) -> None:
        self._limit_bytes = settings.max_buffer_bytes
        self._limits = settings.limits
        self._fsync = settings.fsync
        self._store = store
        self._catalogue = catalogue
        self._waiting = waiting
        self._distrusted: set[Checksum] = set()

    async def is_held(self, checksum: Checksum, form: Form) -> bool:
        """Tell whether a form is stored, known to be good, and durable; make it durable if need be.

        Of a file not verified yet, in an extra directory, or whose sync failed, this is False.
        Raises: StoreFailed.
        """
        if checksum in self._distrusted or len(self._distrusted) >= MAX_DISTRUSTED:
            return False
        if self._catalogue.known(checksum, "", form) is None:
            return False
        async with aclosing(self._store.find(checksum, (form,))) as found:
            async for stored in found:
                with stored.file:
                    known = self._catalogue.known(checksum, stored.place, form)
                    if stored.place or known is None or known.identity != stored.identity:
                        return False
                    if self._fsync and not known.durable:
                        await self._store.sync(stored)
                        await self._record(checksum, form, known._replace(durable=True))
                    await self._store.drop_promise(checksum)
                    return True
        return False

    def refuse_size(self, checksum: Checksum, form: Form, size: int) -> None:
        """Refuse a body that could not be taken, by what its sender says of it.

        Raises: BufferTooLarge, LimitReached, NoSpace.
        """
        check_size(size, self._limit_bytes)
        if not self._store.has_room(size):
            raise NoSpace("no room left on the server's disk for a buffer of this size")
        if not self._limits.are_none and self._catalogue.held(checksum) is None:
            held = self._catalogue.totals()
            plain_size = size if form is Form.PLAIN else 0  # the limit is one of plain bytes
            if not self._limits.allow(held.count + 1, held.size + plain_size):
                raise _limit_reached()

    @asynccontextmanager
    async def arriving(self, checksum: Checksum) -> AsyncIterator[None]:
        """Hold, from its first look at the request to its end, that an upload is under way.

        However it ends, nobody waits for this upload any longer.
        """
        self._waiting.begin(checksum)
        try:
            yield
        except BaseException as error:
            if isinstance(error, StoreFailed):
                self._distrust(checksum)
            if not self._waiting.is_uploading(checksum, besides=1):
                await self._store.drop_promise(checksum)
            raise
        finally:
            self._waiting.end(checksum)

    async def put(
        self, checksum: Checksum, body: Body, form: Form = Form.PLAIN, claims: Sequence[Claim] = ()
    ) -> None:
        """Store a buffer from a body in some form. When this returns it is whole, good and durable.

        However it ends, no temp file is left.
        Raises: ChecksumMismatch, DigestMismatch, BadEncoding, BufferTooLarge, UploadCut, NoSpace,
        LimitReached, StoreFailed, Busy.
        """
        async with self.arriving(checksum):
            digester = Digester(self._store.format.algorithm)
            head, whole = await read_small(body) if form is Form.PLAIN else (b"", False)
            if whole:
                digester.update(head)
                for claim in claims:
                    claim.update(head)
                self._check(checksum, digester, claims)
                await self._commit(checksum, form, digester, self._store.put(checksum, head))
            else:
                await self._stream(checksum, head, body, form, digester, claims)
            if len(self._distrusted) < MAX_DISTRUSTED:
                self._distrusted.discard(checksum)
            log.info("put %s %d", checksum, digester.size)

    def _distrust(self, checksum: Checksum) -> None:
        """Take a buffer's body again next time, because a sync of it may have failed.

        The kernel may have dropped what it could not write: a second sync that goes well says nothing.
        """
        if len(self._distrusted) < MAX_DISTRUSTED:
            self._distrusted.add(checksum)

    async def _stream(
        self,
        checksum: Checksum,
        head: bytes,
        body: Body,
        form: Form,
        digester: Digester,
        claims: Sequence[Claim],
    ) -> None:
        plain = form is Form.PLAIN
        upload = self._store.upload(checksum, form, (*digester.parts, *claims) if plain else claims)
        try:
            await upload.open()
            async for piece in pieces_of(head, body, self._limit_bytes):
                await upload.write(piece)
            await upload.finish()
            if not plain:
                await upload.verify(digester, self._limit_bytes)
            self._check(checksum, digester, claims)
            await self._commit(checksum, form, digester, upload.commit(digester.size))
        finally:
            await upload.abort()

    def _check(self, checksum: Checksum, digester: Digester, claims: Sequence[Claim]) -> None:
        check_size(digester.size, self._limit_bytes)
        for claim in claims:
            claim.check()
        if digester.checksum != checksum:
            raise ChecksumMismatch(f"the bytes hash to {digester.checksum}, not to {checksum}")

    async def _commit(
        self, checksum: Checksum, form: Form, digester: Digester, commit: Coroutine[Any, Any, Identity]
    ) -> None:
        """Make a buffer visible and catalogue it, if it may be held.

        To its end, whoever hangs up meanwhile: what is visible is to be listed and counted.
        """
        await finished(self._make_visible(checksum, form, digester, commit))

    async def _make_visible(
        self, checksum: Checksum, form: Form, digester: Digester, commit: Coroutine[Any, Any, Identity]
    ) -> None:
        with closing(commit):  # it may not come to that
            reservation = None if self._limits.are_none else await self._reserve(checksum, digester.size)
            try:
                identity = await commit
            except HashserverError as error:
                if isinstance(error, StoreFailed):  # here too: who would hear of it may have hung up
                    self._distrust(checksum)
                if reservation is not None:
                    with suppress(StoreFailed, Busy):
                        await self._catalogue.release(reservation)
                raise
        known = Known(identity, digester.size, digester.sha256, durable=self._fsync)
        await self._record(checksum, form, known, reservation)

    async def _reserve(self, checksum: Checksum, size: int) -> int:
        reservation = await self._catalogue.reserve(checksum, size, self._limits)
        if reservation is None:
            raise _limit_reached()
        return reservation

    async def _record(
        self, checksum: Checksum, form: Form, known: Known, reservation: int | None = None
    ) -> None:
        """Catalogue what is on the disk; if that fails the buffer is none the less stored."""
        try:
            await self._catalogue.record(Arrival(checksum, "", form, known), reservation)
        except (StoreFailed, Busy) as error:
            log.warning("%s is stored, but not catalogued: %s", checksum, error)


async def finished(work: Coroutine[Any, Any, T]) -> T:
    """Wait for some work, also if cancelled meanwhile."""
    task, cancelled = asyncio.create_task(work), None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        task.exception()  # nobody else is there to hear of it
        raise cancelled
    return task.result()


def _limit_reached() -> LimitReached:
    return LimitReached("this server holds as much as it may (--max-bytes, --max-count)")
