"""The one door to the buffers: verify, store, index, notify, wait.

Nothing is served that was not found to hash to its name, and nothing is promised that is not
on the disk; every face and every kind of store gets this from here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, aclosing, asynccontextmanager
from dataclasses import replace

from .blobs import Blob
from .bodies import Body, Claim, read_small
from .bodies import pieces as pieces_of
from .catalogue import Arrival, Catalogue, Known
from .checksums import Checksum, Digester
from .decoded import DecodedFiles
from .errors import (
    BufferCorrupt,
    BufferNotFound,
    Busy,
    ChecksumMismatch,
    StoreFailed,
    check_size,
)
from .store import FORMS, Form, Identity, Store, StoredFile
from .verifying import FileChanged, Verifier
from .waiting import MAX_WAIT_S, Waiting

log = logging.getLogger(__name__)

MAX_DISTRUSTED = 10_000
"""Once so many writes have failed, every body is taken until the server is started anew."""

MAX_REOPENED = 10
"""So often a file that changes while it is hashed is opened anew before the client is told to wait."""


class Buffers:
    """The buffers of one store, as its catalogue knows them."""

    def __init__(self, store: Store, catalogue: Catalogue, *, limit_bytes: int | None, fsync: bool) -> None:
        self.store = store
        self.limit_bytes = limit_bytes
        self._catalogue = catalogue
        self._fsync = fsync
        self._waiting = Waiting()
        self._verifier = Verifier(store, catalogue)
        self._decoded = DecodedFiles(store)
        self._distrusted: set[Checksum] = set()

    def close(self) -> None:
        """Let nobody wait any longer."""
        self._waiting.close()
        self._decoded.close()

    # -- getting ---------------------------------------------------------------------------------

    async def open(
        self, checksum: Checksum, accepted: Sequence[Form] = (Form.PLAIN,), *, seekable: bool = False
    ) -> Blob:
        """Open a buffer; if it is promised, being uploaded or being written, wait for it.

        `accepted`: the forms that may be sent as they are, the preferred first; any other is
        decompressed, into a file if it is to be `seekable` and not too big for that.
        Raises: BufferNotFound, BufferCorrupt, Busy, StoreFailed.
        """
        look_again = True
        deadline_s = time.monotonic() + MAX_WAIT_S
        corrupt: BufferCorrupt | None = None
        while True:
            try:
                blob = await self._open_now(checksum, accepted, seekable)
                if blob is not None:
                    return blob
            except BufferCorrupt as error:
                corrupt = error
            if not look_again:
                await self._note_absence(checksum)
                raise corrupt or BufferNotFound(checksum)
            # Once more after nobody brings it: it may have come between the look and the question.
            look_again = time.monotonic() < deadline_s and await self._wait_for(checksum)

    async def _wait_for(self, checksum: Checksum) -> bool:
        if self._waiting.is_uploading(checksum) or await self.store.is_awaited(checksum):
            await self._waiting.wait(checksum)
            return True
        return False

    async def _open_now(self, checksum: Checksum, accepted: Sequence[Form], seekable: bool) -> Blob | None:
        """Open what is there now; what is replaced in the very moment is opened anew."""
        for _ in range(MAX_REOPENED):
            try:
                return await self._open_once(checksum, accepted, seekable)
            except FileChanged:
                continue
        raise Busy(f"{checksum} is being changed all the time; try again")

    async def _open_once(self, checksum: Checksum, accepted: Sequence[Form], seekable: bool) -> Blob | None:
        corrupt = False
        forms = [*accepted, *(form for form in FORMS if form not in accepted)]
        async with aclosing(self.store.find(checksum, forms)) as found:
            async for stored in found:
                blob = await self._blob(stored, accepted, seekable)
                if blob is not None:
                    return blob
                corrupt = True
        if corrupt:
            raise BufferCorrupt(
                f"File corruption: the file of {checksum} does not have the correct "
                f"{self.store.format.algorithm} checksum."
            )
        return None

    async def _blob(self, stored: StoredFile, accepted: Sequence[Form], seekable: bool) -> Blob | None:
        """Make a blob of a file, or close it if it is not good."""
        with ExitStack() as opened:
            opened.enter_context(stored.file)
            known = await self._verifier.known(stored)
            if known is None:
                return None
            form = stored.form if stored.form in accepted else Form.PLAIN
            size = known.plain_size if form is Form.PLAIN else stored.identity.size
            file = stored.file if form is stored.form else None
            if file is None and seekable:
                file = await self._decoded.open(stored, known)
            if file is not None:
                opened.enter_context(file)
            pieces = self.store.pieces(stored) if file is None else None
            modified_s = stored.identity.modified_s
            close = opened.pop_all().close
            return Blob(stored.checksum, form, size, known.sha256, modified_s, file, pieces, close)

    async def _note_absence(self, checksum: Checksum) -> None:
        """List a buffer as deleted that is listed and gone, unless the whole disk is gone."""
        if self._catalogue.holds(checksum) and self.store.is_readable():
            try:
                await self._catalogue.forget(checksum, lambda: self.store.is_absent(checksum))
            except StoreFailed as error:
                log.warning("%s", error)

    # -- asking ----------------------------------------------------------------------------------

    async def is_good(self, checksum: Checksum) -> bool:
        """Tell whether a buffer could be served now, without waiting for it."""
        return await self._size(checksum) is not None

    async def _size(self, checksum: Checksum) -> int | None:
        """Tell the plain size of what could be served now; this may have to read it."""
        try:
            blob = await self._open_now(checksum, (Form.PLAIN,), False)
        except BufferCorrupt:
            return None
        if blob is None:
            return None
        blob.close()
        return blob.size

    async def has(self, checksums: Sequence[Checksum], *, promised: bool = True) -> list[bool]:
        """Tell which of these are stored, or, if `promised`, promised or being uploaded."""
        found = await self.store.present(checksums)
        if promised and len(found) < len(checksums):
            found |= await self._pending([c for c in checksums if c not in found])
        return [checksum in found for checksum in checksums]

    async def sizes(self, checksums: Sequence[Checksum]) -> list[int | None]:
        """Tell the plain sizes in bytes; -1 for what is only promised, None for what is absent."""
        sizes = await self.store.sizes(checksums)
        missing = [checksum for checksum in checksums if checksum not in sizes]
        for checksum in await self.store.present(missing) if missing else ():
            size = await self._size(checksum)
            if size is not None:
                sizes[checksum] = size
        missing = [checksum for checksum in checksums if checksum not in sizes]
        pending = await self._pending(missing) if missing else set()
        return [sizes.get(c, -1 if c in pending else None) for c in checksums]

    async def _pending(self, checksums: Sequence[Checksum]) -> set[Checksum]:
        uploading = {c for c in checksums if self._waiting.is_uploading(c)}
        return uploading | await self.store.pending(checksums)

    async def promise(self, checksum: Checksum) -> None:
        """Announce a buffer: who asks for it waits for it. Raises: Busy, NoSpace, StoreFailed."""
        await self.store.promise(checksum)

    async def is_held(self, checksum: Checksum, form: Form) -> bool:
        """Tell whether a form is stored, known to be good, and durable; make it durable if need be.

        Of a file not verified yet, in an extra directory, or whose sync failed, this is False.
        Raises: StoreFailed.
        """
        if checksum in self._distrusted or len(self._distrusted) >= MAX_DISTRUSTED:
            return False
        async with aclosing(self.store.find(checksum, (form,))) as found:
            async for stored in found:
                with stored.file:
                    known = self._catalogue.known(checksum, stored.place, form)
                    if stored.place or known is None or known.identity != stored.identity:
                        return False
                    if self._fsync and not known.durable:
                        await self.store.sync(stored)
                        await self._record(checksum, form, replace(known, durable=True))
                    await self.store.drop_promise(checksum)
                    return True
        return False

    # -- putting ---------------------------------------------------------------------------------

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
                await self.store.drop_promise(checksum)
            raise
        finally:
            self._waiting.end(checksum)

    async def put(
        self, checksum: Checksum, body: Body, form: Form = Form.PLAIN, claims: Sequence[Claim] = ()
    ) -> None:
        """Store a buffer from a body in some form. When this returns it is whole, good and durable.

        However it ends, no temp file is left.
        Raises: ChecksumMismatch, DigestMismatch, BadEncoding, BufferTooLarge, UploadCut, NoSpace,
        StoreFailed.
        """
        async with self.arriving(checksum):
            digester = Digester(self.store.format.algorithm)
            head, whole = await read_small(body) if form is Form.PLAIN else (b"", False)
            if whole:
                digester.update(head)
                for claim in claims:
                    claim.update(head)
                self._check(checksum, digester, claims)
                identity = await self.store.put(checksum, head)
            else:
                identity = await self._stream(checksum, head, body, form, digester, claims)
            known = Known(identity, digester.size, digester.sha256, durable=self._fsync)
            await self._record(checksum, form, known)
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
    ) -> Identity:
        plain = form is Form.PLAIN
        upload = self.store.upload(checksum, form, (digester, *claims) if plain else claims)
        try:
            await upload.open()
            async for piece in pieces_of(head, body, self.limit_bytes):
                await upload.write(piece)
            await upload.finish()
            if not plain:
                await upload.verify(digester, self.limit_bytes)
            self._check(checksum, digester, claims)
            return await upload.commit(digester.size)
        finally:
            await upload.abort()

    def _check(self, checksum: Checksum, digester: Digester, claims: Sequence[Claim]) -> None:
        check_size(digester.size, self.limit_bytes)
        for claim in claims:
            claim.check()
        if digester.checksum != checksum:
            raise ChecksumMismatch(f"the bytes hash to {digester.checksum}, not to {checksum}")

    async def _record(self, checksum: Checksum, form: Form, known: Known) -> None:
        """Catalogue what is on the disk; if that fails the buffer is none the less stored."""
        try:
            await self._catalogue.record(Arrival(checksum, "", form, known))
        except StoreFailed as error:
            log.warning("%s is stored, but not catalogued: %s", checksum, error)
