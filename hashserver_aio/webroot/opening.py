"""The web-root: opening its files, listing its folders, in threads of its own.

A file is opened once and then only its descriptor is trusted.
"""

from __future__ import annotations

import asyncio
import errno
import io
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..catalogue.opening import away
from ..catalogue.opening import path_of as catalogue_of
from ..checksums import is_checksum
from ..errors import Busy, CannotStart, NoSuchFile
from ..settings import Settings
from ..store.files import OWN_FOLDER, FileId, Identity
from ..store.threads import finished
from .kept import KeptBack, id_of
from .listing import Listing, listed
from .paths import WebPath
from .walking import Walk

INDEX = b"index.html"

OPENING_THREADS = 4
"""Opening takes some 0.1 ms, but on a disk that is asleep it takes seconds."""

LISTINGS_WAITING = 32
"""A folder of a million names takes a thread for a second; so many may wait for the one that lists."""

_ABSENT = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.ENAMETOOLONG}
    | {errno.EACCES, errno.EPERM, errno.EINVAL, errno.EILSEQ}
)
"""That there is no such file, or none for us: who asks for it can do nothing about it."""


@dataclass(frozen=True, slots=True)
class WebFile:
    """An open file of the web-root; whoever got it closes `file`.

    `names` lead to it from the root, as they were asked for: links may have been on the way.
    """

    names: tuple[bytes, ...]
    file: io.FileIO
    identity: Identity

    @property
    def path(self) -> str:
        """The way from the root, as Python writes names of files."""
        return os.fsdecode(b"/".join(self.names))

    @property
    def id(self) -> FileId:
        """Which file it is, whatever path led to it."""
        return id_of(os.fstat(self.file.fileno()))

    def is_same(self) -> bool:
        """Tell whether nothing about it has changed since it was opened: neither content nor place."""
        return Identity.of(os.fstat(self.file.fileno())) == self.identity

    def is_still(self) -> bool:
        """Tell whether nobody has written to it since it was opened.

        Its ctime may change: so it does when the file is renamed, or another one takes its place.
        """
        status = os.fstat(self.file.fileno())
        return (status.st_size, status.st_mtime_ns) == (self.identity.size, self.identity.mtime_ns)


class WebRoot:
    """A folder whose files are served."""

    def __init__(self, root: Path, settings: Settings, taken: Iterable[str] = ()) -> None:
        """`taken`: names at the top that mean something else, as checksums do.

        Raises: CannotStart, if it can't be served.
        """
        self._taken = frozenset(os.fsencode(name) for name in taken)
        self._root = os.fsencode(os.path.abspath(root))
        self._roots = tuple({self._root, os.path.realpath(self._root)})
        self._stores = (settings.directory, *settings.extra_dirs)
        self._files = tuple(_own_files(settings))
        self._dot_files = settings.dot_files
        self._check(root)
        self._opening = ThreadPoolExecutor(OPENING_THREADS, "webroot")
        self._lister = ThreadPoolExecutor(1, "listing")
        self._listings = 0

    async def open(self, path: WebPath) -> WebFile:
        """Open a file.

        Raises: NoSuchFile, also for a folder; Busy, StoreFailed.
        """
        opened = await self.find(WebPath(path.names, False))
        if opened is None or path.is_folder:
            if opened is not None:
                opened.file.close()
            raise NoSuchFile
        return opened

    async def find(self, path: WebPath) -> WebFile | None:
        """Open a file, or the index of a folder if the path has its slash; None for a folder without.

        Raises: NoSuchFile, Busy, StoreFailed.
        """
        job = self._opening.submit(self._find, path)
        try:
            return await finished(job)
        except asyncio.CancelledError:
            if job.exception() is None and (opened := job.result()) is not None:
                opened.file.close()
            raise

    async def listing(self, path: WebPath, after: bytes = b"") -> Listing:
        """List a folder, from the first name behind `after`.

        Raises: NoSuchFile, Busy, StoreFailed.
        """
        if self._listings >= LISTINGS_WAITING:
            raise Busy("too many folders are being listed; try again")
        self._listings += 1
        try:
            return await finished(self._lister.submit(self._list, path, after))
        finally:
            self._listings -= 1

    def shadowed(self) -> list[str]:
        """Tell which of the names that are taken there are at the top."""
        return sorted(
            os.fsdecode(name) for name in self._taken if os.path.lexists(os.path.join(self._root, name))
        )

    def close(self) -> None:
        """Wait for what is under way."""
        self._opening.shutdown()
        self._lister.shutdown()

    def _check(self, root: Path) -> None:
        try:
            with self._walk() as walk:
                os.close(walk.open_folder())
        except OSError as error:
            raise CannotStart(f"the web-root {root} can't be served: {error.strerror}") from None
        except NoSuchFile:
            raise CannotStart(f"the web-root {root} is the server's own") from None
        if OWN_FOLDER in Path(os.fsdecode(os.path.realpath(self._root))).parts:
            raise CannotStart(f"the web-root {root} lies in {OWN_FOLDER}, which is the server's own")

    def _walk(self) -> Walk:
        kept = KeptBack.now(self._stores, self._files, dot_files=self._dot_files)
        return Walk(self._root, self._roots, kept)

    def _find(self, path: WebPath) -> WebFile | None:
        if path.names and (path.names[0] in self._taken or _is_buffer(path.names[0])):
            raise NoSuchFile
        with _absence(), self._walk() as walk:
            if walk.go(path.names) is not None:
                if path.is_folder:
                    raise NoSuchFile
                return _opened(walk, path.names)
            if path.is_folder:
                with suppress(NoSuchFile), _absence():
                    if walk.go((INDEX,)) is not None:
                        return _opened(walk, (*path.names, INDEX))
            return None

    def _list(self, path: WebPath, after: bytes) -> Listing:
        with _absence(), self._walk() as walk:
            if walk.go(path.names) is not None:
                raise NoSuchFile
            return listed(walk, lambda name: self._led_to((*path.names, name)), after)

    def _led_to(self, names: tuple[bytes, ...]) -> os.stat_result | None:
        """Tell what is at the end of a way with links; None if that is nothing to be seen."""
        with suppress(NoSuchFile), _absence(), self._walk() as walk:
            return walk.go(names) or os.fstat(walk.folder.descriptor)
        return None


def _is_buffer(name: bytes) -> bool:
    return is_checksum(name.decode("latin-1").lower())


@contextmanager
def _absence() -> Iterator[None]:
    """Tell what the system says about a name that there is not from what it says about the disk."""
    try:
        yield
    except OSError as error:
        if error.errno in _ABSENT:
            raise NoSuchFile from None
        raise


def _opened(walk: Walk, names: tuple[bytes, ...]) -> WebFile:
    file = io.FileIO(walk.open(), "rb")
    return WebFile(names, file, Identity.of(os.fstat(file.fileno())))


def _own_files(settings: Settings) -> Iterator[Path]:
    """Name what is kept back of ours wherever it lies."""
    yield from settings.kept_back
    if settings.auth_file is not None:
        yield settings.auth_file
    with suppress(RuntimeError):  # there is no home
        yield away()
    catalogue = None if settings.catalogue is None else catalogue_of(settings.catalogue)
    if catalogue is not None:
        yield from (Path(catalogue + ending) for ending in ("", "-wal", "-shm", "-journal"))
