"""The folder of temp files that a process owns for as long as it lives.

Its owner holds a lock on the file beside it, so that whoever starts next knows a dead process's
folder at once. The lock file is made first and removed last: a folder without one does not occur.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import secrets
import shutil
from collections.abc import Callable, Iterator

from ..checksums import CHECKSUM_DIGITS, Checksum, is_checksum

_LOCK_SUFFIX = ".lock"
_SCRATCH_SUFFIX = ".scratch"


class TempFolder:
    """Makes temp files in `BASE/<owner>/`, named after the buffer that they are to become.

    By the names other servers see what is being uploaded here; nothing else has to be announced.
    """

    def __init__(self, base: str, prepare: Callable[[], None]) -> None:
        """`prepare` is called before anything is made: it holds the lock, or raises."""
        self.base = base
        self._prepare = prepare
        self.owner = f"{os.getpid()}-{secrets.token_hex(8)}"
        self._numbers = itertools.count()
        self._lock_descriptor: int | None = None

    @property
    def path(self) -> str:
        """Name the folder."""
        return f"{self.base}/{self.owner}"

    def create(self, name: str) -> tuple[int, str]:
        """Make a temp file and open it for reading and writing: descriptor and path.

        The folder is made with the first file, and again if somebody removed it.
        """
        path = f"{self.path}/{name}.{next(self._numbers)}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            return os.open(path, flags, 0o600), path
        except FileNotFoundError:
            self._prepare()
            os.makedirs(self.path, exist_ok=True)
            return os.open(path, flags, 0o600), path

    def write(self, name: str, data: bytes, mode: int, *, fsync: bool) -> str:
        """Make a temp file with these bytes: its path. If that fails, nothing is left."""
        descriptor, path = self.create(name)
        try:
            with os.fdopen(descriptor, "wb", buffering=0) as file:
                file.write(data)
                os.fchmod(descriptor, mode)
                if fsync:
                    os.fsync(descriptor)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise
        return path

    @property
    def scratch(self) -> str:
        """Name a file for whoever holds the lock but may not make buffers yet."""
        return self.path + _SCRATCH_SUFFIX

    def hold_lock(self) -> None:
        """Take the lock, and again if somebody removed it; one thread at a time."""
        lock = self.path + _LOCK_SUFFIX
        os.makedirs(self.base, exist_ok=True)
        if self._lock_descriptor is None or not os.path.exists(lock):
            self._forget()
            self._lock_descriptor = _locked(lock)

    def _forget(self) -> None:
        if self._lock_descriptor is not None:
            os.close(self._lock_descriptor)
            self._lock_descriptor = None

    def close(self, clean_up: Callable[[str, Checksum], None]) -> None:
        """Remove the folder with all that is in it, and let go of the lock; see `remove_stale`."""
        if self._lock_descriptor is None:
            return
        for name, checksum in _buffers_in(self.path).items():
            clean_up(f"{self.path}/{name}", checksum)
        shutil.rmtree(self.path, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.unlink(self.path + _LOCK_SUFFIX)
        self._forget()

    def uploads_elsewhere(self) -> set[Checksum]:
        """Name the buffers that other living processes are uploading into this directory."""
        found: set[Checksum] = set()
        for owner in _owners(self.base):
            if owner == self.owner:
                continue
            buffers = _buffers_in(f"{self.base}/{owner}").values()
            if buffers and _is_alive(f"{self.base}/{owner}{_LOCK_SUFFIX}"):
                found.update(buffers)
        return found

    def remove_stale(self, clean_up: Callable[[str, Checksum], None]) -> int:
        """Remove what dead processes left; `clean_up` sees each temp file and its buffer first."""
        removed = 0
        for owner in _owners(self.base):
            folder, lock = f"{self.base}/{owner}", f"{self.base}/{owner}{_LOCK_SUFFIX}"
            with _unheld(lock, fcntl.LOCK_EX) as unheld:
                if not unheld:
                    continue
                for name, checksum in _buffers_in(folder).items():
                    clean_up(f"{folder}/{name}", checksum)
                shutil.rmtree(folder, ignore_errors=True)
                for path in (f"{self.base}/{owner}{_SCRATCH_SUFFIX}", lock):
                    with contextlib.suppress(OSError):
                        os.unlink(path)
                removed += 1
        return removed


def _locked(path: str) -> int:
    """Make a lock file and lock it; the new owner's name is random, so nobody else has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    if os.fstat(descriptor).st_nlink == 0:  # a cleaner took it for stale before it was locked
        os.close(descriptor)
        return _locked(path)
    return descriptor


def _owners(base: str) -> list[str]:
    try:
        names = os.listdir(base)
    except OSError:
        return []
    return [name.removesuffix(_LOCK_SUFFIX) for name in names if name.endswith(_LOCK_SUFFIX)]


def _buffers_in(folder: str) -> dict[str, Checksum]:
    """Tell of each temp file which buffer it is of."""
    try:
        names = os.listdir(folder)
    except OSError:
        return {}
    named = ((name, name[:CHECKSUM_DIGITS]) for name in names)
    return {name: Checksum(checksum) for name, checksum in named if is_checksum(checksum)}


def _is_alive(lock: str) -> bool:
    with _unheld(lock, fcntl.LOCK_SH) as unheld:
        return not unheld


@contextlib.contextmanager
def _unheld(lock: str, kind: int) -> Iterator[bool]:
    """Tell whether nobody holds a lock file, which means a dead process; if so, hold it meanwhile.

    What is gone in this moment, or belongs to a user we can't judge, counts as held.
    """
    mode = os.O_RDONLY if kind == fcntl.LOCK_SH else os.O_RDWR
    try:
        descriptor = os.open(lock, mode | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError:
        yield False
    else:
        yield True
    finally:
        os.close(descriptor)
