"""Lock files: those of other programs, honoured and shown; and our own around a commit.

A lock file in the open (`.LOCK`) is advice to and from programs that write straight into the
directory. What keeps our own servers apart is a lock of the kernel's, which dies with its process.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from ..checksums import Checksum
from ..errors import Busy
from .temps import TempFolder

SHOWN_AFTER_S = 1.0
REFRESHED_EVERY_S = 10.0

_FLOCK = "hhqqi"
"""struct flock: type, whence, start, length, process (0)."""

_TURNS = 2**60
"""Where the bytes begin that turns are taken by: behind all that 15 digits can say."""

COMMIT_WAIT_S = 5.0
"""A commit under the lock takes the time of a rename and a sync."""


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
def commit_lock(path: str, checksum: Checksum) -> Iterator[None]:
    """Keep every other server of ours from committing or quarantining this buffer meanwhile.

    One file for all: a checksum is a byte of it, far behind its end. The lock belongs to the open
    file (F_OFD_SETLK, fcntl(2)), so that threads of one process are kept apart as well.
    """
    descriptor = _opened(path)
    try:
        _lock_soon(descriptor, int(checksum[:15], 16))
        yield
    finally:
        os.close(descriptor)


def turn_lock(path: str, checksum: Checksum, prepare: Callable[[], None]) -> Callable[[], None] | None:
    """Take a lock that others may hold for minutes, unless they do; what is returned ends it.

    It does not hinder commits. `prepare` is called before, and may raise.
    """
    prepare()
    descriptor = _opened(path)
    try:
        _lock(descriptor, _TURNS + int(checksum[:15], 16))
    except BaseException as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return partial(os.close, descriptor)


def _opened(path: str) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o664)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return os.open(path, flags, 0o664)


def _lock(descriptor: int, byte: int) -> None:
    request = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, request)


def _lock_soon(descriptor: int, byte: int) -> None:
    """Take a lock that others hold for milliseconds; one that is stopped must not stop us."""
    deadline_s = time.monotonic() + COMMIT_WAIT_S
    while True:
        try:
            _lock(descriptor, byte)
            return
        except BlockingIOError:
            if time.monotonic() > deadline_s:
                raise Busy("another server holds this buffer's lock; try again") from None
            time.sleep(0.005)


class ShownLock:
    """The lock file that shows other programs an upload of ours.

    It is a second name of one of our temp files: so it appears whole, is told from another
    program's, and is found by whoever cleans up after us.
    """

    def __init__(self, path: str, temps: TempFolder) -> None:
        self._path = path
        self._temps = temps
        self._temporary: str | None = None
        self._ended = False
        self._turn = threading.Lock()  # an upload may end in one thread while another one shows it

    @property
    def ended(self) -> bool:
        """Whether the upload is over."""
        return self._ended

    def show(self) -> None:
        """Make the lock file, or make it fresh again; one of another program's is left alone."""
        with self._turn, contextlib.suppress(OSError):
            if self._ended:
                return
            if self._temporary is None:
                name, owner = os.path.basename(self._path), f"{self._temps.owner}\n".encode()
                self._temporary = self._temps.write(name, owner, 0o644, fsync=False)
            else:
                os.utime(self._temporary)
            with contextlib.suppress(FileExistsError):
                os.link(self._temporary, self._path)

    def end(self) -> None:
        """Remove the lock file if it is ours, for good."""
        with self._turn:
            self._ended = True
            if self._temporary is not None:
                remove_shown(self._path, self._temporary)
                with contextlib.suppress(OSError):
                    os.unlink(self._temporary)


def remove_shown(path: str, temporary: str) -> None:
    """Remove a lock file if it is a second name of this temp file."""
    with contextlib.suppress(OSError):
        if os.path.samefile(path, temporary):
            os.unlink(path)
