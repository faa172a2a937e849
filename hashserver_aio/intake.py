"""What comes in: uploads, from the first look at a request to the disk.

When `put` returns, a buffer is whole, good and durable; until then nobody is promised anything.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, closing, suppress
from functools import partial
from typing import Any, TypeVar

from .bodies import Body, Claim, read_small
from .bodies import pieces as pieces_of
from .catalogue import Arrival, Catalogue, Known
from .checksums import Checksum, Digester, FullDigester, Hashset
from .counting import Counts
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
from .store import FORMS, Form, Identity, PendingUpload, Sink, Store
from .waiting import Waiting

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_DISTRUSTED = 10_000
"""Once so many writes have failed, every body is taken until the server is started anew."""


class Intake:
    """Takes buffers in, and wakes who waits for them."""

    def __init__(
        self, store: Store, catalogue: Catalogue, waiting: Waiting, settings: Settings, counts: Counts
    ) -> None:
        self._limit_bytes = settings.max_buffer_bytes
        self._limits = settings.limits
        self._fsync = settings.fsync
        self._store = store
        self._catalogue = catalogue
        self._waiting = waiting
        self._counts = counts
        self._distrusted: set[Checksum] = set()

    async def is_held(self, checksum: Checksum, form: Form) -> bool:
        """Tell whether a form is stored, known to be good, and durable; make it durable if need be.

        Of a file not verified yet, in an extra directory, or whose sync failed, this is False.
        Raises: StoreFailed.
        """
        if checksum in self._distrusted or len(self._distrusted) >= MAX_DISTRUSTED:
            return False
        stored = await self._store.own(checksum, form)  # first: of what is new nothing else has to be asked
        if stored is None:
            return False
        with stored.file:
            known = self._catalogue.known(checksum, stored.place, form)
            if known is None or known.identity != stored.identity:
                return False
            if self._fsync and not known.durable:
                await self._store.sync(stored)
                await self._record(Arrival(checksum, stored.place, form, known._replace(durable=True)))
            await self._store.drop_promise(checksum)
            return True

    def refuse_size(self, checksum: Checksum | None, form: Form, size: int) -> None:
        """Refuse a body that could not be taken, by what its sender says of it.

        Where nobody knows yet what it is, it is taken for a buffer that is not held.
        Raises: BufferTooLarge, LimitReached, NoSpace.
        """
        check_size(size, self._limit_bytes)
        if not self._store.has_room(size):
            raise NoSpace("no room left on the server's disk for a buffer of this size")
        if self._limits.are_none or (checksum is not None and self._catalogue.held(checksum) is not None):
            return
        plain_size = size if form is Form.PLAIN else 0  # the limit is one of plain bytes
        with suppress(StoreFailed):  # then the reservation tells
            held = self._catalogue.totals()
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
            digester = Digester(self._store.format.algorithm, self._counts.hashed)
            head, whole = await read_small(body) if form is Form.PLAIN else (b"", False)
            if whole:
                _feed(head, digester, *claims)
                self._check(checksum, digester, claims)
                await self._commit(checksum, form, digester, self._store.put(checksum, head))
            else:
                sinks: Sequence[Sink] = claims if form is not Form.PLAIN else (*digester.parts, *claims)
                async with self._streamed(checksum, head, body, form, sinks) as upload:
                    if form is not Form.PLAIN:
                        await upload.verify(digester, self._limit_bytes)
                    self._check(checksum, digester, claims)
                    await self._commit(checksum, form, digester, upload.commit(checksum, digester.size))
            log.info("put %s %d", checksum, digester.size)

    async def add(self, body: Body, claims: Sequence[Claim] = ()) -> Hashset:
        """Store a buffer whose name is learned from its bytes. When this returns it is good and durable.

        Raises: DigestMismatch, BufferTooLarge, UploadCut, NoSpace, LimitReached, StoreFailed, Busy.
        """
        digester = FullDigester(self._store.format.algorithm, self._counts.hashed)
        head, whole = await read_small(body)
        if whole:
            _feed(head, digester, *claims)
            self._check(digester.checksum, digester, claims)
            await self._add(digester, partial(self._store.put, data=head))
        else:
            sinks: Sequence[Sink] = (*digester.parts, *claims)
            async with self._streamed(None, head, body, Form.PLAIN, sinks) as upload:
                self._check(digester.checksum, digester, claims)
                await self._add(digester, partial(upload.commit, plain_size=digester.size))
        return digester.hashset

    async def _add(
        self, digester: Digester, commit: Callable[[Checksum], Coroutine[Any, Any, Identity]]
    ) -> None:
        """Commit a buffer that has got its name; of one that is held, keep the digests."""
        checksum = digester.checksum
        async with self.arriving(checksum):
            for form in FORMS:
                if await self.is_held(checksum, form):
                    known = self._catalogue.known(checksum, "", form)
                    if known is not None and self._catalogue.hashset(checksum) is None:
                        await self._record(Arrival(checksum, "", form, known, digester.others))
                    return
            await self._commit(checksum, Form.PLAIN, digester, commit(checksum))
            log.info("put %s %d", checksum, digester.size)

    def _distrust(self, checksum: Checksum) -> None:
        """Take a buffer's body again next time, because a sync of it may have failed.

        The kernel may have dropped what it could not write: a second sync that goes well says nothing.
        """
        if len(self._distrusted) < MAX_DISTRUSTED:
            self._distrusted.add(checksum)

    @asynccontextmanager
    async def _streamed(
        self, checksum: Checksum | None, head: bytes, body: Body, form: Form, sinks: Sequence[Sink]
    ) -> AsyncIterator[PendingUpload]:
        """Hold an upload that all of a body went into; what is not committed is aborted."""
        upload = self._store.upload(checksum, form, sinks)
        try:
            await upload.open()
            async for piece in pieces_of(head, body, self._limit_bytes):
                await upload.write(piece)
            await upload.finish()
            yield upload
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
        if len(self._distrusted) < MAX_DISTRUSTED:
            self._distrusted.discard(checksum)

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
        await self._record(Arrival(checksum, "", form, known, digester.others), reservation)

    async def _reserve(self, checksum: Checksum, size: int) -> int:
        reservation = await self._catalogue.reserve(checksum, size, self._limits)
        if reservation is None:
            raise _limit_reached()
        return reservation

    async def _record(self, arrival: Arrival, reservation: int | None = None) -> None:
        """Catalogue what is on the disk; if that fails the buffer is none the less stored."""
        try:
            await self._catalogue.record(arrival, reservation)
            if not await self._is_in_place(arrival):
                # Deleted before the row was there, which only then found nothing to mark.
                is_absent = partial(self._store.is_absent, arrival.checksum)
                await self._catalogue.forget(arrival.checksum, is_absent)
        except (StoreFailed, Busy) as error:
            log.warning("%s is stored, but not catalogued: %s", arrival.checksum, error)

    async def _is_in_place(self, arrival: Arrival) -> bool:
        stored = await self._store.own(arrival.checksum, arrival.form)
        if stored is not None:
            stored.file.close()
        return stored is not None


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


def _feed(data: bytes, *sinks: Sink) -> None:
    for sink in sinks:
        sink.update(data)


def _limit_reached() -> LimitReached:
    return LimitReached(
        "this server holds as much as it may (--max-bytes, --max-count; of a node, --capacity)"
    )
