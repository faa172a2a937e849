"""--max-bytes and --max-count: never exceeded, whoever uploads at the same time."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from hashserver_aio.checksums import Checksum
from hashserver_aio.settings import Limits
from hashserver_aio.store import Identity
from hashserver_aio.store.directory import DirectoryStore

from .conftest import ClientFactory, ServerFactory
from .peers import Peer

FULL = (507, "LimitReached")


def body(number: int, size: int = 100) -> bytes:
    """Make a buffer, the same one for the same number."""
    return number.to_bytes(4, "big") * (size // 4)


def name_of(data: bytes) -> str:
    """Name a buffer."""
    return hashlib.sha3_256(data).hexdigest()


def stored(directory: Path) -> list[Path]:
    """Find the buffers of a prefix directory."""
    return [path for path in directory.glob("??/*") if not path.name.endswith(".LOCK")]


@pytest.mark.parametrize("size", [100, 400_000])
@pytest.mark.parametrize("limit", ["--max-count=7", "--max-bytes=7x"])
async def test_exact_under_concurrency(
    start_server: ServerFactory, directory: Path, limit: str, size: int
) -> None:
    """Of many buffers sent at once, through two servers, exactly as many are taken as may be held."""
    option = limit.replace("7x", str(7 * size + size - 1))
    servers = [start_server(directory, "--writable", option) for _ in range(2)]
    peers = [Peer(server.url) for server in servers]
    puts = [peers[number % 2].put(body(number, size)) for number in range(40)]
    statuses = await asyncio.gather(*puts)
    assert sorted(statuses) == [200] * 7 + [507] * 33
    assert len(stored(directory)) == 7
    assert await asyncio.gather(*(peer.put(body(99, size)) for peer in peers)) == [507, 507]
    for peer in peers:
        await peer.session.close()


async def test_same_buffer_many_times(start_client: ClientFactory) -> None:
    """The room of one buffer is taken once, however many bring it; and what is held may be sent again."""
    client = await start_client(limits=Limits(count=1))
    path = "/" + name_of(body(1))
    answers = await asyncio.gather(*(client.put(path, data=body(1)) for _ in range(8)))
    assert {answer.status for answer in answers} <= {200, 201}
    assert (await client.put("/" + name_of(body(2)), data=body(2))).status == 507


async def test_repair(start_client: ClientFactory, directory: Path) -> None:
    """A buffer whose file was spoiled is repaired by a PUT, also at the limit."""
    client = await start_client(limits=Limits(count=1))
    name = name_of(body(1))
    assert (await client.put(f"/{name}", data=body(1))).status == 200
    file = directory / name[:2] / name
    file.chmod(0o644)
    await asyncio.to_thread(file.write_bytes, b"spoiled")
    assert (await client.put(f"/{name}", data=body(1))).status == 200
    assert await (await client.get(f"/{name}")).read() == body(1)


async def test_room_again(start_client: ClientFactory, directory: Path) -> None:
    """When a buffer that another program removed is found to be gone, there is room again."""
    client = await start_client(limits=Limits(size=150))
    first, second = name_of(body(1)), name_of(body(2))
    assert (await client.put(f"/{first}", data=body(1))).status == 200
    assert (await client.put(f"/{second}", data=body(2))).status == 507
    (directory / first[:2] / first).unlink()
    await asyncio.sleep(1.1)
    assert (await client.get(f"/{first}")).status == 404
    assert (await client.put(f"/{second}", data=body(2))).status == 200


async def test_wrong_uploads_take_no_room(start_client: ClientFactory) -> None:
    """What is refused for another reason leaves the room as it was."""
    client = await start_client(limits=Limits(count=2))
    for number in range(5):
        assert (await client.put("/" + name_of(body(number)), data=body(9))).status == 400
    assert (await client.put("/" + name_of(body(1)), data=body(1))).status == 200
    assert (await client.put("/" + name_of(body(2)), data=body(2))).status == 200


async def test_failed_commits_take_no_room(
    start_client: ClientFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room that was reserved for a buffer that could not be stored is given back."""
    client = await start_client(limits=Limits(count=1))
    rename = os.rename

    def failing(*args: str) -> None:
        raise OSError(5, "a disk that fails")

    monkeypatch.setattr(os, "rename", failing)
    assert (await client.put("/" + name_of(body(1)), data=body(1))).status == 500
    monkeypatch.setattr(os, "rename", rename)
    assert (await client.put("/" + name_of(body(2)), data=body(2))).status == 200


async def test_refused_before_the_body(start_client: ClientFactory) -> None:
    """A body that there is no room for is refused by its size, without being sent."""
    client = await start_client(limits=Limits(size=1000))

    async def endless() -> object:
        while True:
            yield bytes(100)
            await asyncio.sleep(0.01)

    answer = await client.put(
        "/" + name_of(b"x"), data=endless(), headers={"Content-Length": "1001", "Expect": "100-continue"}
    )
    assert (answer.status, (await answer.json())["code"]) == FULL


