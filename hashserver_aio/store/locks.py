"""Lock files: those of other programs, honoured and shown; and our own around a commit.

A lock file in the open (`.LOCK`) is advice to and from programs that write straight into the
directory. What keeps our own servers apart is `flock`, which dies with its process.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Iterable, Iterator

from ..checksums import Checksum

SHOWN_AFTER_S = 1.0
REFRESHED_EVERY_S = 10.0


def is_locked(paths: Iterable[str], timeout_s: float) -> bool:
    """Tell whether one of these lock files exists and is not yet stale."""
    now = time.time()
    for path in paths:
        try:
            if now - os.stat(path).st_mtime <= timeout_s:
                return True
        except OSError:
            continue
    return False


@contextlib.contextmanager
def commit_lock(folder: str, checksum: Checksum) -> Iterator[None]:
    """Keep every other server of ours from committing or quarantining this buffer meanwhile.

    4,096 lock files stand for all checksums: a file a checksum would have to be made and removed
    every time, and two commits that meet in one file only wait for each other.
    """
    path, flags = f"{folder}/{checksum[:3]}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o664)
    except FileNotFoundError:
        os.makedirs(folder, exist_ok=True)
        descriptor = os.open(path, flags, 0o664)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


class ShownLock:
    """The lock file that shows other programs an upload of ours; content: who owns it."""

    def __init__(self, path: str, owner: str) -> None:
        self._path = path
        self._owner = owner
        self._shown = False
        self._ended = False
        self._turn = threading.Lock()  # an upload may end in one thread while another one shows it

    def show(self) -> None:
        """Make the lock file, or make it fresh again; one of another program's is left alone."""
        with self._turn, contextlib.suppress(OSError):
            if self._ended:
                return
            if self._shown:
                os.utime(self._path)
                return
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            with os.fdopen(os.open(self._path, flags, 0o644), "w") as file:
                self._shown = True
                file.write(self._owner)

    def end(self) -> None:
        """Remove the lock file if it is ours, for good."""
        with self._turn:
            if self._shown and not self._ended:
                remove_shown(self._path, self._owner)
            self._ended = True


def remove_shown(path: str, owner: str) -> None:
    """Remove a lock file that `owner` showed; anyone else's is left alone."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            theirs = file.read(256) != owner
        if not theirs:
            os.unlink(path)
    except OSError:
        return
