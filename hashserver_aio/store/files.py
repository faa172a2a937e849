"""Stored files: the forms a buffer is kept in, the identity of a file, and opening one.

A file is opened once and then only its descriptor is trusted: what was checked is what is served.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import time
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from ..checksums import CHECKSUM_DIGITS, Checksum, is_checksum

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class Form(StrEnum):
    """How a buffer's bytes are kept; the value is what is added to the file's name."""

    PLAIN = ""
    ZSTD = ".zst"
    GZIP = ".gz"


FORMS = tuple(Form)

LAST_DATE_S = 253_402_300_799.0
"""The end of the year 9999."""

OWN_FOLDER = ".hashserver-aio"
"""The one folder of ours inside a store's directory."""

COMMIT_LOCK = "commit.lock"
"""The file in it that servers lock bytes of."""


def is_absence(error: OSError) -> bool:
    """Tell whether an error means that there is no such file; any other must not look like that."""
    return error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)


def parse_name(name: str) -> tuple[Checksum, Form] | None:
    """Read a file's name as a buffer's checksum and form; None if it is no buffer's."""
    checksum, ending = name[:CHECKSUM_DIGITS], name[CHECKSUM_DIGITS:]
    if not is_checksum(checksum) or ending not in FORMS:
        return None
    return Checksum(checksum), Form(ending)


FileId = tuple[int, int]
"""Device and inode: which file it is, however many paths lead to it."""


class Identity(NamedTuple):
    """What tells that a file is still the one that was hashed."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @property
    def modified_s(self) -> float:
        """Seconds since the epoch at the last change of content, within what a date can say."""
        return min(max(0.0, self.mtime_ns / 1e9), LAST_DATE_S)

    @property
    def age_s(self) -> float:
        """Seconds since anything about the file changed; negative if its clock is ahead of ours.

        By ctime, which nobody can set: mtime may be anything.
        """
        return time.time() - self.ctime_ns / 1e9

    @classmethod
    def of(cls, status: os.stat_result) -> Identity:
        """Take the identity from a stat."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """An open file that is named like a buffer, not yet said to be good.

    `place` names the directory it lies in: "" for the store's own, else an extra directory's path.
    Whoever holds it closes `file`.
    """

    checksum: Checksum
    place: str
    form: Form
    path: str
    file: io.FileIO
    identity: Identity

    def reader(self) -> io.BufferedReader:
        """Read the file from its start, independently of everyone who reads it too."""
        return read_from_start(self.file.fileno())

    def now(self) -> Identity:
        """Take the identity anew: it tells whether the file was written to since it was opened."""
        return Identity.of(os.fstat(self.file.fileno()))

    def is_in_place(self) -> bool:
        """Tell whether the same file still is at its path; the descriptor may be closed."""
        try:
            return Identity.of(os.stat(self.path)) == self.identity
        except OSError:
            return False

    def reopened(self) -> io.FileIO | None:
        """Open the same file anew; None if it is not there any more."""
        try:
            stored = open_stored(self.checksum, self.place, self.form, self.path)
        except OSError:
            return None
        if stored is None:
            return None
        if stored.identity == self.identity:
            return stored.file
        stored.file.close()
        return None

    def duplicate(self) -> StoredFile:
        """Open it once more, for somebody who closes it at another time."""
        return replace(self, file=io.FileIO(os.dup(self.file.fileno()), "rb"))


def open_stored(checksum: Checksum, place: str, form: Form, path: str) -> StoredFile | None:
    """Open a buffer's file, or None if there is none (or something that is no file).

    Raises: OSError, for anything but absence.
    """
    try:
        # O_NONBLOCK: a named pipe put there must not hang the server.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if is_absence(error):
            return None
        raise
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        return None
    file = io.FileIO(descriptor, "rb")
    return StoredFile(checksum, place, form, path, file, Identity.of(status))


def read_from_start(descriptor: int) -> io.BufferedReader:
    """Read a descriptor's file from its start; the descriptor itself may be closed meanwhile."""
    return io.BufferedReader(_PositionedReader(os.dup(descriptor)), 128 * 1024)


class _PositionedReader(io.RawIOBase):
    """Reads a descriptor with pread: `dup` alone would share the offset with other readers."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._offset = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        count = os.preadv(self._descriptor, [buffer], self._offset)
        self._offset += count
        return count

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()
