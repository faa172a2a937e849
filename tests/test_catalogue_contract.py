"""What every catalogue promises, and what the one in a SQLite file promises besides."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hashserver_aio.catalogue.arrival_rows import record_all
from hashserver_aio.catalogue.memory import MAX_FILES, MemoryCatalogue
from hashserver_aio.catalogue.schema import STEPS, upgrade
from hashserver_aio.catalogue.sqlite import SqliteCatalogue
from hashserver_aio.errors import StoreFailed
from hashserver_aio.store import Form

from .catalogues import CatalogueContract, arrival, known, name


class TestMemoryCatalogue(CatalogueContract):
    """The catalogue of a directory that can't be written."""

    @pytest.fixture
    def catalogue(self) -> MemoryCatalogue:
        """A catalogue that nothing was recorded in."""
        return MemoryCatalogue()

    async def test_bounded(self, catalogue: MemoryCatalogue) -> None:
        """It forgets what was used longest ago rather than grow without end."""
        for number in range(MAX_FILES):  # a second and a half
            await catalogue.record(arrival(number))
        assert known(catalogue, 0)  # used just now
        await catalogue.record(arrival(MAX_FILES))
        assert known(catalogue, 0) and known(catalogue, MAX_FILES)
        assert known(catalogue, 1) is None


Opener = Callable[[], SqliteCatalogue]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the catalogue is, in a folder that its first write makes."""
    return tmp_path / "own" / "catalogue.sqlite"


@pytest.fixture
async def opener(path: Path) -> AsyncIterator[Opener]:
    """Open catalogues on one file, as servers on one directory do."""
    opened: list[SqliteCatalogue] = []

    def open_() -> SqliteCatalogue:
        opened.append(SqliteCatalogue(str(path), lambda: None, fsync=True))
        return opened[-1]

    yield open_
    for catalogue in opened:
        await catalogue.close()


@pytest.fixture
def catalogue(opener: Opener) -> SqliteCatalogue:
    """A catalogue of the file's."""
    return opener()


def rows(path: Path, query: str) -> list[Any]:
    """Read the file as another program would."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


class TestSqliteCatalogue(CatalogueContract):
    """The catalogue of a writable directory keeps the contract too."""

    async def test_listed(self, catalogue: SqliteCatalogue) -> None:
        """A recorded buffer is listed as held, until it is forgotten with all its files."""
        await catalogue.record(arrival(1))
        await catalogue.record(arrival(1, form=Form.GZIP))
        assert catalogue.held(name(1))
        await catalogue.forget(name(1), lambda _: True)
        assert (known(catalogue, 1), known(catalogue, 1, form=Form.GZIP)) == (None, None)

    async def test_durability_stays(self, catalogue: SqliteCatalogue) -> None:
        """What is durable stays so when somebody verifies the same file once more."""
        await catalogue.record(arrival(1, durable=True))
        await catalogue.record(arrival(1, durable=False))
        assert known(catalogue, 1) == arrival(1, durable=True).known


async def test_record_outlives_the_process(opener: Opener, path: Path) -> None:
    """What a record returned from is there for the next server, also if this one is killed."""
    first = opener()
    await first.record(arrival(1))
    assert known(opener(), 1) == arrival(1).known
    await first.close()
    assert known(opener(), 1) == arrival(1).known


async def test_history(catalogue: SqliteCatalogue, path: Path) -> None:
    """A buffer that comes again has a new number; the row of its first time stays, as deleted."""
    await catalogue.record(arrival(1))
    await catalogue.record(arrival(2))
    await catalogue.record(arrival(1, inode=5))  # held already: no new arrival
    await catalogue.forget(name(1), lambda _: True)
    await catalogue.forget(name(1), lambda _: True)
    await catalogue.record(arrival(1))
    found = rows(path, "SELECT seq, hex(checksum), size, deleted_ms >= added_ms FROM arrivals ORDER BY seq")
    assert [(seq, text.lower(), size, deleted) for seq, text, size, deleted in found] == [
        (1, name(1), 6, 1),
        (2, name(2), 7, None),
        (3, name(1), 6, None),
    ]


async def test_numbers_are_never_given_twice(catalogue: SqliteCatalogue, path: Path) -> None:
    """A number is not given again, even if the newest rows are all deleted: followers count by it."""
    await catalogue.record(arrival(1))
    await catalogue.forget(name(1), lambda _: True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM arrivals")
    await catalogue.record(arrival(2))
    assert rows(path, "SELECT seq FROM arrivals") == [(2,)]


async def test_group_commit(catalogue: SqliteCatalogue, path: Path) -> None:
    """Records that come together share transactions, and each is on the disk when it returns."""
    await catalogue.record(arrival(0))
    with closing(sqlite3.connect(path)) as connection:
        before = connection.execute("PRAGMA data_version").fetchone()[0]
        await asyncio.gather(*(catalogue.record(arrival(number)) for number in range(1000)))
        transactions = connection.execute("PRAGMA data_version").fetchone()[0] - before
    assert rows(path, "SELECT count(*), count(DISTINCT seq), max(seq) FROM arrivals") == [(1000, 1000, 1000)]
    assert transactions < 100


def test_few_values_a_statement() -> None:
    """However many come at once, no statement has more values than an old SQLite takes."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        upgrade(connection)
        connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 999)
        record_all(connection, [(arrival(number), None) for number in range(300)])
        assert connection.execute("SELECT count FROM totals").fetchone() == (300,)


