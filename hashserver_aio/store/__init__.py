"""Where bytes live: the `Store` interface and what passes through it.

A store moves bytes and knows nothing of whether they hash to their name: that is judged above it,
in one place for every kind of store.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from typing import Protocol

from ..checksums import Checksum
from .files import FORMS, Form, Identity, StoredFile
from .format import Format
from .scanning import Entry, Part

__all__ = [
    "FORMS",
    "Entry",
    "Form",
    "Format",
    "Identity",
    "Pace",
    "Part",
    "PendingUpload",
    "Sink",
    "Store",
    "StoredFile",
]

Pace = Callable[[int], Awaitable[None]]
"""Is told how many bytes were read, and returns when the next ones may be."""


class Sink(Protocol):
    """What wants to see every byte of an upload, such as a hash."""

    def update(self, data: bytes | memoryview, /) -> object:
        """Take the next bytes."""


class PendingUpload(Protocol):
    """A buffer on its way in; exactly one of `commit` and `abort` ends it, `abort` any number of times.

    All raise NoSpace or StoreFailed where the disk does.
    """

    async def open(self) -> None:
        """Begin; from now on other servers see the upload."""

    async def write(self, piece: bytes) -> None:
        """Append bytes; it returns while they are still being hashed and written."""

    async def finish(self) -> None:
        """Wait until all that was appended is hashed and written."""

    async def verify(self, sink: Sink, limit_bytes: int | None) -> None:
        """Pass the plain bytes of what was appended to `sink`.

        Raises: BadEncoding; BufferTooLarge, once they are more than the limit.
        """

    async def commit(self, checksum: Checksum, plain_size: int) -> Identity:
        """Make the buffer visible under its name, whole and durable."""

    async def abort(self) -> None:
        """Leave nothing behind."""


class Store(Protocol):
    """Where bytes live. Disk errors are raised as NoSpace, StoreFailed or Busy."""

    @property
    def format(self) -> Format:
        """How this store's buffers are named."""

    @property
    def writable(self) -> bool:
        """Whether buffers can be stored."""

    def find(self, checksum: Checksum, forms: Sequence[Form]) -> AsyncGenerator[StoredFile, None]:
        """Open what is stored under a name, the preferred forms first; whoever takes it closes it."""

    async def own(self, checksum: Checksum, form: Form) -> StoredFile | None:
        """Open what is stored under a name where uploads go, in one form; the caller closes it."""

    def open_at_once(self, checksum: Checksum, forms: Sequence[Form]) -> StoredFile | None:
        """Open the first form that is stored, if that takes no waiting; None is no answer.

        Raises: OSError.
        """

    async def read(self, stored: StoredFile, sink: Sink, pace: Pace | None = None) -> None:
        """Pass a stored file's plain bytes to `sink`, without holding up anyone.

        Raises: BadEncoding.
        """

    def pieces(self, stored: StoredFile) -> AsyncGenerator[bytes, None]:
        """Yield a stored file's plain bytes; memory is one piece. Whoever stops early closes it.

        Raises: BadEncoding.
        """

    async def sync(self, stored: StoredFile) -> None:
        """Make a file durable that another program stored."""

    def upload(self, checksum: Checksum | None, form: Form, sinks: Sequence[Sink]) -> PendingUpload:
        """Prepare to store a buffer; each sink will see every byte appended.

        None for one whose name is learned from its bytes: nobody else can see it coming.
        """

    async def put(self, checksum: Checksum, data: bytes) -> Identity:
        """Store a whole, verified, small buffer in one step."""

    async def present(self, checksums: Sequence[Checksum]) -> set[Checksum]:
        """Tell which of these are stored, in whatever form."""

    async def sizes(self, checksums: Sequence[Checksum]) -> dict[Checksum, int]:
        """Tell the plain sizes of those that are stored, as far as no file has to be read for it."""

    async def quarantine(self, stored: StoredFile) -> bool:
        """Put a corrupt file aside, if it is ours, old enough and nobody is writing it."""

    async def promise(self, checksum: Checksum) -> None:
        """Announce to all servers of this store that a buffer will come; forgotten after 600 s."""

    async def drop_promise(self, checksum: Checksum) -> None:
        """Take a promise back."""

    async def pending(self, checksums: Sequence[Checksum]) -> set[Checksum]:
        """Tell which of these are promised, or being uploaded through another server."""

    async def is_awaited(self, checksum: Checksum) -> bool:
        """Tell whether it is worth waiting for a buffer: it is pending, or a lock file says so."""

    async def turn(self, checksum: Checksum) -> Callable[[], None] | None:
        """Take the turn, of all servers of this store, to do something long with a buffer.

        What is returned ends it, as the death of this process does; None if another one has it.
        """

    async def remove(self, checksum: Checksum) -> bool:
        """Remove a buffer in all its forms, durably; False if there is none.

        Raises: ReadOnly, where only an extra directory holds it.
        """

    def parts(self) -> list[Part]:
        """Name the parts of all that is stored, in the order they are gone through."""

    async def listed(self, part: Part) -> list[Entry]:
        """List the files of a part, in the order of names."""

    async def open_entry(self, part: Part, entry: Entry) -> StoredFile | None:
        """Open a file that was listed; None if it is gone."""

    def has_room(self, size: int) -> bool:
        """Tell whether `size` more bytes are likely to fit."""

    def why_unusable(self) -> str | None:
        """Tell in a sentence, without a path, why the store can't be used now; None if it can.

        This blocks, on a disk that is gone for ever, and is called in a thread that may.
        """

    def is_absent(self, checksum: Checksum, places: Collection[str]) -> bool:
        """Tell for sure that nothing is stored under a name; this blocks, and is called in threads.

        False where that can't be told: `places`, where files of it are known, are not all searched
        here, or one of them, or the store, is not there (an unmounted disk).
        """
