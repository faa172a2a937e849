"""Nodes that have registered, as every catalogue keeps them."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from hashserver_aio.catalogue import Catalogue, farmer_rows, farmers, memory_farmers
from hashserver_aio.catalogue.farmers import (
    KEPT_SUBMISSIONS,
    PAGE,
    START,
    Farmer,
    Farmers,
    FarmerTotals,
    Seen,
    Submission,
)
from hashserver_aio.catalogue.memory import MemoryCatalogue
from hashserver_aio.catalogue.sqlite import SqliteCatalogue
from hashserver_aio.errors import LimitReached, StoreFailed

MANY = 100_000


def opened(path: Path) -> SqliteCatalogue:
    """Open a catalogue in a file."""
    return SqliteCatalogue(str(path), lambda: None, fsync=False)


@pytest.fixture(params=["memory", "sqlite"])
async def catalogue(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Catalogue]:
    """A catalogue of each kind."""
    catalogue = MemoryCatalogue() if request.param == "memory" else opened(tmp_path / "catalogue.sqlite")
    yield catalogue
    await catalogue.close()


async def listed(rows: Farmers, since_ms: int = 0) -> list[Farmer]:
    """Go through a listing."""
    found: list[Farmer] = []
    while page := await rows.online(since_ms, (found[-1].height, found[-1].seq) if found else START):
        found += page
    return found


async def test_unknown(catalogue: Catalogue) -> None:
    """Of a node that never registered nothing is known, and nothing is kept."""
    rows = catalogue.farmers
    for _ in range(2):
        assert (rows.get("a"), rows.submissions("a"), await listed(rows)) == (None, [], [])
        assert await rows.totals(0) == FarmerTotals(0, 0)
        assert not await rows.see("a", Seen(1, 1, 1))
        assert await rows.submit("a", Submission(1, bytes(32), 1)) is None


async def test_registered_once(catalogue: Catalogue) -> None:
    """A node registers once; who comes second changes nothing, also at the same moment."""
    rows = catalogue.farmers
    added = await asyncio.gather(*(rows.add("a", f"payout {number}", 7) for number in range(9)))
    assert sorted(added) == [False] * 8 + [True]
    assert await rows.add("b", "payout", 8)
    assert rows.get("a") == Farmer(1, "a", f"payout {added.index(True)}", 7, 7, 0, 0)
    assert rows.get("b") == Farmer(2, "b", "payout", 8, 8, 0, 0)
    assert await rows.totals(0) == FarmerTotals(2, 0)


async def test_seen(catalogue: Catalogue) -> None:
    """A sign of life is kept, and back in time adds nothing; it counts for so long as one is enough."""
    rows = catalogue.farmers
    await rows.add("a", "payout", 1000)
    for seen, last_seen_ms, online_ms, height in (
        (Seen(1400, 500), 1400, 400, 0),
        (Seen(1500, 500, 12), 1500, 500, 12),
        (Seen(1200, 500), 1200, 500, 12),  # a clock was set back
        (Seen(9000, 500, 3), 9000, 1000, 3),
        (Seen(9000, 500, 0), 9000, 1000, 0),
    ):
        assert await rows.see("a", seen)
        assert rows.get("a") == Farmer(1, "a", "payout", 1000, last_seen_ms, online_ms, height)


async def test_listing(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listed is who was seen after a time, the highest first, then as they registered, page by page."""
    for room in (farmer_rows, memory_farmers):
        monkeypatch.setattr(room, "PAGE", 7)
    rows, chance = catalogue.farmers, random.Random(3)
    for number in range(50):
        await rows.add(f"node {number}", "payout", number)
        await rows.see(f"node {number}", Seen(number, 1, chance.choice([0, 5, 5, 5, 9])))
    for since_ms in (-1, 0, 20, 48, 49):
        given = [node for number in range(50) if (node := rows.get(f"node {number}")) is not None]
        expected = sorted(
            (node for node in given if node.last_seen_ms > since_ms),
            key=lambda node: (-node.height, node.seq),
        )
        assert await listed(rows, since_ms) == expected
        totals = FarmerTotals(len(expected), sum(node.height for node in expected))
        assert await rows.totals(since_ms) == totals


