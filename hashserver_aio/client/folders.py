"""Many files on their way to a server: asked about in batches, and only those sent that it has not.

One file that fails is told and does not keep the others; a server that fails ends it all.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from ..checksums import Algorithm, Checksum
from ..errors import BufferTooLarge, ChecksumMismatch, UploadCut
from .client import Client

BATCH_FILES = 500
BATCH_BYTES = 256 * 2**20
"""So much is hashed before the server is asked: seconds of work at most are lost where it says no."""

PASSED = (OSError, ChecksumMismatch, UploadCut, BufferTooLarge)
"""What goes wrong with one file: it can't be read, changed while it was sent, or is too large."""


class Status(StrEnum):
    """What became of a file."""

    STORED = "stored"
    HELD = "held"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a file: its size in bytes and, unless it failed, its name; `error` says why it did."""

    path: Path
    size: int
    status: Status
    name: Checksum | None = None
    error: str = ""


Moved = Callable[[int], object]
"""Is told of each so many bytes more that are done with."""


def find_files(paths: Iterable[Path], *, recursive: bool) -> Iterator[Outcome]:
    """Find the files to be sent, those below folders included; what is none has failed already.

    Links to files are followed, links to folders and what is neither are passed over below a folder.
    """
    for path in paths:
        try:
            mode = path.stat().st_mode
        except OSError as error:
            yield _failed(path, error)
            continue
        if S_ISREG(mode):
            yield Outcome(path, path.stat().st_size, Status.STORED)
        elif not S_ISDIR(mode):
            yield Outcome(path, 0, Status.FAILED, error="no file")
        elif recursive:
            yield from _below(path)
        else:
            yield Outcome(path, 0, Status.FAILED, error="a folder: say -r")


def _below(folder: Path) -> Iterator[Outcome]:
    unread: list[OSError] = []
    for parent, folders, names in os.walk(folder, onerror=unread.append):
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            try:
                stat = path.stat()
            except OSError as error:
                yield _failed(path, error)
                continue
            if S_ISREG(stat.st_mode):
                yield Outcome(path, stat.st_size, Status.STORED)
        while unread:
            unreadable = unread.pop()
            yield _failed(Path(str(unreadable.filename)), unreadable)


async def put_files(
    client: Client, files: Iterable[Outcome], moved: Moved, *, jobs: int
) -> AsyncGenerator[Outcome, None]:
    """Put files, `jobs` of them hashed at a time: what became of each, in any order.

    Raises: what the server refuses with where that is not about one file; ServerUnreachable, BadAnswer.
    """
    algorithm, threads = await client.algorithm(), asyncio.Semaphore(jobs)

    async def name(file: Outcome) -> Outcome:
        try:
            async with threads:
                return replace(file, name=await asyncio.to_thread(_hash, file.path, algorithm))
        except OSError as error:
            return _failed(file.path, error)

    for batch in _batches(files):
        sound = [file for file in batch if file.status is not Status.FAILED]
        for file in set(batch) - set(sound):
            yield file
        named = await asyncio.gather(*map(name, sound))
        checksums = [file.name for file in named if file.name is not None]
        held = {each for each, is_held in zip(checksums, await client.has(checksums), strict=True) if is_held}
        wanted = []
        for file in named:
            if file.name is not None and file.name not in held:
                wanted.append(file)
                continue
            moved(file.size)
            yield file if file.name is None else replace(file, status=Status.HELD)
        async for file in _sent(client, wanted, moved):
            yield file


async def _sent(client: Client, files: Sequence[Outcome], moved: Moved) -> AsyncGenerator[Outcome, None]:
    tasks = [asyncio.create_task(_send(client, file, moved)) for file in files]
    try:
        for task in asyncio.as_completed(tasks):
            yield await task
    finally:
        for each in tasks:
            each.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)


async def _send(client: Client, file: Outcome, moved: Moved) -> Outcome:
    most = 0

    def progress(sent: int, size: int | None) -> None:
        nonlocal most  # what is sent again does not count again
        if sent > most:
            moved(sent - most)
            most = sent

    try:
        stored = await client.put(file.path, name=file.name, progress=progress)
    except PASSED as error:
        return _failed(file.path, error)
    finally:
        moved(file.size - most)
    return file if stored.is_new else replace(file, status=Status.HELD)


def _batches(files: Iterable[Outcome]) -> Iterator[list[Outcome]]:
    batch: list[Outcome] = []
    size = 0
    for file in files:
        batch.append(file)
        size += file.size
        if len(batch) >= BATCH_FILES or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _hash(path: Path, algorithm: Algorithm) -> Checksum:
    with path.open("rb") as file:
        return Checksum(
            hashlib.file_digest(file, algorithm.replace("sha-", "sha").replace("-", "_")).hexdigest()
        )


def _failed(path: Path, error: Exception) -> Outcome:
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return Outcome(path, 0, Status.FAILED, error=why)
