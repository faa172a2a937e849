"""What the catalogue in a SQLite file promises of nodes besides: for many, after kills, and beside others."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable
from contextlib import closing
from pathlib import Path

import pytest

from hashserver_aio.catalogue import node_rows, placement_rows
from hashserver_aio.catalogue.nodes import PAGE, NodeState
from hashserver_aio.catalogue.placements import Placement, PlacementState, Verdict
from hashserver_aio.catalogue.sqlite import SqliteCatalogue
from hashserver_aio.catalogue.writer import Writer
from hashserver_aio.errors import StoreFailed

from .catalogues import arrival, name
from .test_catalogue_nodes import A, B, known, said

MANY = 20_000
FOUND = Placement(name(1), 1, PlacementState.GOOD, 5, 0, 30, 30, 90)


def opened(path: Path) -> SqliteCatalogue:
    """Open a catalogue."""
    return SqliteCatalogue(str(path), lambda: None, fsync=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the catalogue is."""
    return tmp_path / "c.sqlite"


@pytest.fixture
async def catalogue(path: Path) -> AsyncIterator[SqliteCatalogue]:
    """A catalogue with a node, and a buffer that is on it."""
    catalogue = opened(path)
    await catalogue.nodes.register(said(A))
    await catalogue.nodes.want(name(1), 5, 2, 20)
    await catalogue.nodes.place(name(1), 1, 30, 90)
    yield catalogue
    await catalogue.close()


async def test_two_servers(catalogue: SqliteCatalogue, path: Path) -> None:
    """What one server notes of nodes the other sees at once, and so does the next one."""
    other = opened(path)
    assert other.nodes.get(A) == catalogue.nodes.get(A)
    await other.nodes.register(said(B))
    await other.nodes.place(name(1), 2, 30, 90)
    await other.nodes.set_state(A, NodeState.PAUSED, 40)
    assert await catalogue.nodes.all() == await other.nodes.all() != []
    assert catalogue.nodes.placements(name(1)) == [FOUND, FOUND._replace(node=2)]
    placed = catalogue.nodes.placed(name(1))
    await other.close()
    again = opened(path)
    assert again.nodes.placed(name(1)) == placed and placed is not None
    assert (await known(again, A)).state is NodeState.PAUSED
    await again.close()


async def test_nothing_is_made(path: Path) -> None:
    """Who only asks what is due, or whether something came, makes no file, nor does an unknown node."""
    catalogue = opened(path)
    rows = catalogue.nodes
    assert await rows.want_arrivals(2, 1) == 0 and await rows.due(1) == [] == await rows.audits_due(1)
    assert await rows.see(A, 1, 1, 1) is None and await rows.set_state(A, NodeState.REMOVED, 1) is None
    assert (await rows.count()).buffers == 0 and await rows.all() == []
    assert not await asyncio.to_thread(path.exists)
    await catalogue.close()


