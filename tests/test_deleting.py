"""Deleting buffers: by nobody's oversight, at once for everybody, and undone by a new upload only."""

from __future__ import annotations

import asyncio
import hashlib
import random
from pathlib import Path

import pytest

from hashserver_aio.checksums import Checksum
from hashserver_aio.server.keys import BUFFERS
from hashserver_aio.store.directory import DirectoryStore

from .conftest import Client, ClientFactory, ServerFactory
from .fast import path_of, stored
from .peers import lay
from .servers import refused

LARGE = random.Random(1).randbytes(32 * 2**20)


def name(body: bytes) -> str:
    """Name a buffer."""
    return hashlib.sha3_256(body).hexdigest()


@pytest.fixture
async def client(start_client: ClientFactory) -> Client:
    """A client of a server that deletes."""
    return await start_client(allow_delete=True)


def seqs(client: Client) -> list[int]:
    """Number what is listed as held."""
    assert client.app is not None
    return [held.seq for held in client.app[BUFFERS].catalogue.feed(0).held]


def history(client: Client) -> list[str]:
    """Name all that ever came, in the order of arrival."""
    assert client.app is not None
    return [held.checksum for held in client.app[BUFFERS].catalogue.history((0, 0), 2**62)]


async def test_gone_for_everybody(client: Client) -> None:
    """What was deleted is nowhere any more, at once; deleted again it is not found."""
    path = "/" + await stored(client, b"hello")
    for _ in range(5):  # the last ones from memory
        assert (await client.get(path)).status == 200
    answer = await client.delete(path)
    assert (answer.status, await answer.text()) == (200, "OK")
    assert path_of(client).find(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()) is None
    assert (await client.get(path)).status == 404
    assert await (await client.post("/has", json=[path[1:]])).json() == [False]
    answer = await client.delete(path)
    assert (answer.status, await answer.text()) == (404, "Not found")
    assert seqs(client) == []


async def test_comes_again(client: Client) -> None:
    """A buffer that is stored again is a new arrival; the old one stays in the history."""
    path = "/" + await stored(client, b"hello")
    assert (await client.delete(path)).status == 200
    assert (await client.put(path, data=b"hello")).status == 200
    assert seqs(client) == [2]
    assert history(client) == [path[1:], path[1:]]


async def test_readers_in_flight_finish(client: Client) -> None:
    """Whoever is being sent a buffer that is deleted meanwhile gets all of it."""
    path = "/" + await stored(client, LARGE)
    async with client.get(path) as answer:
        begun = await answer.content.readexactly(1000)
        assert (await client.delete(path)).status == 200
        assert begun + await answer.content.read() == LARGE


@pytest.mark.parametrize("settings", [{}, {"allow_delete": True, "writable": False}])
async def test_not_allowed(start_client: ClientFactory, directory: Path, settings: dict[str, bool]) -> None:
    """A server deletes only if it was told so, and only where it writes."""
    path = lay(directory, b"hello")
    client = await start_client(**settings)
    answer = await client.delete("/" + path.name)
    assert answer.status == (405 if settings else 403) and path.exists()


async def test_foreign_page(client: Client) -> None:
    """A web page of another origin deletes nothing."""
    path = "/" + await stored(client, b"hello")
    assert (await client.delete(path, headers={"Origin": "https://evil.example"})).status == 403
    assert (await client.get(path)).status == 200


async def test_extra_directory(start_client: ClientFactory, directory: Path, tmp_path: Path) -> None:
    """What lies in an extra directory, which is only read, is not said to be deleted."""
    (tmp_path / "extra").mkdir()
    path = lay(tmp_path / "extra", b"hello")
    client = await start_client(allow_delete=True, extra_dirs=(tmp_path / "extra",))
    assert (await client.delete("/" + path.name)).status == 405
    assert (await client.get("/" + path.name)).status == 200 and path.exists()


async def test_listed_until_gone(client: Client, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that dies between file and row leaves a row that the next one who asks corrects."""
    path = "/" + await stored(client, b"hello")
    assert client.app is not None
    store = client.app[BUFFERS].store
    assert isinstance(store, DirectoryStore)
    assert await store.remove(Checksum(path[1:])) and seqs(client) == [1]
    assert (await client.get(path)).status == 404
    assert seqs(client) == []


async def test_against_writers(client: Client) -> None:
    """However deletions and uploads of one buffer meet, the last answer is what holds."""
    path = "/" + name(b"hello")
    for _ in range(10):
        puts = [client.put(path, data=b"hello") for _ in range(4)]
        deletions = [client.delete(path) for _ in range(4)]
        answers = await asyncio.gather(*puts, *deletions)
        assert {answer.status for answer in answers} <= {200, 201, 404}
        listed = len(seqs(client))  # before anybody asks for it, which would mend the list
        there = (await client.get(path)).status == 200
        assert listed == int(there)
        # 200, too, where the last of several writers was not the last one catalogued.
        assert (await client.put(path, data=b"hello")).status in ((200, 201) if there else (200,))
        assert (await client.delete(path)).status == 200


@pytest.mark.parametrize("is_held", [False, True])
async def test_no_phantoms(client: Client, is_held: bool) -> None:
    """Buffers deleted in the very moment that they are stored are not listed as held for ever."""
    assert client.app is not None

    async def race(body: bytes) -> None:
        path = "/" + name(body)
        if is_held:
            await client.put(path, data=body)
        await asyncio.gather(client.put(path, data=body), client.delete(path), client.delete(path))

    for begin in range(0, 200, 20):
        await asyncio.gather(*(race(b"%d" % number) for number in range(begin, begin + 20)))
    buffers = client.app[BUFFERS]
    listed, seq, page = [], -1, buffers.catalogue.feed(0)
    while page.next_seq > seq:  # a page is 250 numbers, which so many races may use up
        listed += [held.checksum for held in page.held]
        seq, page = page.next_seq, buffers.catalogue.feed(page.next_seq)
    assert all(await buffers.has(listed, promised=False))
    assert buffers.catalogue.totals().count == len(listed)


@pytest.mark.parametrize(
    "record", ['{"version": 99}', '{"version": 1, "algorithm": "sha-256", "layout": "flat"}']
)
async def test_another_directory(client: Client, directory: Path, record: str) -> None:
    """In a directory that has become one of another format nothing is deleted, and no path is told."""
    path = "/" + await stored(client, b"hello")
    write(directory / ".hashserver-aio" / "format", record)
    answer = await client.delete(path)
    assert answer.status == 503 and str(directory) not in await answer.text()
    assert (await client.get(path)).status == 200


def write(path: Path, text: str) -> None:
    """Change a file that can't be written."""
    path.unlink()
    path.write_text(text)


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("allowed", ["--allow-delete", "--allow-fetch"])
def test_not_for_strangers(start_server: ServerFactory, directory: Path, allowed: str, workers: str) -> None:
    """Without an access file only this machine may delete, or let the server fetch."""
    options = ("--writable", allowed, "--workers", workers)
    assert "--auth-file" in refused("--dir", str(directory), "--host", "0.0.0.0", *options)
    (directory.parent / "auth.toml").write_text("")
    auth_file = ("--auth-file", str(directory.parent / "auth.toml"))
    assert start_server(directory, "--host", "0.0.0.0", *options, *auth_file).stop() == 0
    assert start_server(directory, *options).stop() == 0
