"""Disks that are full, read-only or broken: clear errors, nothing acknowledged wrongly, and recovery."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gzip
import hashlib
import io
import os
import random
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import Client, ClientFactory
from .crashes import Calls

DISK_BYTES = 8 * 1024 * 1024

SMALL = b"small" * 1_000
LONG = random.Random(2).randbytes(1_500_000)
BODIES = {"small": SMALL, "long": LONG, "gzip": LONG}


def name_of(body: bytes) -> str:
    """Name a buffer."""
    return hashlib.sha3_256(body).hexdigest()


async def put(client: Client, body: bytes, kind: str = "long") -> tuple[int, str]:
    """Put a buffer: the status, and the code of an error."""
    data, headers = (gzip.compress(body), {"Content-Encoding": "gzip"}) if kind == "gzip" else (body, {})
    answer = await client.put(f"/{name_of(body)}", data=io.BytesIO(data), headers=headers)
    return answer.status, "" if answer.status < 300 else await code_of(answer)


async def code_of(answer: Any) -> str:
    """Give the code of an error, which is JSON and says nothing of where files lie."""
    assert answer.content_type == "application/json"
    text = await answer.text()
    assert "/" not in text.replace("I/O", "")
    return str((await answer.json())["code"])


async def served(client: Client, body: bytes) -> bool:
    """Get a buffer: True if it is right, False if it is absent; nothing else may happen."""
    answer = await client.get(f"/{name_of(body)}", headers={"Accept-Encoding": "identity"})
    assert answer.status in (200, 404)
    assert answer.status == 404 or await answer.read() == body
    return answer.status == 200


def temps(directory: Path) -> list[Path]:
    """Name the temp files and shown locks that are left."""
    return [*(directory / ".hashserver-aio/tmp").glob("*/*"), *directory.rglob("*.LOCK")]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    path = tmp_path / "disk"
    path.mkdir()
    options = f"size={DISK_BYTES},mode=0755"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], capture_output=True)
    if mounted.returncode and not os.environ.get("CI"):
        pytest.skip("mounting is not permitted here")
    assert mounted.returncode == 0, mounted.stderr
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def remount(disk: Path, mode: str) -> None:
    """Make a file system "ro" or "rw"."""
    subprocess.run(["mount", "-o", f"remount,{mode}", disk], check=True)


def fill(disk: Path, free_bytes: int = 0) -> Path:
    """Fill a disk but for some bytes, with a file to be removed again."""
    path = disk / "filling"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 65_536)
        except OSError as error:
            assert error.errno == errno.ENOSPC
        file.truncate(max(0, file.tell() - free_bytes))
    return path


async def in_chunks(body: bytes) -> AsyncIterator[bytes]:
    """Send a body without saying how long it is."""
    for start in range(0, len(body), 100_000):
        yield body[start : start + 100_000]


async def test_full_in_the_middle(start_client: ClientFactory, disk: Path) -> None:
    """A disk that fills up during an upload: 507, nothing left; when there is room again it works."""
    client = await start_client(directory=disk)
    assert await put(client, bytes(DISK_BYTES)) == (507, "NoSpace")
    assert await put(client, SMALL) == (200, "")
    body = random.Random(3).randbytes(3_000_000)
    filling = fill(disk, 2_000_000)
    answer = await client.put(f"/{name_of(body)}", data=in_chunks(body))
    assert (answer.status, await code_of(answer)) == (507, "NoSpace")
    assert temps(disk) == []
    assert not await served(client, body)
    assert await served(client, SMALL)
    filling.unlink()
    assert await put(client, body) == (200, "")
    assert await served(client, body)


@pytest.mark.parametrize("reckoned", [True, False])
async def test_full_from_the_start(
    start_client: ClientFactory, disk: Path, monkeypatch: pytest.MonkeyPatch, reckoned: bool
) -> None:
    """On a full disk a PUT gets 507, also if its room was reckoned just before the disk was full."""
    client = await start_client(directory=disk)
    if not reckoned:
        monkeypatch.setattr("hashserver_aio.store.directory.has_room", lambda path, size: True)
    filling = fill(disk)
    for kind, body in BODIES.items():
        assert await put(client, body, kind) == (507, "NoSpace")
        assert not await served(client, body)
    assert temps(disk) == []
    filling.unlink()
    for kind, body in BODIES.items():
        assert await put(client, body, kind) == (200, "")
        assert await served(client, body)


async def test_full_while_the_lock_is_shown(start_client: ClientFactory, disk: Path) -> None:
    """A lock file that could not be written whole for want of room is removed with its upload."""
    client = await start_client(directory=disk)

    async def slow() -> AsyncIterator[bytes]:
        yield b"x" * 70_000
        await asyncio.sleep(0.5)
        filling = fill(disk)
        await asyncio.sleep(1)
        filling.unlink()
        yield b"x"

    body = b"x" * 70_001
    answer = await client.put(f"/{name_of(body)}", data=slow())
    assert answer.status == 200
    assert temps(disk) == []


async def test_full_for_the_catalogue(start_client: ClientFactory, directory: Path, disk: Path) -> None:
    """A catalogue that can't be written keeps nobody from storing and reading."""
    own = directory / ".hashserver-aio"
    own.mkdir()
    (own / "catalogue.sqlite").symlink_to(disk / "catalogue.sqlite")
    filling = fill(disk)
    client = await start_client()
    for body in (SMALL, LONG):
        assert await put(client, body) == (200, "")
        assert await served(client, body)
    filling.unlink()
    assert await put(client, SMALL * 2) == (200, "")
    assert rows(disk / "catalogue.sqlite") >= {name_of(SMALL * 2)}