async def test_another_feed(path: Path) -> None:
    """How far it got means nothing with another feed: it begins anew, and finds what it had not seen."""
    catalogue = opened(path)
    for number in range(5):
        await catalogue.record(arrival(number))
    assert await catalogue.nodes.want_arrivals(2, 1) == 5
    assert await catalogue.nodes.want_arrivals(2, 1) == 0
    await catalogue.nodes.unwant(name(3), 2)
    await catalogue.forget(name(4), lambda _: True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE meta SET value = 'another' WHERE key = 'feed_id'")
        connection.execute("DELETE FROM placed WHERE checksum IN (?, ?)", (bytes(32), bytes.fromhex(name(4))))
    assert await catalogue.nodes.want_arrivals(2, 3) == 5
    found = [catalogue.nodes.placed(name(number)) for number in range(5)]
    assert [each.due_ms if each else None for each in found] == [3, 1, 1, 3, None]
    assert await catalogue.nodes.want_arrivals(2, 4) == 0
    await catalogue.close()


async def test_cut_off(catalogue: SqliteCatalogue, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """A server that is stopped in the middle of emptying a node leaves the rest to the next one."""
    rows, count = catalogue.nodes, 7
    for number in range(2, count + 1):
        await rows.want(name(number), 5, 2, 20)
        await rows.place(name(number), 1, 30, 90)
    for each in await rows.due(100):
        await rows.settle(each, None)
    monkeypatch.setattr(
        placement_rows, "ON_NODE", placement_rows.ON_NODE.replace(f"LIMIT {placement_rows.SWEPT}", "LIMIT 2")
    )
    monkeypatch.setattr(placement_rows, "SWEPT", 2)
    write, writes = Writer.write, 0

    async def stop(self: Writer, *args: object) -> object:
        nonlocal writes
        writes += 1
        if writes > 3:
            raise asyncio.CancelledError
        return await write(self, *args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(asyncio.CancelledError):
        patch.setattr(Writer, "write", stop)
        await rows.set_state(A, NodeState.REMOVED, 40)
    node = await known(catalogue, A)
    assert (node.state, node.good, node.used) == (NodeState.REMOVED, count - 4, 5 * (count - 4))
    other = opened(path)
    assert len(await other.nodes.due(40)) == count
    assert (await known(catalogue, A)).good == 0 and await rows.audits_due(10**9) == []
    assert (await other.nodes.count()).lacking == count
    await other.close()


async def test_emptying_in_turns(catalogue: SqliteCatalogue, path: Path) -> None:
    """Who writes while a node with many placements is removed waits for some of them, not for all."""
    fill(path)
    emptying = asyncio.create_task(catalogue.nodes.set_state(A, NodeState.REMOVED, 40))
    notes = 0
    while not emptying.done():
        await catalogue.keep_note("one", "more")
        notes += 1
    assert notes >= MANY // placement_rows.SWEPT // 2
    assert (await known(catalogue, A)).good == 0


def fill(path: Path) -> None:
    """Put many buffers on the node, half of them due."""
    with closing(sqlite3.connect(path)) as connection, connection:
        names = [number.to_bytes(32, "big") for number in range(10, 10 + MANY)]
        due = [(each, number % 1000 if number % 2 else None) for number, each in enumerate(names)]
        connection.executemany("INSERT INTO placed VALUES (?, 5, NULL, 1, ?, 1, 1, NULL)", due)
        rows = [(each, number % 1000) for number, each in enumerate(names)]
        connection.executemany("INSERT INTO placements VALUES (?, 1, 'good', 5, 0, 1, 1, ?)", rows)
        connection.execute("UPDATE nodes SET good = good + ?, used = used + ?", (MANY, 5 * MANY))
        connection.executemany(
            "INSERT INTO arrivals (checksum, size, added_ms) VALUES (?, 5, 1)", [(each,) for each in names]
        )


PLANS = (
    (placement_rows.DUE, (500,), "INDEX placed_due (due_ms<?)"),
    (placement_rows.AUDITS_DUE, (500,), "INDEX placements_due (due_ms<?)"),
    (placement_rows.ARRIVED, (MANY // 2,), "INTEGER PRIMARY KEY (rowid>?)"),
    (
        placement_rows.ON_NODE,
        (1, b""),
        "INDEX placements_node (node=? AND checksum>?)",
    ),
    (
        f"DELETE FROM {placement_rows.OF_SWEEP}",
        (1, b"", b""),
        "INDEX placements_node (node=? AND checksum>? AND checksum<?)",
    ),
    (placement_rows.SWEEPING, (), "INDEX nodes_swept"),
    (node_rows.TAKE_URL, ("http://a", A), "INDEX nodes_url (url=?)"),
)


@pytest.mark.parametrize("query, values, expected", PLANS)
async def test_found_by_index(
    catalogue: SqliteCatalogue, path: Path, query: str, values: tuple[int], expected: str
) -> None:
    """What is asked over and over goes through no more rows than it gives, and sorts none."""
    fill(path)
    with closing(sqlite3.connect(path)) as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}", values)]
        steps = 0

        def count() -> None:
            nonlocal steps
            steps += 1

        connection.set_progress_handler(count, 100)
        connection.execute(query, values).fetchall()
    assert len(plan) == 1 and expected in plan[0]
    assert steps < PAGE  # 20,000 rows would be 1,000 at the least


async def test_counted_by_index(catalogue: SqliteCatalogue, path: Path) -> None:
    """Counted are buffers, and those that lack replicas: no placement is gone through."""
    fill(path)
    with closing(sqlite3.connect(path)) as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {placement_rows.COUNT}")]
    assert any("INDEX placed_lacking" in step for step in plan)
    assert not any("placements" in step for step in plan)
    assert (await catalogue.nodes.count())[:3] == (MANY + 1, 1, MANY + 1)


async def test_unusable(catalogue: SqliteCatalogue, path: Path) -> None:
    """A catalogue that can't be used is an error for whoever asks, and never looks like no nodes."""
    rows, placed = catalogue.nodes, catalogue.nodes.placed(name(1))
    assert placed is not None
    with closing(sqlite3.connect(path)) as connection:
        for table in ("nodes", "placed", "placements", "arrivals"):
            connection.execute(f"ALTER TABLE {table} RENAME TO {table}_gone")
    for read in (lambda: rows.get(A), lambda: rows.placed(name(1)), lambda: rows.placements(name(1))):
        with pytest.raises(StoreFailed):
            read()
    verdict = Verdict(FOUND, 1, "", 0.5, 0, PlacementState.GOOD, 1)
    ways: list[Awaitable[object]] = [
        *(rows.all(), rows.due(1), rows.audits_due(1), rows.count(), rows.register(said(A, 2))),
        *(rows.see(A, 1, 2, 1), rows.set_state(A, NodeState.PAUSED, 1), rows.want(name(1), 5, 2, 1)),
        *(rows.want_arrivals(2, 1), rows.unwant(name(1), 1), rows.settle(placed, None)),
        *(rows.keep_root(name(1), bytes(32)), rows.place(name(1), 1, 1, 1), rows.forget(name(1), 1)),
        *(rows.make_surplus(name(1), 1, 1), rows.take_for_full(1, 0.5, 1), rows.judge(verdict)),
    ]
    for way in ways:
        with pytest.raises(StoreFailed):
            await way


async def test_number_too_large(catalogue: SqliteCatalogue) -> None:
    """A number that no row can hold is refused to who says it, and hinders nobody else."""
    told = await asyncio.gather(
        catalogue.nodes.see(A, 2**63, 5, 1), catalogue.keep_note("a", "b"), return_exceptions=True
    )
    assert isinstance(told[0], StoreFailed) and told[1] is None and catalogue.note("a") == "b"
