"""Corrupt files: never served, put aside where that is safe, repaired by a PUT; and good ones hashed once."""

from __future__ import annotations

import asyncio
import errno
import gzip
import hashlib
import os
import time
from pathlib import Path

import aiohttp
import pytest

from hashserver_aio.store import Sink, StoredFile
from hashserver_aio.store.directory import DirectoryStore

from .conftest import Client, ClientFactory
from .crashes import Calls

BODY = b"what the name says " * 10_000
WRONG = b"not what it says " * 10_000
NAME = hashlib.sha3_256(BODY).hexdigest()
PATH = f"/{NAME}"

CORRUPT = [(WRONG, ""), (BODY[:-1], ""), (b"", ""), (b"no zstd at all", ".zst"), (b"no gzip at all", ".gz")]
CORRUPT += [(gzip.compress(WRONG), ".gz"), (gzip.compress(BODY)[:-3], ".gz")]

SOON_OLD_S = 0.3
"""A lock timeout that a test can wait for: nobody can set back a file's ctime."""


def lay(directory: Path, data: bytes, ending: str = "") -> Path:
    """Put a file into a directory as another program would, aside first and then in place."""
    path = directory / NAME[:2] / f"{NAME}{ending}"
    path.parent.mkdir(exist_ok=True)
    aside = path.with_name("aside")
    aside.write_bytes(data)
    aside.rename(path)
    return path


def put_aside(directory: Path) -> list[bytes]:
    """Give what lies in quarantine."""
    return [path.read_bytes() for path in (directory / ".hashserver-aio/quarantine").glob(f"{NAME}*")]


async def refused(client: Client, directory: Path) -> bool:
    """Get the buffer: whether it was refused as corrupt, in the words that clients know."""
    answer = await client.get(PATH)
    text = await answer.text()
    assert str(directory.parent) not in text
    return answer.status == 400 and (await answer.json())["message"].startswith("File corruption: ")


async def served(client: Client) -> bool:
    """Get the buffer: whether it is whole and right."""
    answer = await client.get(PATH, headers={"Accept-Encoding": "identity"})
    return answer.status == 200 and await answer.read() == BODY


@pytest.mark.parametrize(("data", "ending"), CORRUPT)
async def test_put_aside(start_client: ClientFactory, directory: Path, data: bytes, ending: str) -> None:
    """An old corrupt file is refused, moved to quarantine, then absent; a PUT repairs it."""
    client = await start_client(lock_timeout_s=SOON_OLD_S)
    path = lay(directory, data, ending)
    await asyncio.sleep(SOON_OLD_S + 0.1)
    assert await refused(client, directory)
    assert not path.exists()
    assert put_aside(directory) == [data]
    answer = await client.get(PATH)
    assert (answer.status, await answer.text()) == (404, "Not found")
    assert (await client.put(PATH, data=BODY)).status == 200
    assert await served(client)


async def test_error_shape(start_client: ClientFactory, directory: Path) -> None:
    """The refusal has the shape and words of hashserver 1.1.0, a code, and is not to be cached."""
    client = await start_client()
    lay(directory, WRONG)
    answer = await client.get(PATH)
    error = await answer.json()
    assert set(error) == {"message", "code"}
    assert error["message"].endswith("does not have the correct sha3-256 checksum.")
    assert (answer.status, error["code"]) == (400, "BufferCorrupt")
    assert answer.headers["Cache-Control"] == "no-store"
    assert (await client.head(PATH)).status == 400


async def test_young_is_left(start_client: ClientFactory, directory: Path) -> None:
    """A corrupt file that may be being written is left in place, and put aside once it is old."""
    client = await start_client(lock_timeout_s=1.5)
    path = lay(directory, WRONG)
    assert await refused(client, directory)
    assert path.read_bytes() == WRONG
    await asyncio.sleep(1.7)
    assert await refused(client, directory)
    assert put_aside(directory) == [WRONG]


@pytest.mark.parametrize("lock", [f"{NAME[:2]}/{NAME}.LOCK", ".LOCK", f"{NAME[:2]}/.LOCK"])
async def test_locked_is_left(start_client: ClientFactory, directory: Path, lock: str) -> None:
    """A corrupt file that somebody holds a lock of is waited for and not touched."""
    client = await start_client(lock_timeout_s=SOON_OLD_S)
    path = lay(directory, WRONG)
    await asyncio.sleep(SOON_OLD_S + 0.1)
    (directory / lock).touch()
    os.utime(directory / lock, (time.time() + 60, time.time() + 60))
    with pytest.raises(TimeoutError):
        await client.get(PATH, timeout=aiohttp.ClientTimeout(total=1))
    assert path.read_bytes() == WRONG
    getting = asyncio.ensure_future(served(client))
    lay(directory, BODY)
    (directory / lock).unlink()
    assert await asyncio.wait_for(getting, 2)


async def test_read_only_leaves(start_client: ClientFactory, directory: Path) -> None:
    """A server that only reads moves nothing."""
    client = await start_client(writable=False, lock_timeout_s=SOON_OLD_S)
    path = lay(directory, WRONG)
    await asyncio.sleep(SOON_OLD_S + 0.1)
    assert await refused(client, directory)
    assert path.read_bytes() == WRONG
    assert not (directory / ".hashserver-aio").exists()


