"""What of ours is never served, though it may lie beneath the web-root: known by what it is, not only
by where.

So neither a link nor another mount leads around it. It is looked at anew for each opening, as keys are
renewed, and directories wiped and made again, while the server runs.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..checksums import CHECKSUM_DIGITS, is_checksum
from ..store.files import OWN_FOLDER, FileId

_OWN_FOLDER = os.fsencode(OWN_FOLDER)

_BESIDE = (b"", b".", b"-", b"~")
"""How the names of files begin that a program writes beside its own, after the name of that: "-wal"."""


def id_of(status: os.stat_result) -> FileId:
    """Tell which file a stat is of."""
    return status.st_dev, status.st_ino


@dataclass(frozen=True, slots=True)
class KeptBack:
    """What may not be served: `files` and folders by what they are; in a folder, whatever is named as
    one of `names` or beside it; and what the directories of buffers, `stores`, hold for buffers.
    """

    stores: frozenset[FileId]
    files: frozenset[FileId]
    names: frozenset[tuple[FileId, bytes]]
    dot_files: bool

    @classmethod
    def now(cls, stores: Iterable[Path], files: Iterable[Path], *, dot_files: bool) -> KeptBack:
        """Look what is there now."""
        files = tuple(files)
        folders = ((_ids([file.parent]), os.fsencode(file.name)) for file in files)
        return cls(
            _ids(stores),
            _ids(files),
            frozenset((folder, name) for ids, name in folders for folder in ids),
            dot_files,
        )

    def hides(self, folder: FileId, name: bytes, *, in_store: bool) -> bool:
        """Tell whether a name in a folder is none for a URL.

        In a directory of buffers these are none: they are to be had by their checksum, verified, and
        what is named after them are lock files and the like.
        """
        if name == _OWN_FOLDER:
            return True
        if name.startswith(b".") and (in_store or not self.dot_files):
            return True
        if in_store and is_checksum(name[:CHECKSUM_DIGITS].decode("latin-1")):
            return True
        return any(folder == where and _is_beside(name, kept) for where, kept in self.names)


def _is_beside(name: bytes, kept: bytes) -> bool:
    return name.startswith(kept) and name[len(kept) : len(kept) + 1] in _BESIDE


def _ids(paths: Iterable[Path]) -> frozenset[FileId]:
    found = set()
    for path in paths:
        with contextlib.suppress(OSError):  # there is none now
            found.add(id_of(os.stat(path)))
    return frozenset(found)