async def test_one_bad_write_does_not_end_the_others(catalogue: SqliteCatalogue) -> None:
    """When a write goes wrong its caller is told, and the catalogue goes on."""

    await catalogue.record(arrival(1))
    with pytest.raises(StoreFailed):
        await catalogue.forget(name(1), lambda _: 1 // 0 == 0)
    await catalogue.record(arrival(2))
    assert known(catalogue, 1) and known(catalogue, 2)


async def test_two_servers(opener: Opener, path: Path) -> None:
    """Two catalogues on one file, made by both at once, lose nothing and see each other's records."""
    one, other = opener(), opener()
    mine = [one.record(arrival(number)) for number in range(0, 300, 2)]
    theirs = [other.record(arrival(number)) for number in range(1, 300, 2)]
    shared = [each.record(arrival(1000)) for each in (one, other)]
    await asyncio.gather(*mine, *theirs, *shared)
    for catalogue in (one, other):
        assert all(known(catalogue, number) for number in (*range(300), 1000))
    assert rows(path, "SELECT count(*), max(seq) FROM arrivals") == [(301, 301)]
    assert len(rows(path, "SELECT value FROM meta WHERE key = 'feed_id'")) == 1


async def test_one_bad_row_among_others(catalogue: SqliteCatalogue, path: Path) -> None:
    """Of records that share a transaction, only the one that can't be written fails."""
    bad = replace(arrival(3), known=arrival(3).known._replace(sha256=arrival(1).known.sha256))
    records = [catalogue.record(each) for each in (arrival(0), arrival(1), bad, arrival(2))]
    told = await asyncio.gather(*records, return_exceptions=True)
    assert [type(each) for each in told] == [type(None), type(None), StoreFailed, type(None)]
    assert [known(catalogue, number) is None for number in range(4)] == [False, False, False, True]
    assert rows(path, "SELECT count FROM totals") == [(3,)]


@pytest.mark.parametrize("endings", [("",), ("", "-wal", "-shm")])
async def test_file_deleted_while_open(opener: Opener, path: Path, endings: tuple[str, ...]) -> None:
    """A catalogue that is removed is empty, and made anew by the next record, for every server."""
    one, other = opener(), opener()
    await one.record(arrival(1))
    assert known(other, 1)
    feed = rows(path, "SELECT value FROM meta WHERE key = 'feed_id'")
    for ending in endings:
        os.unlink(f"{path}{ending}")
    assert known(one, 1) is None and known(other, 1) is None
    await other.record(arrival(2))
    assert known(one, 2) and known(one, 1) is None
    assert rows(path, "SELECT value FROM meta WHERE key = 'feed_id'") != feed


def spoil(path: Path) -> None:
    """Overwrite all pages but the first one."""
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))


async def test_file_corrupted(opener: Opener, path: Path) -> None:
    """A catalogue with broken pages is moved aside and made anew; what is held is merely hashed again."""
    first = opener()
    await asyncio.gather(*(first.record(arrival(number)) for number in range(1000)))
    await first.close()
    spoil(path)
    again = opener()
    assert known(again, 1) is None
    await again.record(arrival(2))
    assert known(again, 2)
    assert [each.name[:24] for each in path.parent.glob("*broken*")] == ["catalogue.sqlite.broken-"]


@pytest.mark.parametrize("content", [b"", b"no database at all" * 1000])
async def test_file_of_something_else(opener: Opener, path: Path, content: bytes) -> None:
    """An empty file (schema 0) becomes a catalogue; what is no database hinders nobody's start."""
    os.mkdir(path.parent)
    await asyncio.to_thread(path.write_bytes, content)
    catalogue = opener()
    assert known(catalogue, 1) is None
    await catalogue.record(arrival(1))
    assert known(catalogue, 1) == arrival(1).known
    assert rows(path, "PRAGMA user_version") == [(len(STEPS),)]


async def test_newer_schema(opener: Opener, path: Path) -> None:
    """The catalogue of a newer program is refused in a sentence, and left as it is."""
    await opener().record(arrival(1))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {len(STEPS) + 1}")
    with pytest.raises(StoreFailed, match=f"schema {len(STEPS) + 1}, newer than {len(STEPS)}"):
        opener()
    assert rows(path, "SELECT count(*) FROM arrivals") == [(1,)]
