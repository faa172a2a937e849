"""What befalls files of the web-root while, and after, their blocks are digested."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sqlite3
from pathlib import Path

import pytest
from aiohttp import web as aiohttp_web

from hashserver_aio import Settings, create_app, digesting, file_manifests
from hashserver_aio import manifests as room
from hashserver_aio.server.keys import BUFFERS, FILE_MANIFESTS, MANIFESTS, WEB_ROOT
from hashserver_aio.server.webroot import validators
from hashserver_aio.webroot import WebPath

from .conftest import Client, ClientFactory
from .manifests import (
    TURN,
    FileTurns,
    file_asked,
    file_blocks,
    file_manifest_of,
    file_status_of,
    has_file_blocks,
    status,
)
from .peers import until

BODY = random.Random(2).randbytes(2 * TURN + 5)
OTHER = BODY[::-1]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A web-root with a file."""
    root = tmp_path / "www"
    root.mkdir()
    (root / "f").write_bytes(BODY)
    return root


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take files for settled, though the test has just made them."""
    monkeypatch.setattr(validators, "SETTLED_S", -1e9)
    monkeypatch.setattr(file_manifests, "SETTLED_S", -1e9)


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> FileTurns:
    """Every file is read a turn at a time."""
    return FileTurns(monkeypatch)


@pytest.fixture
async def web(start_client: ClientFactory, root: Path) -> Client:
    """A client of a server with the web-root."""
    return await start_client(web_root=root)


async def test_pending(web: Client, turns: FileTurns) -> None:
    """Blocks appear as they are digested; the last one not before the whole was read and is the same."""
    for known in (2, 4, 4):
        assert await status(web, "f") in [file_status_of("f", BODY, known=n) for n in (0, known)]
        await turns.read_one()
        assert await status(web, "f") == file_status_of("f", BODY, known=known)
        turns.go_on(1)
    turns.go_on()
    assert await file_blocks(web, "f") == file_manifest_of("f", BODY)
    assert await status(web, "f") == file_status_of("f", BODY)


async def test_not_yet(web: Client, turns: FileTurns, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits long enough is told how far it is, and when to come again; it goes on without him."""
    monkeypatch.setattr(room, "WAIT_S", 0.1)
    await status(web, "f")
    await turns.read_one()
    async with web.get("/f?blocks") as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        assert "2 of 5" in (await answer.json())["message"]
    turns.go_on()
    await until(lambda: has_file_blocks(web), 10)
    assert turns.reads == ["a file"]


async def test_too_much(web: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where too much waits, `rd` sees blocks that are pending, others a 503; later it is as ever."""
    with monkeypatch.context() as context:
        context.setattr(digesting, "MAX_JOBS", 0)
        assert await status(web, "f") == file_status_of("f", BODY, known=0)
        async with web.get("/f?blocks") as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert await file_blocks(web, "f") == file_manifest_of("f", BODY)


async def test_two_servers(start_client: ClientFactory, root: Path, turns: FileTurns) -> None:
    """Of two servers of a directory one does the work, and both tell what it found."""
    one, other = [await start_client(web_root=root) for _ in range(2)]
    await status(one, "f")
    await turns.read_one()
    assert await status(other, "f") == file_status_of("f", BODY, known=0)
    turns.go_on()
    assert [await file_blocks(each, "f") for each in (other, one)] == [file_manifest_of("f", BODY)] * 2
    assert turns.reads == ["a file"]


async def test_other_server_ends(
    start_client: ClientFactory, directory: Path, root: Path, turns: FileTurns
) -> None:
    """When the server that does the work ends in the middle, another one does it."""
    runner = aiohttp_web.AppRunner(create_app(Settings(directory=directory, writable=True, web_root=root)))
    await runner.setup()
    client = await start_client(web_root=root)
    web_root, manifests = runner.app[WEB_ROOT], runner.app[FILE_MANIFESTS]
    assert web_root is not None and manifests is not None
    opened = await web_root.open(WebPath((b"f",), False))
    await manifests.progress(opened)
    opened.file.close()
    await turns.read_one()
    waiting = await file_asked(client)
    await asyncio.sleep(0.3)
    assert len(turns.reads) == 1
    async with asyncio.timeout(5):
        await runner.cleanup()
    turns.go_on()
    assert ((await waiting)[0], len(turns.reads)) == (200, 2)


async def test_end_of_the_server(web: Client, turns: FileTurns) -> None:
    """A server that stops ends the work, and tells who waits for it."""
    waiting = await file_asked(web)
    await turns.read_one()
    assert web.app is not None
    await web.app[MANIFESTS].close()
    async with asyncio.timeout(5):
        assert (await waiting)[0] == 503
    assert (await status(web, "f"))["msg"] == "the server is stopping"


async def test_not_catalogued(
    web: Client, root: Path, turns: FileTurns, caplog: pytest.LogCaptureFixture
) -> None:
    """What the catalogue does not take is told nevertheless, and kept while the server runs."""
    turns.go_on()
    assert web.app is not None
    catalogue = web.app[BUFFERS].catalogue
    await catalogue.close()
    for _ in range(2):
        assert await file_blocks(web, "f") == file_manifest_of("f", BODY)
    assert "not catalogued: the catalogue is closed" in caplog.text and str(root) not in caplog.text
    assert turns.reads == ["a file"]


def open_below(folder: Path) -> int:
    """Count this process's descriptors of files in a folder."""
    links = []
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the one that lists
            links.append(os.readlink(f"/proc/self/fd/{number}"))
    return sum(link.startswith(f"{folder}/") for link in links)


async def test_nothing_left_open(web: Client, root: Path, turns: FileTurns) -> None:
    """Whatever came of it, no descriptor stays open; what waits for its turn has none."""
    for number in range(digesting.AT_ONCE + 5):
        (root / f"f{number}").write_bytes(BODY + bytes([number]))
        await status(web, f"f{number}")
    assert len(turns.reads) == digesting.AT_ONCE
    assert open_below(root) == 2 * digesting.AT_ONCE  # the file, and its reader
    (root / "f0").write_bytes(b"changed")
    turns.go_on()
    for number in range(1, digesting.AT_ONCE + 5):
        await file_blocks(web, f"f{number}")
    assert open_below(root) == 0


async def test_lost_catalogue(
    start_client: ClientFactory, directory: Path, root: Path, turns: FileTurns
) -> None:
    """A catalogue that is removed under the server costs the work once more, after a restart."""
    turns.go_on()
    await file_blocks(await start_client(web_root=root), "f")
    with sqlite3.connect(directory / ".hashserver-aio" / "catalogue.sqlite") as connection:
        assert connection.execute("SELECT count(*) FROM files").fetchone() == (1,)
    connection.close()
    for path in (directory / ".hashserver-aio").glob("catalogue.sqlite*"):
        path.unlink()
    client = await start_client(web_root=root)
    assert await file_blocks(client, "f") == file_manifest_of("f", BODY)
    assert len(turns.reads) == 2
