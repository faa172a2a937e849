"""`/healthcheck?ready`: 503 while the store or the catalogue can't be used, and no word of where they are."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from hashserver_aio.server import readiness
from hashserver_aio.store.directory import DirectoryStore

from .conftest import Client, ClientFactory, ServerFactory
from .peers import until
from .test_faults import disk, fill, put, remount

__all__ = ["disk"]

BODY = b"a buffer" * 20


async def ready(client: Client) -> tuple[int, str]:
    """Ask whether requests should be sent here: status and sentence."""
    answer = await client.get("/healthcheck?ready")
    alive = await client.get("/healthcheck")
    assert (alive.status, await alive.text()) == (200, "OK")
    if answer.status != 200:
        assert answer.headers["Cache-Control"] == "no-store"
    return answer.status, await answer.text()


async def becomes(client: Client, status: int, words: str) -> None:
    """Wait until the answer is another one; no path of the disk is in it."""
    said: list[tuple[int, str]] = []

    async def is_so() -> bool:
        said.append(await ready(client))
        return said[-1][0] == status

    try:
        await until(is_so, 8)
    except TimeoutError:
        pytest.fail(f"{said[-1]}")
    assert words in said[-1][1] and "/" not in said[-1][1]


def files(directory: Path) -> list[Path]:
    """Name all that is in a directory."""
    return sorted(directory.rglob("*"))


async def test_ready(start_client: ClientFactory, directory: Path) -> None:
    """A server that is well is ready, empty or not; asking changes nothing in its directory."""
    client = await start_client()
    before = files(directory)
    assert await ready(client) == (200, "OK")
    assert files(directory) == before
    assert await put(client, BODY) == (200, "")
    await asyncio.sleep(readiness.FRESH_S)
    assert await ready(client) == (200, "OK")
    assert await ready(await start_client(writable=False)) == (200, "OK")


async def test_directory_moved_away(client: Client, directory: Path) -> None:
    """Without its directory a server is not ready; it is again when that is back."""
    elsewhere = directory.with_name("elsewhere")
    os.rename(directory, elsewhere)
    await becomes(client, 503, "directory")
    os.rename(elsewhere, directory)
    await becomes(client, 200, "OK")


async def test_extra_directory_gone(start_client: ClientFactory, tmp_path: Path) -> None:
    """Every directory that is read from has to be there."""
    extra = tmp_path / "extra"
    extra.mkdir()
    client = await start_client(extra_dirs=(extra,))
    assert await ready(client) == (200, "OK")
    extra.rmdir()
    await becomes(client, 503, "directory")


async def test_other_format(client: Client, directory: Path) -> None:
    """A directory that has become one of another format can't be used, nor one whose record is nonsense."""
    assert await put(client, BODY) == (200, "")
    path = directory / ".hashserver-aio/format"
    path.write_text(path.read_text().replace("sha3-256", "sha-256"))
    await becomes(client, 503, "format")
    path.write_text("nonsense")
    await becomes(client, 503, "format")


async def test_unmounted(start_client: ClientFactory, disk: Path, tmp_path: Path) -> None:
    """A directory whose disk is gone is not taken for an empty one."""
    mountpoint = tmp_path / "mountpoint"
    mountpoint.symlink_to(disk)
    client = await start_client(directory=mountpoint)
    assert await ready(client) == (200, "OK")
    mountpoint.unlink()
    mountpoint.mkdir()
    await becomes(client, 503, "unmounted")


async def test_read_only_disk(start_client: ClientFactory, disk: Path) -> None:
    """A disk that went read-only makes a writable server unready, and not one that only reads."""
    client, reader = await start_client(directory=disk), await start_client(directory=disk, writable=False)
    remount(disk, "ro")
    await becomes(client, 503, "written")
    await becomes(reader, 200, "OK")
    remount(disk, "rw")
    await becomes(client, 200, "OK")


