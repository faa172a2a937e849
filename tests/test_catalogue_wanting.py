"""What comes is to be on nodes, where every buffer is: as every catalogue keeps it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hashserver_aio.catalogue import Catalogue, memory_nodes
from hashserver_aio.catalogue.memory import MemoryCatalogue
from hashserver_aio.catalogue.nodes import PAGE
from hashserver_aio.catalogue.placements import Placed, Placement, PlacementState
from hashserver_aio.catalogue.sqlite import SqliteCatalogue
from hashserver_aio.errors import LimitReached

from .catalogues import arrival, name
from .test_catalogue_nodes import A, said

X = name(1)


@pytest.fixture(params=["memory", "sqlite"])
async def catalogue(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Catalogue]:
    """A catalogue of each kind."""
    path = str(tmp_path / "c.sqlite")
    in_memory = request.param == "memory"
    catalogue = MemoryCatalogue() if in_memory else SqliteCatalogue(path, lambda: None, fsync=False)
    yield catalogue
    await catalogue.close()


async def arrive(catalogue: Catalogue, *numbers: int) -> None:
    """Have buffers come."""
    for number in numbers:
        await catalogue.record(arrival(number))


async def wanted(catalogue: Catalogue, replicas: int) -> int:
    """Have all placed that came; gives how many were looked at."""
    total = 0
    while count := await catalogue.nodes.want_arrivals(replicas, 100):
        assert count <= PAGE
        total += count
    return total


async def test_arrivals(catalogue: Catalogue) -> None:
    """What came is to be placed, once; not what is gone; and what was wanted often enough stays as it is."""
    rows, many = catalogue.nodes, 2 * PAGE + 20
    await arrive(catalogue, *range(many))
    await catalogue.forget(name(7), lambda _: True)
    await rows.want(X, 6, 5, 20)
    placed = rows.placed(X)
    assert placed is not None
    await rows.settle(placed, None)
    assert await wanted(catalogue, 2) in (many, many - 1)  # in memory what is gone is not looked at
    assert rows.placed(name(7)) is None
    assert rows.placed(name(8)) == Placed(name(8), 13, None, 2, 100, 100)
    placed = rows.placed(X)
    assert placed is not None and (placed.replicas, placed.due_ms) == (5, None)
    assert (await rows.count()).buffers == many - 1
    await rows.unwant(name(8), 110)
    await arrive(catalogue, 7, many)
    assert await wanted(catalogue, 2) == 2
    assert rows.placed(name(7)) and rows.placed(name(many)) and rows.placed(name(8)) is None


async def test_arrivals_more_often(catalogue: Catalogue) -> None:
    """With a higher number all that came is to be placed so often; with a lower one only what comes."""
    await arrive(catalogue, 0, 1)
    assert await wanted(catalogue, 2) == 2
    for replicas, expected in ((1, [2, 2, 1, 0]), (3, [3, 3, 3, 0]), (2, [3, 3, 3, 2])):
        if replicas < 3:
            await arrive(catalogue, 3 if replicas == 2 else 2)
        await wanted(catalogue, replicas)
        found = [catalogue.nodes.placed(name(number)) for number in range(4)]
        assert [each.replicas if each else 0 for each in found] == expected
    assert await wanted(catalogue, 2) == 0


async def test_a_lost_buffer_is_still_to_be_found(catalogue: Catalogue) -> None:
    """A buffer that vanished here is told to be where it is, so that it can come back from there."""
    rows = catalogue.nodes
    await rows.register(said(A))
    await arrive(catalogue, 1)
    await wanted(catalogue, 2)
    await rows.place(X, 1, 110, 120)
    await rows.keep_root(X, b"r" * 32)
    before = rows.placed(X), rows.placements(X)
    assert before == (
        Placed(X, 6, b"r" * 32, 2, 100, 100),
        [Placement(X, 1, PlacementState.GOOD, 6, 0, 110, 110, 120)],
    )
    await catalogue.forget(X, lambda _: True)
    assert catalogue.held(X) is None and (rows.placed(X), rows.placements(X)) == before


async def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """In memory so many buffers are placed and no more; what came is when there is room."""
    monkeypatch.setattr(memory_nodes, "MAX_PLACED", 2)
    catalogue = MemoryCatalogue()
    await arrive(catalogue, 1, 2, 3)
    assert (await wanted(catalogue, 2), await wanted(catalogue, 2)) == (2, 0)
    with pytest.raises(LimitReached, match="2 buffers are placed"):
        await catalogue.nodes.want(name(4), 5, 1, 1)
    await catalogue.nodes.want(X, 5, 1, 1)
    await catalogue.nodes.unwant(X, 1)
    assert await wanted(catalogue, 2) == 1
