"""What befalls a catalogue's file: upgrades, kills in the middle of a transaction, several processes."""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from hashserver_aio import Settings, create_app
from hashserver_aio.blocks import Manifest
from hashserver_aio.catalogue import Arrival, Digested, Held, Known, Totals
from hashserver_aio.catalogue.farmers import Farmer, Submission
from hashserver_aio.catalogue.nodes import Announcement
from hashserver_aio.catalogue.placements import PlacementTotals
from hashserver_aio.catalogue.schema import STEPS
from hashserver_aio.catalogue.sqlite import SqliteCatalogue
from hashserver_aio.checksums import Algorithm, Checksum, Digests, Hashset
from hashserver_aio.errors import CannotStart, StoreFailed
from hashserver_aio.store import Form, Identity

WRITER = """
import asyncio, sys
from hashserver_aio.blocks import Manifest
from hashserver_aio.catalogue import Arrival, Known
from hashserver_aio.catalogue.sqlite import SqliteCatalogue
from hashserver_aio.checksums import Checksum
from hashserver_aio.store import Form, Identity

async def main(path, first, count):
    catalogue = SqliteCatalogue(path, lambda: None, fsync=True)
    async def record(number):
        known = Known(Identity(1, 2, 3, 4), 10, number.to_bytes(32, "big"), True)
        await catalogue.record(Arrival(Checksum(f"{number:064x}"), "", Form.PLAIN, known))
        print(number, flush=True)
    for begin in range(first, first + count, 50):
        await asyncio.gather(*map(record, range(begin, begin + 50)))
    await catalogue.close()

asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""
"""Records buffers in groups, and prints the number of each as soon as it is told that it is safe."""


def writer(path: Path, first: int, count: int) -> subprocess.Popen[str]:
    """Start a process that records buffers."""
    arguments = [sys.executable, "-c", WRITER, str(path), str(first), str(count)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


def feed(catalogue: SqliteCatalogue) -> Iterator[Held]:
    """Read the whole feed."""
    page = catalogue.feed(0)
    while True:
        yield from page.held
        following = catalogue.feed(page.next_seq)
        if following.next_seq == page.next_seq:
            return
        page = following


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the catalogue is."""
    return tmp_path / "catalogue.sqlite"


def opened(path: Path) -> SqliteCatalogue:
    """Open a catalogue."""
    return SqliteCatalogue(str(path), lambda: None, fsync=True)


def lay(path: Path, steps: int) -> None:
    """Make the catalogue that an older program left behind: two buffers, one of them deleted."""
    name, gone = bytes.fromhex("ab" * 32), bytes.fromhex("cd" * 32)
    with closing(sqlite3.connect(path)) as connection, connection:
        for step in STEPS[:steps]:
            connection.executescript(step)
        connection.execute(f"PRAGMA user_version = {steps}")
        connection.execute("INSERT INTO meta VALUES ('feed_id', 'of old')")
        arrive = "INSERT INTO arrivals VALUES (?, ?, ?, ?, ?, ?)"
        connection.execute(arrive, (1, gone, 7, 1000, 2000, b"1" * 32))
        connection.execute(arrive, (2, name, 5, 1500, None, b"2" * 32))
        columns = "checksum, place, form, size, mtime_ns, ctime_ns, inode, plain_size, durable"
        stored = f"INSERT INTO stored ({columns}) VALUES (?, '', '', 5, 2, 3, 4, 5, 1)"
        connection.execute(stored, (name,))
        if steps > 1:
            connection.execute("UPDATE stored SET sha256 = ?", (b"2" * 32,))
        if steps > 2:
            connection.execute("UPDATE totals SET count = 1, size = 5")
        if steps == 8:  # the table that was called by another name later
            connection.execute("INSERT INTO nodes VALUES (3, 'old', 'payout', 1, 7, 4, 12)")
            connection.execute("INSERT INTO submissions VALUES (3, 9, ?, 6)", (b"x" * 32,))


@pytest.mark.parametrize("steps", range(1, len(STEPS)))
async def test_upgrade(path: Path, steps: int) -> None:
    """A catalogue of any older schema keeps all it knew: files, order, times, what was deleted."""
    lay(path, steps)
    catalogue = opened(path)
    name = Checksum("ab" * 32)
    assert catalogue.known(name, "", Form.PLAIN) == Known(Identity(5, 2, 3, 4), 5, b"2" * 32, durable=True)
    held = Held(2, name, 5, 1500, b"2" * 32)
    assert (catalogue.held(name), list(feed(catalogue))) == (held, [held])
    assert catalogue.named(b"2" * 32) == name and catalogue.named(b"1" * 32) is None
    assert (catalogue.totals(), catalogue.feed(0).feed_id) == (Totals(1, 5), "of old")
    assert [each.seq for each in catalogue.history((0, 0), 10**15)] == [1, 2]
    others = Digests(b"m" * 16, b"s" * 20, b"t" * 64)
    known = catalogue.known(name, "", Form.PLAIN)
    assert known is not None and catalogue.hashset(name) is None
    await catalogue.record(Arrival(name, "", Form.PLAIN, known, others))
    assert catalogue.hashset(name) == Hashset(others.md5, others.sha1, b"2" * 32, others.sha512, 5)
    manifest = Manifest(Algorithm.SHA3_256, 5, 2**21, b"1" * 20, b"2" * 32, b"3" * 32, b"3" * 32)
    await catalogue.keep_manifest(name, manifest)
    assert catalogue.manifest(name, 2**21) == manifest
    digested = Digested(Identity(5, 2, 3, 4), name, manifest)
    assert catalogue.digested((1, 4), 2**21) is None
    await catalogue.keep_digested((1, 4), digested)
    assert catalogue.digested((1, 4), 2**21) == digested
    await check_nodes(catalogue, name, [Farmer(3, "old", "payout", 1, 7, 4, 12)] if steps == 8 else [])
    await catalogue.forget(name, lambda _: True)
    assert (catalogue.totals(), catalogue.manifest(name, 2**21)) == (Totals(0, 0), None)
    await catalogue.close()


