"""Which catalogue goes with a store.

A directory that can't be written gets one in memory, unless it is told where to keep one.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from ..counting import Counts
from ..errors import CannotStart
from ..settings import Settings
from ..store.directory import DirectoryStore
from . import Catalogue
from .memory import MemoryCatalogue
from .sqlite import SqliteCatalogue

FILE = "catalogue.sqlite"


@contextlib.asynccontextmanager
async def opened(
    settings: Settings, counts: Counts | None = None
) -> AsyncIterator[tuple[DirectoryStore, Catalogue]]:
    """Hold a directory and its catalogue open.

    Raises: CannotStart, FormatConflict; StoreFailed, if a newer program made the catalogue.
    """
    store = DirectoryStore(settings, counts)
    try:
        await store.start()
        catalogue = _open_catalogue(settings, store)
        try:
            yield store, catalogue
        finally:
            await catalogue.close()
    finally:
        await store.close()


def _open_catalogue(settings: Settings, store: DirectoryStore) -> Catalogue:
    path = _path(settings, store)
    if path is None:
        return MemoryCatalogue()
    prepare = store.prepare if settings.writable else lambda: None
    return SqliteCatalogue(path, prepare, fsync=settings.fsync)


def _path(settings: Settings, store: DirectoryStore) -> str | None:
    if settings.catalogue is not None:
        return path_of(settings.catalogue)
    if not settings.writable:
        return None
    if store.is_network:  # SQLite's shared memory does not work across hosts
        name = hashlib.sha256(str(settings.directory.resolve()).encode()).hexdigest()[:16]
        return str(away() / f"{name}.sqlite")
    return f"{store.own_folder}/{FILE}"


def away() -> Path:
    """Name the folder for catalogues of directories that lie on network file systems."""
    return Path.home() / ".local/state/hashserver-aio"


def path_of(url: str) -> str | None:
    """Read where a catalogue is: `memory:` (None), or `sqlite:PATH` (`sqlite:///absolute/path` too).

    Raises: CannotStart.
    """
    parts = urlsplit(url)
    if url == "memory:":
        return None
    if parts.scheme == "sqlite" and parts.path and not parts.netloc:
        path = Path(unquote(parts.path)).absolute()
        _refuse_other(path)
        return str(path)
    raise CannotStart(f"{url!r} is no catalogue; write sqlite:PATH or memory:")


def _refuse_other(path: Path) -> None:
    """Refuse a file that is no database: as a catalogue that is broken it would be moved aside.

    Raises: CannotStart.
    """
    if path.is_dir() or not path.parent.is_dir():
        raise CannotStart(f"the catalogue {path} can't be made; name a file in a folder that there is")
    with contextlib.suppress(sqlite3.OperationalError):  # there is none yet
        try:
            # By SQLite, though a look at the first bytes would do: see connection.py.
            with contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as found:
                found.execute("PRAGMA user_version")
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_NOTADB:
                raise CannotStart(f"{path} is no catalogue; name another file") from None
            raise
