"""Nodes that hold buffers, and what is on them, as every catalogue keeps them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hashserver_aio.catalogue import Catalogue, nodes
from hashserver_aio.catalogue.memory import MemoryCatalogue
from hashserver_aio.catalogue.nodes import Announcement, Node, NodeState
from hashserver_aio.catalogue.placements import Placed, Placement, PlacementState, PlacementTotals, Verdict
from hashserver_aio.catalogue.sqlite import SqliteCatalogue
from hashserver_aio.errors import LimitReached, NotPermitted

from .catalogues import name

A, B, C = (letter * 32 for letter in (b"a", b"b", b"c"))


def said(key: bytes, message: int = 1, url: str = "", capacity: int = 1000, at_ms: int = 10) -> Announcement:
    """Make what a node says."""
    return Announcement(key, url or f"http://{key[:1].decode()}", "payout", capacity, message, at_ms)


@pytest.fixture(params=["memory", "sqlite"])
async def catalogue(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Catalogue]:
    """A catalogue of each kind."""
    path = str(tmp_path / "c.sqlite")
    catalogue = (
        MemoryCatalogue() if request.param == "memory" else SqliteCatalogue(path, lambda: None, fsync=False)
    )
    yield catalogue
    await catalogue.close()


async def known(catalogue: Catalogue, key: bytes) -> Node:
    """Ask for a node that there is."""
    node = catalogue.nodes.get(key)
    assert node is not None
    return node


async def test_unknown(catalogue: Catalogue) -> None:
    """Of what never was nothing is known, and nothing is kept."""
    rows = catalogue.nodes
    assert (rows.get(A), rows.placed(name(1)), rows.placements(name(1))) == (None, None, [])
    for _ in range(2):
        told = (await rows.all(), await rows.due(10**15), await rows.audits_due(10**15))
        assert told == ([], [], [])
        assert await rows.see(A, 1, 1, 1) is None and await rows.set_state(A, NodeState.PAUSED, 1) is None
        assert await rows.want_arrivals(2, 1) == 0
        assert await rows.count() == PlacementTotals(0, 0, 0, 0, 0)
        await rows.settle(Placed(name(1), 5, None, 2, 0, 0), 5)
        await rows.keep_root(name(1), bytes(32))
        await rows.place(name(1), 1, 1, 2)
        await rows.make_surplus(name(1), 1, 1)
        await rows.forget(name(1), 1)
        await rows.unwant(name(1), 1)
        await rows.take_for_full(1, 0.5, 1)
        await rows.judge(
            Verdict(
                Placement(name(1), 1, PlacementState.GOOD, 5, 0, 1, 1, 1),
                1,
                "",
                1.0,
                0,
                PlacementState.GOOD,
                1,
            )
        )
        assert rows.placements(name(1)) == []


async def test_registered(catalogue: Catalogue) -> None:
    """Who registers is new and active, and listed in this order; what it says later takes the place."""
    rows = catalogue.nodes
    first = await rows.register(said(B, message=5))
    state = NodeState.ACTIVE
    assert first == Node(1, B, "http://b", "payout", state, 1000, 0, 0, 0.5, 0, 0, "", 0, 10, 10, 5)
    assert await rows.register(said(A)) is not None
    again = await rows.register(Announcement(B, "http://new", "", 7, 6, 30))
    assert again == first._replace(
        url="http://new", payout_address="", capacity=7, last_seen_ms=30, message=6
    )
    assert again == rows.get(B)
    assert await rows.all() == [again, rows.get(A)]


async def test_replayed(catalogue: Catalogue) -> None:
    """A message is heeded once, and none that is older than one that was; also of many at the same moment."""
    rows = catalogue.nodes
    await rows.register(said(A, message=5))
    before = rows.get(A)
    for message in (5, 4):
        assert await rows.register(said(A, message, url="http://other")) is None
        assert await rows.see(A, 3, message, 99) is None
    assert rows.get(A) == before
    told = await asyncio.gather(*(rows.see(A, number, 6, 50) for number in range(5)))
    assert [node is None for node in told] == [False, True, True, True, True]
    assert (await known(catalogue, A)).capacity == 0


async def test_seen(catalogue: Catalogue) -> None:
    """A sign of life moves the time on, never back, and tells the capacity."""
    rows = catalogue.nodes
    await rows.register(said(A, at_ms=100))
    for message, capacity, at_ms, seen_ms in ((2, 1, 150, 150), (3, 2, 120, 150), (9, 2, 151, 151)):
        node = await rows.see(A, capacity, message, at_ms)
        assert node is not None and node == rows.get(A)
        assert (node.capacity, node.last_seen_ms, node.message) == (capacity, seen_ms, message)
        assert node.registered_ms == 100


async def test_one_node_a_url(catalogue: Catalogue) -> None:
    """A URL is that of who said it last; who had it before has none, until it says another one."""
    rows = catalogue.nodes
    await rows.register(said(A, url="http://x"))
    await rows.register(said(B, url="http://x"))
    await rows.register(said(C, url="http://y"))
    assert [node.url for node in await rows.all()] == ["", "http://x", "http://y"]
    await rows.register(said(C, message=2, url="http://x"))
    assert [node.url for node in await rows.all()] == ["", "", "http://x"]
    await rows.register(said(C, message=3, url="http://x"))
    await rows.register(said(A, message=2, url="http://z"))
    assert [node.url for node in await rows.all()] == ["http://z", "", "http://x"]


async def test_full(catalogue: Catalogue) -> None:
    """Who is taken to be full stays so while it says the same; another URL or capacity is another chance."""
    rows = catalogue.nodes
    await rows.register(said(A))
    message = 1
    for url, capacity, until_ms in (("http://a", 1000, 77), ("http://a", 1001, 0), ("http://b", 1001, 0)):
        await rows.take_for_full(1, 0.25, 77)
        node = await rows.register(said(A, message := message + 1, url, capacity))
        assert node is not None and (node.full_until_ms, node.record) == (until_ms, 0.25)
    for capacity, until_ms in ((1001, 77), (1000, 0)):
        await rows.take_for_full(1, 0.25, 77)
        node = await rows.see(A, capacity, message := message + 1, 1)
        assert node is not None and (node.full_until_ms, node.record) == (until_ms, 0.25)


async def test_removed(catalogue: Catalogue) -> None:
    """Who is removed stays out, and its URL is free; let in again, it has to tell where it is."""
    rows = catalogue.nodes
    await rows.register(said(A))
    node = await rows.set_state(A, NodeState.REMOVED, 5)
    assert node == rows.get(A) and node is not None and (node.url, node.state) == ("", NodeState.REMOVED)
    for message in (1, 2):
        with pytest.raises(NotPermitted, match="removed"):
            await rows.register(said(A, message))
        with pytest.raises(NotPermitted, match="removed"):
            await rows.see(A, 1, message, 1)
    assert await rows.all() == [node]
    assert await rows.set_state(A, NodeState.ACTIVE, 6) == node._replace(state=NodeState.ACTIVE)
    back = await rows.register(said(A, 2))
    assert back is not None and (back.url, back.state) == ("http://a", NodeState.ACTIVE)


async def test_states_stay(catalogue: Catalogue) -> None:
    """What its operator decided of a node stays when it registers anew, or tells that it lives."""
    rows = catalogue.nodes
    await rows.register(said(A))
    for number, state in enumerate((NodeState.PAUSED, NodeState.DRAINING, NodeState.ACTIVE)):
        node = await rows.set_state(A, state, 5)
        assert node is not None and (node.state, node.url) == (state, "http://a")
        assert await rows.register(said(A, 2 * number + 2)) is not None
        node = await rows.see(A, 1000, 2 * number + 3, 7)
        assert node is not None and node.state is state


async def test_bounded(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a number of nodes with something on them, or that were paused, no more register; those that did
    live on, and one removed leaves a place.
    """
    monkeypatch.setattr(nodes, "MAX_NODES", 2)
    rows = catalogue.nodes
    await rows.register(said(A))
    await rows.want(name(1), 5, 2, 1)
    await rows.place(name(1), (await known(catalogue, A)).seq, 1, 2)
    await rows.unwant(name(1), 1)
    await rows.register(said(B))
    await rows.set_state(B, NodeState.PAUSED, 5)
    results = await asyncio.gather(
        rows.register(said(C)), rows.register(said(A, 2)), return_exceptions=True
    )  # in the same transaction
    assert isinstance(results[0], LimitReached) and isinstance(results[1], Node)
    assert rows.get(C) is None and await rows.see(B, 1, 2, 3) is not None
    await rows.set_state(A, NodeState.REMOVED, 5)
    assert await rows.register(said(C)) is not None