async def check_nodes(catalogue: SqliteCatalogue, name: Checksum, farmers: list[Farmer]) -> None:
    """Nodes of both kinds can register; what came before can be placed, and what was deleted is not."""
    assert await catalogue.farmers.online(0) == farmers
    answers = [Submission(9, b"x" * 32, 6)] if farmers else []
    assert catalogue.farmers.submissions("old") == answers
    assert await catalogue.farmers.add("node", "payout", 1)
    rows = catalogue.nodes
    assert await rows.all() == [] and rows.get(bytes(32)) is None
    node = await rows.register(Announcement(bytes(32), "http://node", "", 1, 1, 1))
    assert node is not None and await rows.all() == [node]
    assert await rows.want_arrivals(2, 7) == 2
    assert [each.checksum for each in await rows.due(7)] == [name]
    await rows.place(name, node.seq, 8, 9)
    assert await rows.count() == PlacementTotals(1, 1, 1, 0, 0)


async def test_upgraded_by_two(path: Path) -> None:
    """Two programs that upgrade the same catalogue at once do it once."""
    lay(path, 1)
    ready = [await asyncio.to_thread(writer, path, first, 50) for first in (1000, 2000)]
    for process in ready:
        out, _ = await asyncio.to_thread(process.communicate)
        assert process.returncode == 0 and len(out.split()) == 50
    catalogue = opened(path)
    assert (catalogue.totals().count, catalogue.feed(0).feed_id) == (101, "of old")
    await catalogue.close()


async def test_killed_in_group_commits(path: Path) -> None:
    """In 20 rounds a process is killed among its commits: what it was told is safe is there, once.

    The sums are those of the rows, and no number is given twice.
    """
    told: set[int] = set()
    chance = random.Random(3)
    for number in range(20):
        process = writer(path, number * 10_000, 10_000)
        assert process.stdout is not None
        told.add(int(process.stdout.readline()))
        await asyncio.sleep(chance.uniform(0, 0.15))
        process.send_signal(signal.SIGKILL)
        out, _ = process.communicate()
        told |= {int(line) for line in out.splitlines(keepends=True) if line.endswith("\n")}
    catalogue = opened(path)
    rows = list(feed(catalogue))
    assert {int(held.checksum, 16) for held in rows} >= told
    assert len({held.seq for held in rows}) == len({held.checksum for held in rows}) == len(rows)
    assert catalogue.totals() == Totals(len(rows), 10 * len(rows))
    assert all(catalogue.known(held.checksum, "", Form.PLAIN) for held in rows)
    await catalogue.close()


async def test_two_processes(path: Path) -> None:
    """Who follows the feed while two processes write meets every row once, and never an older one."""
    processes = [writer(path, first, 2000) for first in (0, 100_000)]
    outs = [asyncio.to_thread(process.communicate) for process in processes]
    done = asyncio.gather(*outs)
    catalogue = opened(path)
    seen: list[int] = []
    page_from = 1
    while not done.done() or catalogue.feed(page_from).next_seq != page_from:
        page = catalogue.feed(page_from)
        page_from = page.next_seq
        seen += [held.seq for held in page.held]
        await asyncio.sleep(0.002)
    results: list[Any] = await done
    assert [len(out.split()) for out, _ in results] == [2000, 2000]
    assert seen == sorted(set(seen)) and len(seen) == 4000
    await catalogue.close()


def halve(path: Path) -> None:
    """Cut a file in half, between two pages."""
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2 // 4096 * 4096)


async def test_truncated(path: Path) -> None:
    """A catalogue that was cut short is moved aside with the next write; nobody is told nonsense."""
    first = opened(path)
    process = writer(path, 0, 1000)
    await asyncio.to_thread(process.communicate)
    await first.close()
    halve(path)
    catalogue = opened(path)
    catalogue.held(Checksum("ab" * 32))
    name = Checksum(f"{5:064x}")
    known = catalogue.known(name, "", Form.PLAIN)
    assert known is None or known.identity == Identity(1, 2, 3, 4)
    await catalogue.keep_note("one", "more")
    assert catalogue.note("one") == "more"
    await catalogue.close()


async def test_removed_in_the_middle(path: Path) -> None:
    """A write during which the file is removed is done again, on the next one."""
    catalogue = opened(path)
    await catalogue.keep_note("one", "1")
    path.unlink()  # noqa: ASYNC240
    await asyncio.gather(*(catalogue.keep_note(str(number), "more") for number in range(50)))
    assert all(catalogue.note(str(number)) == "more" for number in range(50))
    await catalogue.close()


@pytest.mark.parametrize("kind", ["text", "database"])
async def test_file_of_somebody_else(directory: Path, path: Path, kind: str) -> None:
    """A file that is no catalogue is refused as one, and left as it was."""
    if kind == "text":
        path.write_text("my notes\n" * 100)  # noqa: ASYNC240
    else:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE mine (x)")
    before = path.read_bytes()  # noqa: ASYNC240
    app = create_app(Settings(directory=directory, writable=True, catalogue=f"sqlite:{path}"))
    runner = web.AppRunner(app)
    with pytest.raises((CannotStart, StoreFailed), match=r"no catalogue|another program's"):
        await runner.setup()
    await runner.cleanup()
    assert path.read_bytes() == before  # noqa: ASYNC240
