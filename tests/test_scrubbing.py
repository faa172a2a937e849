"""What rots is found and not served any more; the scrub finds it without anybody asking."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from hashserver_aio import inspecting

from .conftest import ClientFactory, ServerFactory
from .peers import Peer, until
from .test_inspecting import body, command, lay


def rot(path: Path) -> None:
    """Change a file so that nothing but its bytes tells: as a disk does, which changes no times.

    What a disk changes behind the file system can't be done here, so the catalogue is told that the
    file always was as it is now.
    """
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    status = path.stat()
    own = path.parents[1] / ".hashserver-aio/catalogue.sqlite"
    with closing(sqlite3.connect(own)) as connection, connection:
        statement = "UPDATE stored SET mtime_ns = ?, ctime_ns = ?, inode = ? WHERE checksum = ?"
        values = (status.st_mtime_ns, status.st_ctime_ns, status.st_ino, bytes.fromhex(path.name))
        assert connection.execute(statement, values).rowcount == 1


@pytest.mark.parametrize("finder", ["scrub", "reindex"])
async def test_known_file_that_rotted(start_server: ServerFactory, directory: Path, finder: str) -> None:
    """A file that was good and rotted is not served once that was found, and a PUT repairs it.

    Also when it has to be left in place, for now, because it is young.
    """
    rate = ("--scrub-rate", "100") if finder == "scrub" else ()
    first = start_server(directory, "--writable")
    peer = Peer(first.url)
    assert {await peer.put(body(number)) for number in range(5)} == {200}
    name = hashlib.sha3_256(body(3)).hexdigest()
    path = directory / name[:2] / name
    path.chmod(0o644)
    await asyncio.to_thread(rot, path)
    if rate:
        server = start_server(directory, "--writable", *rate)
        await until(lambda: any("is corrupt, left in place" in line for line in server.lines), 10)
    else:
        assert (await asyncio.to_thread(command, "reindex", "--verify", directory))[0] == 1
    async with peer.session.get(f"/{name}") as answer:
        assert answer.status == 400
    assert await peer.put(body(3)) == 200
    await until(lambda: peer_gets(peer, 3), 3)
    await peer.session.close()


async def peer_gets(peer: Peer, number: int) -> bool:
    """Tell whether a buffer is served, with its bytes."""
    return await peer.get(body(number)) == 200


def quarantined(directory: Path) -> list[str]:
    """Name what lies in quarantine."""
    return sorted(path.name for path in (directory / ".hashserver-aio/quarantine").glob("*"))


async def test_scrub(start_server: ServerFactory, directory: Path) -> None:
    """A file that rots while the server runs is put aside and logged, without anybody asking for it."""
    for number in range(10, 15):
        lay(directory, body(number))
    rotten = lay(directory, b"rotten", name="cd" * 32)
    await asyncio.sleep(1.5)
    server = start_server(directory, "--writable", "--scrub-rate", "100", "--lock-timeout", "1")
    peer = Peer(server.url)
    assert await peer.put(body(1)) == 200
    await until(lambda: not rotten.exists(), 10)
    assert [name[:64] for name in quarantined(directory)] == ["cd" * 32]
    await until(lambda: any("is corrupt, moved to quarantine" in line for line in server.lines), 5)
    assert await peer.get(body(1)) == 200
    await peer.session.close()


async def test_one_scrubs_at_a_time(directory: Path, start_client: ClientFactory, reads: list[str]) -> None:
    """Of several servers on a directory one scrubs; together they read each file once a pass."""
    for number in range(5):
        lay(directory, body(number))
    await asyncio.sleep(1.1)
    for _ in range(3):
        await start_client(scrub_bytes_per_s=1e9)
    await until(lambda: len(reads) >= 5, 5)
    await asyncio.sleep(0.3)
    assert len(reads) == 5


async def test_paced(directory: Path, start_client: ClientFactory, reads: list[str]) -> None:
    """A scrub reads no faster than it was told to, however many files there are."""
    for _ in range(40):
        lay(directory, os.urandom(100_000))
    await asyncio.sleep(1.1)
    await start_client(scrub_bytes_per_s=1_000_000)
    await asyncio.sleep(2)
    assert 1 <= len(reads) <= 35


async def test_goes_on_where_it_was(
    directory: Path, start_client: ClientFactory, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scrub that was interrupted goes on where it was; what was read before is not read once more."""
    monkeypatch.setattr(inspecting, "NOTED_EVERY_S", 0.0)
    for number in range(20):
        lay(directory, b"%d" % number * 10_000)
    await asyncio.sleep(1.1)
    first = await start_client(scrub_bytes_per_s=100_000)
    await until(lambda: len(reads) >= 8, 10)
    await first.close()
    before = set(reads[:-1])  # the last one may not have been read to its end
    reads.clear()
    await start_client(scrub_bytes_per_s=1e9)
    await until(lambda: len(reads) >= 20 - len(before) - 1, 5)
    await asyncio.sleep(0.3)
    assert before.isdisjoint(reads[1:]) and len(reads) <= 20 - len(before) + 1