async def test_room(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is a node by name only makes room for new ones: who is nowhere, then who was seen longest ago.

    It may come again, as another one; what was on its way to it is noted on nobody.
    """
    monkeypatch.setattr(nodes, "MAX_NODES", 3)
    rows = catalogue.nodes
    for key, at_ms in ((A, 30), (B, 10), (C, 20)):
        await rows.register(said(key, at_ms=at_ms))
    await rows.register(said(b"d" * 32, url="http://c", at_ms=40))
    assert [node.key[:1] for node in await rows.all()] == [b"a", b"c", b"d"]
    await rows.want(name(1), 5, 2, 1)
    gone = (await known(catalogue, b"d" * 32)).seq
    await rows.see(A, 1, 2, 50)
    for key, at_ms in ((b"e" * 32, 60), (b"f" * 32, 70)):
        await rows.register(said(key, at_ms=at_ms))
    assert [node.key[:1] for node in await rows.all()] == [b"a", b"e", b"f"]
    await rows.register(said(b"d" * 32, at_ms=80))
    await rows.place(name(1), gone, 1, 2)
    await rows.take_for_full(gone, 0.1, 99)
    again = await known(catalogue, b"d" * 32)
    assert (again.seq > gone, again.good, again.record) == (True, 0, nodes.FIRST_RECORD)
    assert rows.placements(name(1)) == []
    assert [node.key[:1] for node in await rows.all()] == [b"e", b"f", b"d"]


async def test_pages(catalogue: Catalogue) -> None:
    """All nodes can be read in pieces, whatever comes or goes meanwhile, each once and in order."""
    rows = catalogue.nodes
    keys = [number.to_bytes(32, "big") for number in range(nodes.PAGE + 3)]
    assert await rows.page(0) == []
    for number, key in enumerate(keys):
        await rows.register(said(key, url=f"http://{number}"))
    first = await rows.page(0)
    rest = await rows.page(first[-1].seq)
    assert [node.key for node in first + rest] == keys and len(rest) == 3
    assert await rows.page(rest[-1].seq) == []
