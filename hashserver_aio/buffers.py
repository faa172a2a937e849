"""The one door to the buffers: verify, store, index, notify, wait.

Nothing is served that was not found to hash to its name, and nothing is promised that is not
on the disk; every face and every kind of store gets this from here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, closing, nullcontext, suppress
from functools import partial
from typing import Protocol, TypeVar

from .blobs import Blob, Streamed
from .catalogue import Catalogue
from .checksums import Algorithm, Checksum, Digester, Hashset
from .counting import Counts, shared_counts
from .errors import BufferCorrupt, BufferNotFound, Busy, StoreFailed
from .intake import Intake, finished
from .opening import MAX_REOPENED, Opening, restless
from .settings import Settings
from .store import FORMS, Form, Store, StoredFile
from .verifying import FileChanged, Verifier
from .waiting import MAX_WAIT_S, Waiting

D = TypeVar("D", bound=Digester)

log = logging.getLogger(__name__)


class Replicas(Protocol):
    """Copies of buffers elsewhere, which nobody is told of that asks for a buffer."""

    async def bring(self, checksum: Checksum, *, streams: bool, seekable: bool) -> Streamed | bool:
        """Bring a buffer back that nobody has here: True, once it is stored; False, if nobody has it.

        Who takes it as it `streams` may get it before it is stored, or where it can't be; who wants it
        `seekable` only if it can't be. Raises: Busy.
        """

    def named(self, sha256: str) -> Checksum | None:
        """Find the buffer of a SHA-256 that could be brought back. Raises: StoreFailed."""

    def giving_up(self, checksum: Checksum) -> AbstractAsyncContextManager[bool]:
        """Never bring a buffer back any more, unless what is done meanwhile fails; False if there is none.

        Raises: Busy, StoreFailed.
        """


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
        self.replicas: Replicas | None = None
        self._opening = Opening(store, self.verifier, counts)

    def close(self) -> None:
        """Let nobody wait any longer."""
        self._waiting.close()
        self._opening.close()

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
        found = await self._find(checksum, accepted, streams=False, seekable=seekable)
        assert isinstance(found, Blob)  # nothing streams that is not asked to
        return found

    async def open_or_stream(
        self, checksum: Checksum, accepted: Sequence[Form], *, seekable: bool = False
    ) -> Blob | Streamed:
        """Open a buffer as `open` does; one that was lost here may come as it arrives from elsewhere."""
        return await self._find(checksum, accepted, streams=True, seekable=seekable)

    async def _find(
        self, checksum: Checksum, accepted: Sequence[Form], *, streams: bool, seekable: bool
    ) -> Blob | Streamed:
        look_again, was_brought = True, False
        deadline_s = time.monotonic() + MAX_WAIT_S
        corrupt: BufferCorrupt | None = None
        while True:
            try:
                blob = await self._opening.now(checksum, accepted, seekable)
                if blob is not None:
                    return blob
            except BufferCorrupt as error:
                corrupt = error
            if not look_again:
                if was_brought:  # and taken away again
                    raise restless(checksum)
                brought = await self._bring(checksum, streams=streams, seekable=seekable)
                if isinstance(brought, Streamed):
                    return brought
                if not brought:
                    await self._note_absence(checksum)
                    raise corrupt or BufferNotFound(checksum)
                was_brought = True
            # Once more after nobody brings it: it may have come between the look and the question.
            look_again = time.monotonic() < deadline_s and await self._wait_for(checksum)

    async def _bring(self, checksum: Checksum, *, streams: bool, seekable: bool) -> Streamed | bool:
        if self.replicas is None:
            return False
        return await self.replicas.bring(checksum, streams=streams, seekable=seekable)

    async def open_now(self, checksum: Checksum) -> Blob | None:
        """Open the plain bytes of a buffer, if they are here now. Raises: Busy, StoreFailed."""
        with suppress(BufferCorrupt):
            return await self._opening.now(checksum, (Form.PLAIN,), seekable=False)
        return None

    async def _wait_for(self, checksum: Checksum) -> bool:
        if self._waiting.is_uploading(checksum) or await self.store.is_awaited(checksum):
            await self._waiting.wait(checksum)
            return True
        return False

    def open_at_once(self, checksum: Checksum, accepted: Sequence[Form]) -> Blob | None:
        """Open a buffer if that takes no waiting: a file at hand that is known to be good.

        None says nothing about the buffer: ask `open`. Raises: OSError.
        """
        return self._opening.at_once(checksum, accepted)

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
        # First: what nobody has here any more must not come back from elsewhere.
        giving_up = nullcontext(False) if self.replicas is None else self.replicas.giving_up(checksum)
        async with giving_up as is_given_up:
            removed = await self.store.remove(checksum) or is_given_up
        await self._note_absence(checksum)
        if removed:
            log.info("removed %s", checksum)
        return removed

    # -- asking ----------------------------------------------------------------------------------

    def named(self, sha256: str) -> Checksum | None:
        """Find what the store calls the buffer of a SHA-256 (lower case); None where none is catalogued.

        One that was found to be lost is not catalogued any more, and may come back. Raises: StoreFailed.
        """
        if self.store.format.algorithm is Algorithm.SHA_256:
            return Checksum(sha256)
        found = self.catalogue.named(bytes.fromhex(sha256))
        return found if found or self.replicas is None else self.replicas.named(sha256)

    async def is_good(self, checksum: Checksum) -> bool:
        """Tell whether a buffer could be served now, without waiting for it."""
        return await self._opening.size(checksum) is not None

    async def hashset(self, checksum: Checksum) -> Hashset:
        """Tell all digests of a buffer; if they were never computed, this reads it.

        Raises: what `open` raises.
        """
        for _ in range(MAX_REOPENED):
            with closing(await self.open(checksum)) as blob, suppress(FileChanged):
                hashset = self.catalogue.hashset(checksum) or await self.verifier.hashset(blob.stored)
                if hashset is not None:
                    return hashset
        raise restless(checksum)

    async def examine(self, checksum: Checksum, new_digester: Callable[[], D]) -> D:
        """Read a buffer through a digester of the caller's: the one that has seen all of a good file.

        One is made for each file that is tried. What the catalogue knows of a file spares nothing.
        Raises: BufferNotFound, BufferCorrupt, Busy, StoreFailed.
        """

        async def examined(stored: StoredFile) -> D | None:
            with stored.file:
                digester = new_digester()
                return digester if await self.verifier.examined(stored, digester) else None

        digester = await self._opening.first_good(checksum, FORMS, examined)
        if digester is None:
            await self._note_absence(checksum)
            raise BufferNotFound(checksum)
        return digester

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
            size = await self._opening.size(checksum)
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