async def test_read_only_disk(start_client: ClientFactory, disk: Path) -> None:
    """A disk that went read-only: PUT gets a clear 500, GET works; writing works when it is well again."""
    first = await start_client(directory=disk)
    assert await put(first, SMALL) == (200, "")
    await first.close()
    for path in (disk / ".hashserver-aio").glob("catalogue.sqlite*"):
        path.unlink()  # a disk on which a file is open for writing can't be remounted
    client = await start_client(directory=disk)
    remount(disk, "ro")
    for kind, body in (("small", SMALL * 2), ("long", LONG)):
        assert await put(client, body, kind) == (500, "StoreFailed")
        assert not await served(client, body)
    assert (await client.put(f"/promise/{name_of(LONG)}")).status == 500
    assert await served(client, SMALL)
    remount(disk, "rw")
    assert await put(client, LONG) == (200, "")
    assert await served(client, LONG)


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch, directory: Path) -> Calls:
    """A way to let system calls fail."""
    return Calls(monkeypatch, directory)


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize(
    ("call", "error", "expected"),
    [
        (("write", "temp"), errno.ENOSPC, (507, "NoSpace")),
        (("write", "temp"), errno.EDQUOT, (507, "NoSpace")),
        (("write", "temp"), errno.EIO, (500, "StoreFailed")),
        (("fsync", "temp"), errno.EIO, (500, "StoreFailed")),
        (("fsync", "temp"), errno.ENOSPC, (507, "NoSpace")),
        (("rename", "temp"), errno.EIO, (500, "StoreFailed")),
        (("rename", "temp"), errno.EROFS, (500, "StoreFailed")),
        (("open", "temp"), errno.EMFILE, (503, "Starved")),
        (("open", "temp"), errno.ENOSPC, (507, "NoSpace")),
        (("mkdir", "folder"), errno.ENOSPC, (507, "NoSpace")),
    ],
)
async def test_failing_call(
    client: Client, directory: Path, faults: Calls, kind: str, call: tuple[str, str], error: int,
    expected: tuple[int, str],
) -> None:  # fmt: skip
    """Whatever fails on the way to the disk is said, nothing is stored or left, and the next try works."""
    body = BODIES[kind]
    faults.errors = {call: error}
    assert await put(client, body, kind) == expected
    faults.errors = {}
    assert not await served(client, body)
    assert temps(directory) == []
    assert await put(client, body, kind) == (200, "")
    assert await served(client, body)


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("where", ["temp", "folder", "root"])
async def test_failed_fsync_is_not_retried(
    client: Client, directory: Path, faults: Calls, kind: str, where: str
) -> None:
    """After a failed fsync only new bytes are trusted: the next PUT's body is taken, read or not before."""
    body = BODIES[kind]
    assert await put(client, SMALL * 2) == (200, "")
    if where == "folder":
        (directory / name_of(body)[:2]).mkdir()
    faults.made.clear()
    faults.errors = {("fsync", where): errno.EIO}
    assert await put(client, body, kind) == (500, "StoreFailed")
    synced = [path for name, path in faults.made if name == "fsync"]
    assert len(set(synced)) == len(synced) > 0
    faults.errors = {}
    await served(client, body)
    await asyncio.sleep(1.1)  # from now on a file that is read is remembered as good
    await served(client, body)
    assert await put(client, body, kind) == (200, "")
    assert await served(client, body)


async def test_failed_fsync_of_foreign_file(client: Client, directory: Path, faults: Calls) -> None:
    """A file of another program that could not be synced is not "already held" at the next try."""
    path = directory / name_of(SMALL)[:2] / name_of(SMALL)
    path.parent.mkdir()
    path.write_bytes(SMALL)
    await asyncio.sleep(1.1)
    assert await served(client, SMALL)
    faults.errors = {("fsync", "folder"): errno.EIO}
    assert await put(client, SMALL) == (500, "StoreFailed")
    faults.errors = {}
    assert await put(client, SMALL) == (200, "")


def rows(catalogue: Path) -> set[str]:
    """Name the buffers that a catalogue lists."""
    with contextlib.closing(sqlite3.connect(catalogue)) as connection:
        found = connection.execute("SELECT hex(checksum) FROM arrivals WHERE deleted_ms IS NULL")
        return {str(row[0]).lower() for row in found}


def damage(catalogue: Path, how: str) -> None:
    """Remove a catalogue with or without what belongs to it, or put garbage in its place, or over it."""
    for part in [catalogue] if how == "remove" else list(catalogue.parent.glob(f"{catalogue.name}*")):
        if how in ("remove", "remove all", "replace"):
            part.unlink()
        if how in ("replace", "overwrite"):
            part.write_bytes(b"garbage " * 10_000)


@pytest.mark.parametrize("how", ["remove", "remove all", "replace", "overwrite"])
@pytest.mark.parametrize("running", [True, False])
async def test_damaged_catalogue(
    start_client: ClientFactory, directory: Path, how: str, running: bool
) -> None:
    """A catalogue that is gone or broken costs no buffer, and is made anew, also at a start."""
    catalogue = directory / ".hashserver-aio/catalogue.sqlite"
    client = await start_client()
    assert await put(client, SMALL) == (200, "")
    if not running:
        await client.close()
    await asyncio.to_thread(damage, catalogue, how)
    if not running:
        client = await start_client()
    assert await served(client, SMALL)
    assert await put(client, LONG) == (200, "")
    assert await served(client, LONG)
    assert name_of(LONG) in rows(catalogue)
    assert await put(client, LONG) == (201, "")