async def test_submissions(catalogue: Catalogue) -> None:
    """An answer to a block is kept once, as it came first, and the newest hundred of each node."""
    rows = catalogue.farmers
    await rows.add("a", "payout", 1)
    await rows.add("b", "payout", 1)
    given = [
        Submission(1000 - number, bytes([number]) * 32, 10 + number) for number in range(KEPT_SUBMISSIONS)
    ]
    for each in given:
        assert await rows.submit("a", each)
    assert await rows.submit("a", Submission(1000, b"x" * 32, 500)) is False
    assert await rows.submit("b", given[0]) is True
    assert rows.submissions("a") == given[::-1]
    assert await rows.submit("a", Submission(7, b"x" * 32, 500))
    assert rows.submissions("a") == [Submission(7, b"x" * 32, 500), *given[:0:-1]]
    assert rows.submissions("b") == given[:1]


async def test_bounded(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a number of nodes no more register; those that did live on."""
    monkeypatch.setattr(farmers, "MAX_FARMERS", 2)
    rows = catalogue.farmers
    for number in range(2):
        assert await rows.add(f"node {number}", "payout", 1)
    for _ in range(2):
        with pytest.raises(LimitReached, match="2 nodes have registered"):
            await rows.add("another", "payout", 1)
    assert rows.get("another") is None and len(await listed(rows)) == 2
    assert not await rows.add("node 1", "payout", 1)
    assert await rows.see("node 1", Seen(2, 1))


async def test_outlives_the_process(tmp_path: Path) -> None:
    """What was registered, told and answered is there for the next server, and for others at once."""
    first, other = opened(tmp_path / "c.sqlite"), opened(tmp_path / "c.sqlite")
    assert other.farmers.get("a") is None
    await first.farmers.add("a", "payout", 1)
    await first.farmers.see("a", Seen(5, 10, 3))
    await first.farmers.submit("a", Submission(9, b"x" * 32, 6))
    await first.close()
    assert other.farmers.get("a") == Farmer(1, "a", "payout", 1, 5, 4, 3)
    assert other.farmers.submissions("a") == [Submission(9, b"x" * 32, 6)]
    assert len(await listed(other.farmers)) == 1
    await other.close()


async def test_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalogue that can't be read is no catalogue without nodes: nobody is told that he is unknown."""
    path = tmp_path / "c.sqlite"
    catalogue = opened(path)
    await catalogue.farmers.add("a", "payout", 1)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ALTER TABLE farmers RENAME TO gone")
    with pytest.raises(StoreFailed):
        catalogue.farmers.get("a")
    with pytest.raises(StoreFailed):
        await catalogue.farmers.online(0)
    with pytest.raises(StoreFailed):
        await catalogue.farmers.totals(0)
    with pytest.raises(StoreFailed):
        await catalogue.farmers.see("a", Seen(1, 1))
    await catalogue.close()


async def steps_of(path: Path, statement: str, values: tuple[int, ...]) -> int:
    """Count, in hundreds, what SQLite does for a statement."""
    with closing(sqlite3.connect(path)) as connection:
        steps = 0

        def count() -> None:
            nonlocal steps
            steps += 1

        connection.set_progress_handler(count, 100)
        connection.execute(statement, values).fetchall()
        return steps


async def test_pages_cost_alike(tmp_path: Path) -> None:
    """Of 100,000 nodes of the same height the last page costs what the first one does; none is sorted."""
    path = tmp_path / "c.sqlite"
    catalogue = opened(path)
    await catalogue.farmers.add("first", "payout", 1)
    with closing(sqlite3.connect(path)) as connection, connection:
        rows = ((f"node {number}", 1 + number % 2) for number in range(MANY - 1))
        statement = (
            "INSERT INTO farmers (address, payout_address, registered_ms, last_seen_ms, online_ms, height)"
        )
        connection.executemany(f"{statement} VALUES (?, 'payout', 1, 1, 0, ? / 3)", rows)
        for query, values in ((farmer_rows._AS_HIGH, (0, 0, 0, PAGE)), (farmer_rows._LOWER, (1, 0, PAGE))):
            plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}", values)]
            assert len(plan) == 1 and "SEARCH farmers USING INDEX farmers_by_height" in plan[0]
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {farmer_rows._TOTALS}", (0,))]
        assert "COVERING INDEX farmers_by_height" in plan[0]
    costs = [
        await steps_of(path, farmer_rows._AS_HIGH, (0, seq, 0, PAGE))
        for seq in (0, MANY // 2, MANY - PAGE - 1)
    ]
    assert max(costs) <= min(costs) + 2
    assert len(await listed(catalogue.farmers)) == MANY
    assert (await catalogue.farmers.totals(0)).farmers == MANY
    await catalogue.close()