async def test_reservations_of_the_dead_expire(start_client: ClientFactory, directory: Path) -> None:
    """Room that a server reserved before it was killed is free again after ten minutes."""
    client = await start_client(limits=Limits(count=2))
    assert (await client.put("/" + name_of(body(1)), data=body(1))).status == 200
    catalogue = directory / ".hashserver-aio/catalogue.sqlite"
    for age_s, status in ((-590, 507), (11, 200)):
        with closing(sqlite3.connect(catalogue)) as connection, connection:
            connection.execute("DELETE FROM reservations")
            until_ms = int((time.time() - age_s) * 1000)
            row = (bytes(32), 1, until_ms)
            connection.execute("INSERT INTO reservations (checksum, size, until_ms) VALUES (?, ?, ?)", row)
        assert (await client.put("/" + name_of(body(2)), data=body(2))).status == status


async def test_cut_in_the_last_moment(
    start_client: ClientFactory, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that hangs up while its buffer is being committed does not get around the limit."""
    client = await start_client(limits=Limits(count=1))
    put, begun = DirectoryStore.put, asyncio.Event()

    async def slow(self: DirectoryStore, checksum: Checksum, data: bytes) -> Identity:
        begun.set()
        await asyncio.sleep(0.3)
        return await put(self, checksum, data)

    monkeypatch.setattr(DirectoryStore, "put", slow)
    upload = asyncio.create_task(client.put("/" + name_of(body(1)), data=body(1)))
    await begun.wait()
    upload.cancel()
    await asyncio.sleep(0.6)
    assert len(stored(directory)) == 1
    assert (await client.put("/" + name_of(body(2)), data=body(2))).status == 507
    with closing(sqlite3.connect(directory / ".hashserver-aio/catalogue.sqlite")) as connection:
        assert connection.execute("SELECT count, size FROM totals").fetchone() == (1, 100)
        assert connection.execute("SELECT count(*) FROM reservations").fetchone() == (0,)


@pytest.mark.parametrize("limits", [Limits(count=60), Limits()])
async def test_many_hang_up(start_client: ClientFactory, directory: Path, limits: Limits) -> None:
    """However many hang up at whatever moment, what is visible is listed, and no room is lost."""
    client = await start_client(limits=limits)
    assert (await client.put("/" + name_of(body(999)), data=body(999))).status == 200

    async def cut(number: int) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.01 * (number % 40)):
                await client.put("/" + name_of(body(number)), data=body(number))

    await asyncio.gather(*(cut(number) for number in range(200)))
    await asyncio.sleep(1)
    with closing(sqlite3.connect(directory / ".hashserver-aio/catalogue.sqlite")) as connection:
        listed = connection.execute("SELECT lower(hex(checksum)) FROM arrivals").fetchall()
        assert connection.execute("SELECT count(*) FROM reservations").fetchone() == (0,)
    assert sorted(name for (name,) in listed) == sorted(path.name for path in stored(directory))
    left = 60 - len(listed)
    puts = (client.put("/" + name_of(body(number)), data=body(number)) for number in range(1000, 1060))
    statuses = [answer.status for answer in await asyncio.gather(*puts)]
    assert statuses.count(200) == (60 if limits.are_none else left)


async def test_compressed(start_client: ClientFactory) -> None:
    """The limit is one of plain bytes: that a small body grows by being compressed is no reason."""
    client = await start_client(limits=Limits(size=100))
    data = os.urandom(95)
    packed = gzip.compress(data)
    assert len(packed) > 100
    answer = await client.put("/" + name_of(data), data=packed, headers={"Content-Encoding": "gzip"})
    assert answer.status == 200


async def test_catalogue_in_memory(start_client: ClientFactory) -> None:
    """Limits hold where the catalogue is kept in memory, too."""
    client = await start_client(limits=Limits(count=2), catalogue="memory:")
    statuses = [(await client.put("/" + name_of(body(n)), data=body(n))).status for n in range(4)]
    assert statuses == [200, 200, 507, 507]


async def test_locked_catalogue(start_client: ClientFactory, directory: Path) -> None:
    """While another program keeps the catalogue locked, all wait as long as one, and are told why."""
    client = await start_client(limits=Limits(count=20))
    assert (await client.put("/" + name_of(body(1)), data=body(1))).status == 200
    catalogue = directory / ".hashserver-aio/catalogue.sqlite"
    with closing(sqlite3.connect(catalogue, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        puts = (client.put("/" + name_of(body(n)), data=body(n)) for n in range(2, 8))
        statuses = [answer.status for answer in await asyncio.gather(*puts)]
        assert statuses == [503] * 6
        assert time.monotonic() - began < 45
    assert (await client.put("/" + name_of(body(9)), data=body(9))).status == 200
