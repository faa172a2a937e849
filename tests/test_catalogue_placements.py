"""Which buffers are to be on nodes, and which are, as every catalogue keeps it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hashserver_aio.catalogue import Catalogue
from hashserver_aio.catalogue.memory import MemoryCatalogue
from hashserver_aio.catalogue.nodes import PAGE, Nodes, NodeState
from hashserver_aio.catalogue.placements import Placed, Placement, PlacementState, PlacementTotals, Verdict
from hashserver_aio.catalogue.sqlite import SqliteCatalogue

from .catalogues import name
from .test_catalogue_nodes import A, B, C, known, said

GOOD, DEAD, SURPLUS = PlacementState
X = name(1)


@pytest.fixture(params=["memory", "sqlite"])
async def catalogue(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Catalogue]:
    """A catalogue of each kind."""
    path = str(tmp_path / "c.sqlite")
    in_memory = request.param == "memory"
    catalogue = MemoryCatalogue() if in_memory else SqliteCatalogue(path, lambda: None, fsync=False)
    yield catalogue
    await catalogue.close()


@pytest.fixture
async def rows(catalogue: Catalogue) -> Nodes:
    """Three nodes, and a buffer of 5 bytes that is to be on two, and is on the first; nothing is due."""
    rows = catalogue.nodes
    for key in (A, B, C):
        await rows.register(said(key))
    await rows.want(X, 5, 2, 20)
    await rows.place(X, 1, 30, 90)
    await settle(rows)
    return rows


async def settle(rows: Nodes) -> Placed:
    """Find that the buffer has what it needs; gives it as it is then."""
    placed = rows.placed(X)
    assert placed is not None
    await rows.settle(placed, None)
    placed = rows.placed(X)
    assert placed is not None and placed.due_ms is None
    return placed


def due_ms(rows: Nodes) -> int | None:
    """Tell when the buffer is due."""
    placed = rows.placed(X)
    assert placed is not None
    return placed.due_ms


def on(rows: Nodes, node: int) -> Placement:
    """Give the placement of the buffer on a node."""
    (found,) = (each for each in rows.placements(X) if each.node == node)
    return found


def verdict(placement: Placement, state: PlacementState = GOOD, failure: str = "") -> Verdict:
    """Make a verdict at 200."""
    return Verdict(placement, 200, failure, 0.7, 1 if failure else 0, state, 300)


async def used(catalogue: Catalogue) -> list[tuple[int, int, int, int]]:
    """Tell what is counted of each node."""
    return [(each.used, each.good, each.dead, each.surplus) for each in await catalogue.nodes.all()]


async def test_wanted(rows: Nodes) -> None:
    """A buffer that is wanted is due, again if it is wanted again, until it is settled."""
    placed = await settle(rows)
    assert (placed.checksum, placed.size, placed.root, placed.replicas) == (X, 5, None, 2)
    await rows.want(X, 5, 3, 60)
    again = rows.placed(X)
    assert again == placed._replace(replicas=3, due_ms=60, turn=placed.turn + 1)
    await rows.want(X, 5, 3, 70)
    assert due_ms(rows) == 60
    assert await rows.due(59) == [] and await rows.due(60) == [rows.placed(X)]
    assert rows.placements(X) == [Placement(X, 1, GOOD, 5, 0, 30, 30, 90)]
    await rows.keep_root(X, b"r" * 32)
    placed = await settle(rows)
    assert (placed.root, placed.replicas) == (b"r" * 32, 3)


async def test_settled_by_who_saw_it(rows: Nodes) -> None:
    """What made a buffer due while somebody looked at it is not settled by him, whatever the clock says."""
    for at_ms in (50, 50, 10):
        await rows.want(X, 5, 2, 50)
        seen = rows.placed(X)
        assert seen is not None
        await rows.want(X, 5, 2, at_ms)
        await rows.settle(seen, None)
        assert due_ms(rows) == min(50, at_ms)
        await settle(rows)
    seen = await settle(rows)
    await rows.unwant(X, 60)
    await rows.want(X, 5, 2, 61)
    await rows.settle(seen, None)
    assert due_ms(rows) == 61


async def test_put_off(rows: Nodes) -> None:
    """A buffer may be put off; what makes it due does so before that, too."""
    await rows.settle(await settle(rows), 1000)
    assert await rows.due(999) == [] and len(await rows.due(1000)) == 1
    await rows.want(X, 5, 2, 500)
    assert due_ms(rows) == 500
    for asked_ms in (1000, 300, 100):
        await rows.settle(await settle(rows), asked_ms)
        await rows.set_state(A, NodeState.DRAINING, 300)
        assert due_ms(rows) == min(300, asked_ms)


async def test_unwanted(rows: Nodes, catalogue: Catalogue) -> None:
    """What is unwanted is to be removed by its nodes, also by one that gets it a moment later."""
    await rows.place(X, 2, 30, 90)
    await rows.judge(verdict(on(rows, 2), DEAD, "late"))
    await rows.keep_root(X, b"r" * 32)
    await rows.unwant(X, 70)
    assert rows.placed(X) is None and await rows.due(10**9) == []
    await rows.place(X, 3, 75, 10**9)
    assert rows.placements(X) == [
        Placement(X, 1, SURPLUS, 5, 0, 30, 30, 70),
        Placement(X, 2, SURPLUS, 5, 1, 30, 30, 70),
        Placement(X, 3, SURPLUS, 0, 0, 75, 75, 75),
    ]
    assert await used(catalogue) == [(0, 0, 0, 1)] * 3
    await rows.keep_root(X, b"r" * 32)
    await rows.want(X, 5, 2, 80)
    placed = rows.placed(X)
    assert placed is not None and placed.root is None
    assert [each.state for each in rows.placements(X)] == [SURPLUS] * 3
    await rows.place(X, 3, 95, 99)
    assert on(rows, 3) == Placement(X, 3, GOOD, 5, 0, 95, 95, 99)
    assert await used(catalogue) == [(0, 0, 0, 1), (0, 0, 0, 1), (5, 1, 0, 0)]


async def test_placed_where_nothing_may_be(rows: Nodes) -> None:
    """What comes to a node that is to be empty makes its buffer due; one removed is not known to have it."""
    await rows.set_state(B, NodeState.DRAINING, 40)
    await rows.set_state(C, NodeState.REMOVED, 40)
    for node in (2, 3, 4):
        await rows.place(X, node, 50, 90)
        assert due_ms(rows) == 50
        await settle(rows)
    assert [each.node for each in rows.placements(X)] == [1, 2]
    await rows.set_state(A, NodeState.PAUSED, 60)
    await rows.place(X, 1, 70, 90)
    assert due_ms(rows) is None


async def test_emptied(rows: Nodes, catalogue: Catalogue) -> None:
    """All that is on a node is due when it is to be empty, however much it is; one removed has nothing."""
    names = [name(number) for number in range(2, 1250)]
    for number, each in enumerate(names):
        await rows.want(each, number, 1, 20)
        if number % 2:
            await rows.place(each, 1, 30, 90)
        placed = rows.placed(each)
        assert placed is not None
        await rows.settle(placed, None)
    held = [X, *names[1::2]]
    await rows.set_state(B, NodeState.REMOVED, 1)
    assert await rows.due(10**9) == [] and len(await rows.audits_due(90)) == PAGE
    for state in (NodeState.DRAINING, NodeState.REMOVED):
        node = await rows.set_state(A, state, 40)
        assert node is not None and node.good == (len(held) if state is NodeState.DRAINING else 0)
        assert [each.checksum for each in await rows.due(39)] == []
        assert [each.checksum for each in await rows.due(40)] == held[:PAGE]
        for each in held:
            placed = rows.placed(each)
            assert placed is not None and placed.due_ms == 40
            await rows.settle(placed, None)
        assert await rows.due(10**9) == []
    assert await used(catalogue) == [(0, 0, 0, 0)] * 3
    assert await rows.count() == PlacementTotals(1 + len(names), 1 + len(names), 0, 0, 0)
    assert rows.placements(X) == [] and await rows.audits_due(10**9) == []


async def test_surplus(rows: Nodes, catalogue: Catalogue) -> None:
    """What is surplus does not count; its node is asked to remove it until it has, also later again."""
    await rows.make_surplus(X, 1, 50)
    assert on(rows, 1) == Placement(X, 1, SURPLUS, 5, 0, 30, 30, 50)
    await rows.hasten(10, 30)
    assert 10 <= on(rows, 1).due_ms < 40
    await rows.make_surplus(X, 1, 70)
    assert await rows.audits_due(69) == [] and await rows.audits_due(70) == rows.placements(X)
    assert (await used(catalogue))[0] == (0, 0, 0, 1)
    await rows.judge(verdict(on(rows, 1), GOOD))  # it has it still: no reason to count it again
    assert on(rows, 1).state is SURPLUS and due_ms(rows) is None
    await rows.forget(X, 1)  # and what lacks a node may be put there again
    assert rows.placements(X) == [] and due_ms(rows) == 0
    assert (await used(catalogue))[0] == (0, 0, 0, 0)


async def test_forgotten(rows: Nodes, catalogue: Catalogue) -> None:
    """Of a placement that is forgotten nothing is left; if it counted, its buffer is looked at at once."""
    await rows.forget(X, 1)
    assert rows.placements(X) == [] and await rows.audits_due(10**9) == []
    assert len(await rows.due(0)) == 1
    assert (await used(catalogue))[0] == (0, 0, 0, 0)


async def test_passed(rows: Nodes, catalogue: Catalogue) -> None:
    """A passed audit is counted, and the next one is due in its time."""
    await rows.judge(verdict(on(rows, 1)))
    assert on(rows, 1) == Placement(X, 1, GOOD, 5, 0, 30, 200, 300)
    node = await known(catalogue, A)
    assert (node.record, node.passed, node.failed, node.failure, node.failed_ms) == (0.7, 1, 0, "", 0)
    assert due_ms(rows) is None


async def test_failed(rows: Nodes, catalogue: Catalogue) -> None:
    """A failed audit is counted with why; a placement that dies counts no more, until it is good again."""
    await rows.judge(verdict(on(rows, 1), failure="late"))
    assert on(rows, 1) == Placement(X, 1, GOOD, 5, 1, 30, 30, 300)
    assert due_ms(rows) is None and (await used(catalogue))[0] == (5, 1, 0, 0)
    await rows.judge(verdict(on(rows, 1), DEAD, "missing"))
    assert on(rows, 1).state is DEAD and due_ms(rows) == 200
    assert (await used(catalogue))[0] == (0, 0, 1, 0)
    assert await rows.count() == PlacementTotals(1, 1, 0, 1, 0)
    await settle(rows)
    await rows.judge(verdict(on(rows, 1), DEAD, "late"))
    assert due_ms(rows) is None
    await rows.judge(verdict(on(rows, 1), GOOD))
    node = await known(catalogue, A)
    assert (node.passed, node.failed, node.failure, node.failed_ms) == (1, 3, "late", 200)
    assert due_ms(rows) == 200 and (await used(catalogue))[0] == (5, 1, 0, 0)


async def test_judged_too_late(rows: Nodes, catalogue: Catalogue) -> None:
    """An audit of what has changed meanwhile, or is gone, changes nothing."""
    asked = on(rows, 1)
    await rows.place(X, 1, 40, 95)
    again = on(rows, 1)
    await rows.judge(verdict(asked, DEAD, "late"))
    assert on(rows, 1) == again and due_ms(rows) is None
    await rows.make_surplus(X, 1, 50)
    await rows.judge(verdict(again))
    assert on(rows, 1).state is SURPLUS
    await rows.forget(X, 1)
    await rows.judge(verdict(again))
    assert rows.placements(X) == []
    assert await known(catalogue, A) == (await known(catalogue, A))._replace(passed=0, failed=0, record=0.5)


async def test_due_in_order(rows: Nodes) -> None:
    """Who has been due the longest comes first, a page at a time; nothing that is not due yet."""
    chance = random.Random(3)
    for number in range(2, PAGE + 50):
        at_ms = chance.randrange(100)
        await rows.want(name(number), 5, 2, at_ms)
        await rows.place(name(number), 1, 1, at_ms)
    for now_ms in (50, 99):
        buffers, audits = await rows.due(now_ms), await rows.audits_due(now_ms)
        for dues in ([each.due_ms for each in buffers], [each.due_ms for each in audits]):
            assert dues == sorted(dues, key=lambda due_ms: due_ms or 0) and (dues[-1] or 0) <= now_ms
    assert len(buffers) == len(audits) == PAGE


async def test_lacking(rows: Nodes) -> None:
    """A buffer lacks replicas as long as fewer good ones are there than are wanted."""
    told = [await rows.count()]
    await rows.place(X, 2, 30, 90)
    told.append(await rows.count())
    await rows.want(X, 5, 3, 40)
    told.append(await rows.count())
    await rows.want(X, 5, 1, 40)
    await rows.make_surplus(X, 2, 50)
    told.append(await rows.count())
    assert [(each.buffers, each.lacking, each.good, each.surplus) for each in told] == [
        (1, 1, 1, 0),
        (1, 0, 2, 0),
        (1, 1, 2, 0),
        (1, 0, 1, 1),
    ]
