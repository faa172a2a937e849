"""A file on its way: `NAME.part`, and beside it `NAME.part.state`, which says what of it is there.

The state may be ahead of the disk after the machine went down: what it says is hashed before it is believed.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import json
import os
import re
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from stat import S_ISREG
from typing import Any, TypeVar

from ...blocks import LEAF_BYTES
from ...errors import Busy, NoSpace, NotPermitted
from ..threads import ended

T = TypeVar("T")

VERSION = 1

THREADS = 4
"""Two hash what comes, one reads it back, one waits for the disk."""

SYNC_BYTES = 128 * 2**20
"""So much is left to the sync in the end at most, beside what comes meanwhile."""

WRITE_BYTES = 256 * 1024
"""Longer writes get larger pages of the kernel, of memory that it has not used yet: three times its time."""

HEADER_BYTES, LINE_BYTES = 2**20, 100
"""What the state of a file takes at most: a line may be there twice."""

_PLAIN = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
"""How what lies there is opened: no link is followed, and no pipe waited for."""

_CLAIM = re.compile(r"(\d{1,9}) ([0-9a-f]{40})")

LONG_NAME = 200
"""Of a longer name there is no room for another one beside it."""


@asynccontextmanager
async def opened(path: Path, what: str, size: int) -> AsyncIterator[Part]:
    """Have a part. Raises: as `Part.open`."""
    part = Part(path, what, size)
    try:
        await part.do(part.open)
        yield part
    finally:
        part.close()


def sha1_of(data: bytearray | memoryview | bytes) -> bytes:
    """Hash a block."""
    return hashlib.sha1(data, usedforsecurity=False).digest()


class Part:
    """An unfinished file, which no other process writes to. `what` names its content for whoever resumes it.

    All of this blocks but `do`, which has it done in a thread, to its end: nothing is written later.
    """

    def __init__(self, path: Path, what: str, size: int) -> None:
        self.path = path
        self.size = size
        self._what = what
        name = os.fsencode(path.name)
        name = name if len(name) <= LONG_NAME else sha1_of(name).hex().encode()
        self._part = path.with_name(os.fsdecode(name + b".part"))
        self._state = path.with_name(os.fsdecode(name + b".part.state"))
        self._file = self._journal = -1
        self._unsynced = 0
        self._syncing: Future[None] | None = None
        self._claims: tuple[int, dict[int, bytes]] | None = None
        self._threads = ThreadPoolExecutor(THREADS, "part")

    def open(self) -> None:
        """Begin it, or go on. Raises: Busy, if another process holds it; NoSpace; NotPermitted; OSError."""
        if self.path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), self.path.name)
        self._file = _held(self._part)
        self._claims = self._claimed()
        if self._claims is None:
            os.truncate(self._file, 0)
        self._check_space()
        os.truncate(self._file, self.size)

    async def do(self, work: Callable[..., T], *args: Any) -> T:
        """Do something with the file in a thread, to its end. Raises: what it raises."""
        return await ended(asyncio.get_running_loop().run_in_executor(self._threads, work, *args))

    # -- what is there already -------------------------------------------------------------------

    def claimed(self, block_size: int) -> list[int]:
        """Name the blocks of a size that the state claims to be there."""
        if self._claims is None:
            return []
        claimed_size, claims = self._claims
        found = []
        for number in range(-(-self.size // block_size)):
            first, end = number * block_size, min((number + 1) * block_size, self.size)
            if all(each in claims for each in range(first // claimed_size, -(-end // claimed_size))):
                found.append(number)
        return found

    def is_as_claimed(self, number: int, block_size: int, sha1: bytes) -> bool:
        """Tell whether a block is as it was noted, if blocks had that size."""
        assert self._claims is not None
        return self._claims[0] != block_size or self._claims[1][number] == sha1

    def begin(self, block_size: int, there: Mapping[int, bytes]) -> None:
        """Begin a new state, of these blocks."""
        beside = self._state.with_name(f"{self._state.name}.new")
        header = {"version": VERSION, "what": self._what, "size": self.size, "block_size": block_size}
        lines = [json.dumps(header), *(f"{number} {sha1.hex()}" for number, sha1 in there.items())]
        beside.unlink(missing_ok=True)
        with beside.open("x", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        os.replace(beside, self._state)
        self._journal = os.open(self._state, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)

    # -- while it comes --------------------------------------------------------------------------

    def write(self, number: int, first: int, data: memoryview, sha1: bytes) -> None:
        """Write a block, and take note of it."""
        self._write(first, data)
        self._sync_now_and_then(len(data))
        os.write(self._journal, f"{number} {sha1.hex()}\n".encode())

    def sha1(self, first: int, length: int) -> bytes:
        """Hash what is there. Raises: OSError."""
        return sha1_of(self.read(first, bytearray(length)))

    def write_all(self, data: bytes) -> None:
        """Write a file that came in one piece."""
        self._write(0, data)

    def read(self, first: int, data: bytearray) -> bytearray:
        """Fill a buffer with what is there. Raises: OSError."""
        view = memoryview(data)
        while view:
            count = os.preadv(self._file, [view], first)
            if not count:
                raise OSError(f"{self._part.name} was made shorter by somebody else")
            first, view = first + count, view[count:]
        return data

    # -- its end ---------------------------------------------------------------------------------

    def finish(self) -> None:
        """Put the file in its place, on the disk. Raises: Busy, if it was taken away; OSError."""
        if self._syncing is not None:
            self._syncing.result()  # the kernel tells of a failure once
        os.fsync(self._file)
        self._check_place()
        os.replace(self._part, self.path)
        self._state.unlink(missing_ok=True)
        sync_folder(self.path.parent)

    def forget(self) -> None:
        """Nothing of it is any good. Raises: Busy, if it was taken away."""
        self._check_place()
        self._part.unlink(missing_ok=True)
        self._state.unlink(missing_ok=True)

    def close(self) -> None:
        """Leave it as it is; without a state it is of no use."""
        self._threads.shutdown()
        is_new = self._journal < 0 and self._claims is None
        if is_new and self._file >= 0 and _is_at(self._file, self._part):
            self._part.unlink()
        for file in (self._file, self._journal):
            if file >= 0:
                os.close(file)

    # -- inside ----------------------------------------------------------------------------------

    def _write(self, first: int, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view:
            count = os.pwrite(self._file, view[:WRITE_BYTES], first)
            first, view = first + count, view[count:]

    def _claimed(self) -> tuple[int, dict[int, bytes]] | None:
        """Read what the state says: the size of the blocks, and the blocks; None if it is of no use."""
        try:
            header, *lines = _text(self._state, self.size).split("\n")
            told: Any = json.loads(header)
            if (told["version"], told["what"], told["size"]) != (VERSION, self._what, self.size):
                return None
            block_size = int(told["block_size"])
        except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return None
        found = filter(None, map(_CLAIM.fullmatch, lines))
        claims = {int(match[1]): bytes.fromhex(match[2]) for match in found}
        return (block_size, claims) if block_size > 0 else None

    def _sync_now_and_then(self, count: int) -> None:
        """Let the disk begin while the rest comes. Raises: OSError, of the last time."""
        self._unsynced += count
        if self._unsynced >= SYNC_BYTES and (self._syncing is None or self._syncing.done()):
            if self._syncing is not None:
                self._syncing.result()
            self._unsynced, self._syncing = 0, self._threads.submit(os.fdatasync, self._file)

    def _check_place(self) -> None:
        if not _is_at(self._file, self._part):
            raise Busy(f"{self._part.name} was taken away, or replaced, while it was being downloaded")

    def _check_space(self) -> None:
        there = os.fstat(self._file).st_blocks * 512
        disk = os.fstatvfs(self._file)
        free = disk.f_bavail * disk.f_frsize
        if self.size - there > free:
            raise NoSpace(
                f"{self.path.name} needs {self.size - there:,} more bytes, and {free:,} are free there"
            )


def _held(path: Path) -> int:
    """Open a file that no other process has open in this way, making it if there is none."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | _PLAIN, 0o666)
        try:
            status = os.fstat(file)
            if not S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_nlink > 1:
                raise NotPermitted(f"{path.name} is no file of your own: what it is to others is not known")
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(file, path):
                return file
        except BlockingIOError:
            os.close(file)
            raise Busy(f"{path.name} is being downloaded by another process") from None
        except BaseException:
            os.close(file)
            raise
        os.close(file)  # the other process finished it, and put it in its place


def _text(path: Path, size: int) -> str:
    """Read the state of a file of a size: no more than there can be of it. Raises: OSError."""
    most = HEADER_BYTES + LINE_BYTES * (size // LEAF_BYTES)
    file = os.open(path, os.O_RDONLY | _PLAIN)
    with open(file, "rb") as state:
        if not S_ISREG(os.fstat(file).st_mode):
            return ""
        return state.read(most).decode(errors="replace")


def _is_at(file: int, path: Path) -> bool:
    try:
        there = os.lstat(path)
    except FileNotFoundError:
        return False
    return os.path.samestat(there, os.fstat(file))


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