async def test_full_disk(start_client: ClientFactory, disk: Path) -> None:
    """A full disk is told to who writes: what is there can be read, so requests may come."""
    client = await start_client(directory=disk)
    assert await put(client, BODY) == (200, "")
    fill(disk)
    await asyncio.sleep(readiness.FRESH_S)
    assert await ready(client) == (200, "OK")


async def test_catalogue_removed(client: Client, directory: Path) -> None:
    """A catalogue that was removed is made anew by the next write: that is no trouble."""
    assert await put(client, BODY) == (200, "")
    for path in (directory / ".hashserver-aio").glob("catalogue.sqlite*"):
        path.unlink()
    await becomes(client, 200, "OK")
    assert not (directory / ".hashserver-aio/catalogue.sqlite").exists()
    assert await put(client, BODY * 2) == (200, "")


async def test_catalogue_replaced(client: Client, directory: Path) -> None:
    """A catalogue in whose place something else is can't be used."""
    assert await put(client, BODY) == (200, "")
    catalogue = directory / ".hashserver-aio/catalogue.sqlite"
    for path in (directory / ".hashserver-aio").glob("catalogue.sqlite*"):
        path.unlink()
    catalogue.mkdir()
    await becomes(client, 503, "catalogue")
    catalogue.rmdir()
    await becomes(client, 200, "OK")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep a catalogue from being written, as another program would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


async def test_catalogue_locked(client: Client, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits too long for a catalogue that another program keeps locked is told so, in bounded time."""
    monkeypatch.setattr(readiness, "PATIENCE_S", 0.5)
    assert await put(client, BODY) == (200, "")
    with locked(directory / ".hashserver-aio/catalogue.sqlite"):
        began_s = time.monotonic()
        assert (await ready(client))[0] == 503
        assert time.monotonic() - began_s < 2
    await becomes(client, 200, "OK")


async def test_hanging_disk(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that does not answer makes the server unready in time; however many ask, one thread hangs."""
    monkeypatch.setattr(readiness, "PATIENCE_S", 0.3)
    released = threading.Event()
    look = DirectoryStore.why_unusable

    def hang(self: DirectoryStore) -> str | None:
        released.wait(20)
        return look(self)

    monkeypatch.setattr(DirectoryStore, "why_unusable", hang)
    try:
        began_s = time.monotonic()
        said = await asyncio.gather(*(ready(client) for _ in range(20)))
        assert {status for status, _ in said} == {503} and time.monotonic() - began_s < 2
        for _ in range(5):
            began_s = time.monotonic()
            assert (await ready(client))[0] == 503
            assert time.monotonic() - began_s < 0.2  # the one that hangs is not waited for again
        assert sum(thread.name == "ready" for thread in threading.enumerate()) == 1
    finally:
        released.set()
    await becomes(client, 200, "OK")


async def test_asked_often(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many ask, the disk is looked at twice a second."""
    looks: list[None] = []
    monkeypatch.setattr(DirectoryStore, "why_unusable", lambda self: looks.append(None))
    for _ in range(10):
        await asyncio.gather(*(ready(client) for _ in range(10)))
    assert 1 <= len(looks) <= 3


def test_stopping(start_server: ServerFactory, directory: Path) -> None:
    """While requests in flight are finished, no new ones should be sent here."""
    server = start_server(directory, "--writable")
    name = hashlib.sha3_256(BODY).hexdigest()
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=10)) as idle:
        idle.request("GET", "/healthcheck?ready")
        assert idle.getresponse().read() == b"OK"
        with closing(HTTPConnection("127.0.0.1", server.port, timeout=10)) as upload:
            upload.putrequest("PUT", f"/{name}")
            upload.putheader("Content-Length", str(len(BODY)))
            upload.endheaders(BODY[:5])
            time.sleep(0.3)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            idle.request("GET", "/healthcheck?ready")
            answer = idle.getresponse()
            assert (answer.status, answer.read()) == (503, b"the server is stopping")
            upload.send(BODY[5:])
            assert upload.getresponse().status == 200
    assert server.process.wait(10) == 0
