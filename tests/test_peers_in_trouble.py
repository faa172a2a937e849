"""What one server does, or fails to do, leaves the others of the directory well."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
import time
from pathlib import Path

import aiohttp
import pytest

from hashserver_aio.checksums import Checksum
from hashserver_aio.store.locks import commit_lock
from hashserver_aio.store.promises import PROMISE_TTL_S, Promises

from .conftest import Client, ServerFactory
from .servers import RunningServer


def name_of(body: bytes) -> str:
    """Name a buffer."""
    return hashlib.sha3_256(body).hexdigest()


async def put(url: str, bodies: list[bytes]) -> None:
    """Store buffers; each is acknowledged."""
    async with aiohttp.ClientSession(url) as session:
        for body in bodies:
            async with session.put("/" + name_of(body), data=body) as answer:
                assert answer.status == 200


def deleted_files(server: RunningServer) -> list[str]:
    """Name the files that a server has open though they are no more."""
    folder = Path(f"/proc/{server.process.pid}/fd")
    links = [os.readlink(path) for path in folder.iterdir() if path.is_symlink()]
    return [link for link in links if link.endswith("(deleted)") and "catalogue" in link]


async def test_catalogue_survives_stops(start_server: ServerFactory, directory: Path) -> None:
    """Servers that come and go leave the catalogue of one that stays whole and in its place."""
    stays = start_server(directory, "--writable")
    await put(stays.url, [b"first"])
    async with aiohttp.ClientSession(stays.url) as session, session.get("/" + name_of(b"first")) as answer:
        assert await answer.read() == b"first"
    for turn in range(3):
        comes = start_server(directory, "--writable")
        await put(comes.url, [b"%d %d" % (turn, number) for number in range(30)])
        assert comes.stop() == 0
        assert deleted_files(stays) == []
        await put(stays.url, [b"stays %d %d" % (turn, number) for number in range(10)])
    with sqlite3.connect(directory / ".hashserver-aio/catalogue.sqlite") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM arrivals").fetchone() == (121,)
    connection.close()


async def test_held_lock(client: Client, directory: Path) -> None:
    """A commit lock that a stopped server never lets go holds up no questions, and no other buffers."""
    body = b"wanted"
    await client.put("/" + name_of(b"any"), data=b"any")
    with commit_lock(str(directory / ".hashserver-aio/commit.lock"), Checksum(name_of(body))):
        puts = [asyncio.create_task(client.put("/" + name_of(body), data=body)) for _ in range(20)]
        await asyncio.sleep(0.1)
        assert await (await client.post("/has-now", json=[name_of(body)])).json() == [False]
        assert (await client.get("/" + name_of(b"any"))).status == 200
        assert {(await answer).status for answer in puts} == {503}
    assert (await client.put("/" + name_of(body), data=body)).status == 200


def test_expired_promises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promises that ran out do not pile up."""
    promises = Promises(str(tmp_path), lambda: None)
    for number in range(10):
        promises.make(Checksum(name_of(b"%d" % number)))
    for path in tmp_path.iterdir():
        os.utime(path, (time.time() - PROMISE_TTL_S - 1,) * 2)
    monkeypatch.setattr("hashserver_aio.store.promises.TIDIED_EVERY_S", 0.0)
    promises.make(Checksum(name_of(b"new")))
    assert [path.name for path in tmp_path.iterdir()] == [name_of(b"new")]
