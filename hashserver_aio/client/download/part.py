"""A file on its way: `NAME.part`, and beside it `NAME.part.state`, which says what of it is there.

The state may be ahead of the disk after the machine went down: what it says is hashed before it is believed.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from ...errors import Busy, NoSpace

T = TypeVar("T")

VERSION = 1

THREADS = 3
"""Two hash what comes, one reads it back."""

WRITE_BYTES = 256 * 1024
"""Longer writes get larger pages of the kernel, of memory that it has not used yet: three times its time."""

_CLAIM = re.compile(r"(\d{1,9}) ([0-9a-f]{40})")

LONG_NAME = 200
"""Of a longer name there is no room for another one beside it."""


def sha1_of(data: bytearray | memoryview | bytes) -> bytes:
    """Hash a block."""
    return hashlib.sha1(data, usedforsecurity=False).digest()


class Part:
    """An unfinished file, held by this process alone. `what` names its content for whoever resumes it.

    All of this blocks but `do`, which has it done in a thread: by its end no thread uses the file any more.
    """

    def __init__(self, path: Path, what: str, size: int) -> None:
        self.path = path
        self.size = size
        self._what = what
        name = path.name if len(os.fsencode(path.name)) <= LONG_NAME else sha1_of(os.fsencode(path)).hex()
        self._part = path.with_name(f"{name}.part")
        self._state = path.with_name(f"{name}.part.state")
        self._file = self._journal = -1
        self._claims: tuple[int, dict[int, bytes]] | None = None
        self._is_closing = False
        self._threads = ThreadPoolExecutor(THREADS, "part")

    def open(self) -> None:
        """Begin it, or go on. Raises: Busy, if another process holds it; NoSpace; OSError."""
        self._file = _held(self._part)
        self._claims = self._claimed()
        if self._claims is None:
            os.truncate(self._file, 0)
        self._check_space()
        os.truncate(self._file, self.size)

    async def do(self, work: Callable[..., T], *args: Any) -> T:
        """Do something with the file in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)

    # -- what is there already -------------------------------------------------------------------

    def recover(self, block_size: int) -> dict[int, bytes]:
        """Find the blocks that are there: what they hash to."""
        there: dict[int, bytes] = {}
        if self._claims is None:
            return there
        claimed_size, claims = self._claims
        for number in range(-(-self.size // block_size)):
            if self._is_closing:
                break
            first = number * block_size
            length = min(block_size, self.size - first)
            touched = range(first // claimed_size, -(-(first + length) // claimed_size))
            if not all(each in claims for each in touched):
                continue
            sha1 = sha1_of(self.read(first, bytearray(length)))
            if claimed_size != block_size or claims[number] == sha1:
                there[number] = sha1
        return there

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
        os.write(self._journal, f"{number} {sha1.hex()}\n".encode())

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
        """Put the file in its place, on the disk."""
        os.fsync(self._file)
        os.replace(self._part, self.path)
        self._state.unlink(missing_ok=True)
        sync_folder(self.path.parent)

    def forget(self) -> None:
        """Nothing of it is any good."""
        self._part.unlink(missing_ok=True)
        self._state.unlink(missing_ok=True)

    def close(self) -> None:
        """Leave it as it is."""
        self._is_closing = True
        self._threads.shutdown(cancel_futures=True)
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
            header, *lines = self._state.read_text(encoding="utf-8", errors="replace").split("\n")
            told: Any = json.loads(header)
            if (told["version"], told["what"], told["size"]) != (VERSION, self._what, self.size):
                return None
            block_size = int(told["block_size"])
        except (FileNotFoundError, ValueError, TypeError, KeyError, RecursionError):
            return None
        found = filter(None, map(_CLAIM.fullmatch, lines))
        claims = {int(match[1]): bytes.fromhex(match[2]) for match in found}
        return (block_size, claims) if block_size > 0 else None

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
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            raise Busy(f"{path.name} is being downloaded by another process") from None
        except BaseException:
            os.close(file)
            raise
        if _is_at(file, path):
            return file
        os.close(file)  # the other process finished it, and put it in its place


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
