"""Opening what is stored: of the files under a name the first one that is good.

Nobody is waited for here, and nothing that was not verified is given out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack, aclosing
from functools import partial
from typing import TypeVar

from .blobs import Blob
from .checksums import Checksum
from .counting import Counts
from .decoded import DecodedFiles
from .errors import BufferCorrupt, Busy
from .store import FORMS, Form, Store, StoredFile
from .verifying import FileChanged, Verifier

T = TypeVar("T")
Judge = Callable[[StoredFile], Awaitable[T | None]]
"""Takes an open file: what it is good for, or None after closing it."""

MAX_REOPENED = 10
"""So often a file that changes while it is hashed is opened anew before the client is told to wait."""


class Opening:
    """Opens the files of one store."""

    def __init__(self, store: Store, verifier: Verifier, counts: Counts) -> None:
        self._store = store
        self._verifier = verifier
        self._decoded = DecodedFiles(store, counts)

    def close(self) -> None:
        """Let go of what is kept open."""
        self._decoded.close()

    async def now(self, checksum: Checksum, accepted: Sequence[Form], seekable: bool) -> Blob | None:
        """Open what is there now; None if nothing is. Raises: BufferCorrupt, Busy, StoreFailed."""
        blob = partial(self._blob, accepted=accepted, seekable=seekable)
        return await self.first_good(checksum, _all_forms(accepted), blob)

    async def first_good(self, checksum: Checksum, forms: Sequence[Form], judge: Judge[T]) -> T | None:
        """Find the first file that is judged good; what is replaced in the very moment is opened anew."""
        for _ in range(MAX_REOPENED):
            try:
                return await self._first_good_now(checksum, forms, judge)
            except FileChanged:
                continue
        raise restless(checksum)

    async def _first_good_now(self, checksum: Checksum, forms: Sequence[Form], judge: Judge[T]) -> T | None:
        corrupt = False
        async with aclosing(self._store.find(checksum, forms)) as found:
            async for stored in found:
                good = await judge(stored)
                if good is not None:
                    return good
                corrupt = True
        if corrupt:
            raise BufferCorrupt(
                f"File corruption: the file of {checksum} does not have the correct "
                f"{self._store.format.algorithm} checksum."
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
            pieces = self._store.pieces(stored) if file is None else None
            close = opened.pop_all().close
            return Blob(stored.checksum, form, size, known.sha256, stored, file, pieces, close)

    def at_once(self, checksum: Checksum, accepted: Sequence[Form]) -> Blob | None:
        """Open a buffer if that takes no waiting: a file at hand that is known to be good.

        None says nothing about the buffer: ask `now`. Raises: OSError.
        """
        stored = self._store.open_at_once(checksum, _all_forms(accepted))
        if stored is None:
            return None
        known = self._verifier.recalled(stored) if stored.form in accepted else None
        if known is None:
            stored.file.close()
            return None
        close = stored.file.close
        return Blob(
            checksum, stored.form, stored.identity.size, known.sha256, stored, stored.file, None, close
        )

    async def size(self, checksum: Checksum) -> int | None:
        """Tell the plain size of what could be served now; this may have to read it."""
        try:
            blob = await self.now(checksum, (Form.PLAIN,), False)
        except BufferCorrupt:
            return None
        if blob is None:
            return None
        blob.close()
        return blob.size


def restless(checksum: Checksum) -> Busy:
    return Busy(f"{checksum} is being changed all the time; try again")


def _all_forms(accepted: Sequence[Form]) -> list[Form]:
    """Order all forms: those that may be sent as they are go first."""
    return [*accepted, *(form for form in FORMS if form not in accepted)]