async def test_extra_directory_is_left(start_client: ClientFactory, directory: Path, tmp_path: Path) -> None:
    """Nothing is moved in an extra directory; a PUT stores a good file in our own."""
    extra = tmp_path / "extra"
    extra.mkdir()
    path = lay(extra, WRONG)
    client = await start_client(extra_dirs=(extra,), lock_timeout_s=SOON_OLD_S)
    await asyncio.sleep(SOON_OLD_S + 0.1)
    assert await refused(client, directory)
    assert (await client.put(PATH, data=BODY)).status == 200
    assert await served(client)
    assert path.read_bytes() == WRONG
    assert [entry.name for entry in extra.iterdir()] == [NAME[:2]]


@pytest.mark.parametrize("where", ["extra", "sibling"])
async def test_good_one_beside(
    start_client: ClientFactory, directory: Path, tmp_path: Path, where: str
) -> None:
    """A good file is served although the one looked at first is corrupt."""
    extra = tmp_path / "extra"
    extra.mkdir()
    lay(extra, BODY) if where == "extra" else lay(directory, gzip.compress(BODY), ".gz")
    client = await start_client(extra_dirs=(extra,))
    lay(directory, WRONG)
    assert await served(client)


@pytest.mark.parametrize("data", [WRONG, BODY[:-1], BODY + b"x", b""])
@pytest.mark.parametrize("asked", [False, True])
async def test_repair(client: Client, directory: Path, data: bytes, asked: bool) -> None:
    """A PUT of what is corrupt takes the body and replaces the file, seen before or not.

    A good file that another program puts in its place is served at once, too.
    """
    lay(directory, data)
    assert not asked or await refused(client, directory)
    assert (await client.put(PATH, data=BODY)).status == 200
    assert await served(client)
    assert (await client.put(PATH, data=BODY)).status == 201
    lay(directory, data)
    assert await refused(client, directory)
    lay(directory, BODY)
    assert await served(client)


async def test_replaced_in_the_last_moment(
    start_client: ClientFactory, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A good file that comes while the corrupt one is being put aside is put back."""
    client = await start_client(lock_timeout_s=SOON_OLD_S)
    path = lay(directory, WRONG)
    await asyncio.sleep(SOON_OLD_S + 0.1)
    rename = os.rename
    came: list[str] = []

    def late(source: str, target: str) -> None:
        if "/quarantine/" in target and not came:
            came.append(target)
            (directory / "new").write_bytes(BODY)
            os.replace(directory / "new", path)
        rename(source, target)

    monkeypatch.setattr(os, "rename", late)
    answer = await client.get(PATH)
    assert await answer.read() == BODY or answer.status == 400
    assert came
    assert path.read_bytes() == BODY
    assert put_aside(directory) == []
    assert await served(client)


@pytest.mark.parametrize(
    ("call", "error", "expected"),
    [
        ("open", errno.EMFILE, (503, "Starved")),
        ("open", errno.EIO, (500, "StoreFailed")),
        ("preadv", errno.EIO, (500, "StoreFailed")),
    ],
)
async def test_unreadable(
    client: Client,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    call: str,
    error: int,
    expected: object,
) -> None:
    """A file that can't be read is neither absent nor corrupt, and logged as the server's own trouble;
    when it can be read again, it is served."""
    lay(directory, BODY)
    calls = Calls(monkeypatch, directory)
    calls.errors = {(call, "folder"): error}
    answer = await client.get(PATH)
    assert (answer.status, (await answer.json())["code"]) == expected
    assert str(directory) not in await answer.text()
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    calls.errors = {}
    assert await served(client)


async def test_replaced_while_hashed(
    client: Client, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A good file that is replaced by good ones while it is being hashed is not called corrupt."""
    lay(directory, BODY)
    read = DirectoryStore.read
    came: list[Path] = []

    async def replaced(self: DirectoryStore, stored: StoredFile, sink: Sink, pace: object = None) -> None:
        await read(self, stored, sink)
        came.extend([lay(directory, BODY)] if len(came) < 3 else [])

    monkeypatch.setattr(DirectoryStore, "read", replaced)
    assert await served(client)
    assert came


async def test_hashed_once(start_client: ClientFactory, directory: Path, reads: list[str]) -> None:
    """A file of another program is hashed once, however many ask for it, and by whom."""
    lay(directory, BODY)
    await asyncio.sleep(1.1)  # a younger one is not remembered
    client = await start_client()
    assert all(await asyncio.gather(*(served(client) for _ in range(5))))
    assert await served(client)
    assert reads == [NAME]
    assert await served(await start_client())
    assert reads == [NAME]


async def test_own_is_not_hashed_again(client: Client, reads: list[str]) -> None:
    """What was hashed on its way in is not hashed on its way out."""
    assert (await client.put(PATH, data=BODY)).status == 200
    assert await served(client)
    assert reads == []


async def test_corrupt_is_hashed_once(client: Client, directory: Path, reads: list[str]) -> None:
    """Asking for a corrupt file again and again does not hash it again."""
    lay(directory, WRONG)
    assert await refused(client, directory)
    reads.clear()
    assert await refused(client, directory)
    assert reads == []


@pytest.mark.parametrize("stored_by_us", [True, False])
async def test_modified_in_place(client: Client, directory: Path, stored_by_us: bool) -> None:
    """A verified file that is changed in place is not served, even if size and mtime are as before."""
    path = directory / NAME[:2] / NAME
    if stored_by_us:
        assert (await client.put(PATH, data=BODY)).status == 200
    else:
        lay(directory, BODY)
        await asyncio.sleep(1.1)
    assert await served(client)
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b"W")
    os.utime(path, ns=(0, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert await refused(client, directory)
    assert (await client.get(PATH, headers={"Range": "bytes=0-9"})).status == 400
    assert (await client.get(PATH, headers={"If-None-Match": f'"{NAME}"'})).status == 400
