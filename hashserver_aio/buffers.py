"""The one door to the buffers: verify, store, index, notify, wait.

Nothing is served that was not found to hash to its name, and nothing is promised that is not
on the disk; every face and every kind of store gets this from here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack, aclosing, closing, suppress
from functools import partial
from typing import TypeVar

from .blobs import Blob
from .catalogue import Catalogue
from .checksums import Algorithm, Checksum, Digester, Hashset
from .counting import Counts, shared_counts
from .decoded import DecodedFiles
from .errors import BufferCorrupt, BufferNotFound, Busy, StoreFailed
from .intake import Intake, finished
from .settings import Settings
from .store import FORMS, Form, Store, StoredFile
from .verifying import FileChanged, Verifier
from .waiting import MAX_WAIT_S, Waiting

T = TypeVar("T")
D = TypeVar("D", bound=Digester)
Judge = Callable[[StoredFile], Awaitable[T | None]]
"""Takes an open file: what it is good for, or None after closing it."""

log = logging.getLogger(__name__)

MAX_REOPENED = 10
"""So often a file that changes while it is hashed is opened anew before the client is told to wait."""


class Buffers:
    """The buffers of one store, as its catalogue knows them."""

    def __init__(
        self, store: Store, catalogue: Catalogue, settings: Settings, counts: Counts | None = None
    ) -> None:
        """`counts`: where to count; where nobody asks for the numbers, nowhere that matters."""
        counts = counts or shared_counts()[0]
        self.store = store
        self.catalogue = catalogue
        self._waiting = Waiting(counts)
        self.intake = Intake(store, catalogue, self._waiting, settings, counts)
        self.verifier = Verifier(store, catalogue, counts)
        self._decoded = DecodedFiles(store, counts)

    def close(self) -> None:
        """Let nobody wait any longer."""
        self._waiting.close()
        self._decoded.close()

    @property
    def is_closed(self) -> bool:
        """Whether the end has begun: nobody waits any longer."""
        return self._waiting.is_closed

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
        """Open what is there now."""
        blob = partial(self._blob, accepted=accepted, seekable=seekable)
        return await self._first_good(checksum, _all_forms(accepted), blob)

    async def _first_good(self, checksum: Checksum, forms: Sequence[Form], judge: Judge[T]) -> T | None:
        """Find the first file that is judged good; what is replaced in the very moment is opened anew."""
        for _ in range(MAX_REOPENED):
            try:
                return await self._first_good_now(checksum, forms, judge)
            except FileChanged:
                continue
        raise _restless(checksum)

    async def _first_good_now(self, checksum: Checksum, forms: Sequence[Form], judge: Judge[T]) -> T | None:
        corrupt = False
        async with aclosing(self.store.find(checksum, forms)) as found:
            async for stored in found:
                good = await judge(stored)
                if good is not None:
                    return good
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
            known = await self.verifier.known(stored)
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
            close = opened.pop_all().close
            return Blob(stored.checksum, form, size, known.sha256, stored, file, pieces, close)

    def open_at_once(self, checksum: Checksum, accepted: Sequence[Form]) -> Blob | None:
        """Open a buffer if that takes no waiting: a file at hand that is known to be good.

        None says nothing about the buffer: ask `open`. Raises: OSError.
        """
        stored = self.store.open_at_once(checksum, _all_forms(accepted))
        if stored is None:
            return None
        known = self.verifier.recalled(stored) if stored.form in accepted else None
        if known is None:
            stored.file.close()
            return None
        close = stored.file.close
        return Blob(
            checksum, stored.form, stored.identity.size, known.sha256, stored, stored.file, None, close
        )

    async def _note_absence(self, checksum: Checksum) -> None:
        """List a buffer as deleted that is listed and gone for sure."""
        if self.catalogue.held(checksum) is not None:
            try:
                await self.catalogue.forget(checksum, partial(self.store.is_absent, checksum))
            except (StoreFailed, Busy) as error:
                log.warning("%s", error)

    async def wait_for_any(self, at_most_s: float) -> None:
        """Wait until some buffer may have come; returns soon, however it is.

        Raises: Busy, when too many wait or the server is stopping.
        """
        await self._waiting.wait(None, at_most_s)

    # -- removing --------------------------------------------------------------------------------

    async def remove(self, checksum: Checksum) -> bool:
        """Remove a buffer for good; whoever is reading it reads on. False if there is none.

        To its end, whoever hangs up meanwhile. Raises: ReadOnly, where only an extra directory
        holds it; StoreFailed, Busy.
        """
        return await finished(self._remove(checksum))

    async def _remove(self, checksum: Checksum) -> bool:
        removed = await self.store.remove(checksum)
        await self._note_absence(checksum)
        if removed:
            log.info("removed %s", checksum)
        return removed

    # -- asking ----------------------------------------------------------------------------------

    def named(self, sha256: str) -> Checksum | None:
        """Find what the store calls the buffer of a SHA-256 (lower case); None where none is catalogued.

        Raises: StoreFailed.
        """
        if self.store.format.algorithm is Algorithm.SHA_256:
            return Checksum(sha256)
        return self.catalogue.named(bytes.fromhex(sha256))

    async def is_good(self, checksum: Checksum) -> bool:
        """Tell whether a buffer could be served now, without waiting for it."""
        return await self._size(checksum) is not None

    async def hashset(self, checksum: Checksum) -> Hashset:
        """Tell all digests of a buffer; if they were never computed, this reads it.

        Raises: what `open` raises.
        """
        for _ in range(MAX_REOPENED):
            with closing(await self.open(checksum)) as blob, suppress(FileChanged):
                hashset = self.catalogue.hashset(checksum) or await self.verifier.hashset(blob.stored)
                if hashset is not None:
                    return hashset
        raise _restless(checksum)

    async def examine(self, checksum: Checksum, new_digester: Callable[[], D]) -> D:
        """Read a buffer through a digester of the caller's: the one that has seen all of a good file.

        One is made for each file that is tried. What the catalogue knows of a file spares nothing.
        Raises: BufferNotFound, BufferCorrupt, Busy, StoreFailed.
        """

        async def examined(stored: StoredFile) -> D | None:
            with stored.file:
                digester = new_digester()
                return digester if await self.verifier.examined(stored, digester) else None

        digester = await self._first_good(checksum, FORMS, examined)
        if digester is None:
            await self._note_absence(checksum)
            raise BufferNotFound(checksum)
        return digester

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
        for checksum in self.verifier.found_bad(found):
            if not await self.is_good(checksum):  # who is told that it is there would never repair it
                found.discard(checksum)
        if promised and len(found) < len(checksums):
            found |= await self._pending(checksums)
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
        return self._waiting.uploading(checksums) | await self.store.pending(checksums)

    async def promise(self, checksum: Checksum) -> None:
        """Announce a buffer: who asks for it waits for it. Raises: Busy, NoSpace, StoreFailed."""
        await self.store.promise(checksum)


def _restless(checksum: Checksum) -> Busy:
    return Busy(f"{checksum} is being changed all the time; try again")


def _all_forms(accepted: Sequence[Form]) -> list[Form]:
    """Order all forms: those that may be sent as they are go first."""
    return [*accepted, *(form for form in FORMS if form not in accepted)]
