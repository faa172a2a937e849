"""Whatever befalls nodes and placements, every catalogue tells the same of them, and counts them right."""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashserver_aio.catalogue import Catalogue
from hashserver_aio.catalogue import nodes as rules
from hashserver_aio.catalogue.memory import MemoryCatalogue
from hashserver_aio.catalogue.nodes import Announcement, Node, Nodes, NodeState
from hashserver_aio.catalogue.placements import Placed, Placement, PlacementState, PlacementTotals, Verdict
from hashserver_aio.catalogue.sqlite import SqliteCatalogue
from hashserver_aio.errors import LimitReached, NotPermitted

from .catalogues import arrival, name

KEYS = [bytes([number]) * 32 for number in range(4)]
NAMES = [name(number) for number in range(6)]
STATES = list(PlacementState)
FAILURES = ("", "late", "wrong")

Numbers = tuple[int, int, int]

Ways = dict[str, Callable[[], Awaitable[object]]]


@dataclass
class Pair:
    """Two catalogues that are told the same; what was seen of them, to be acted upon later."""

    catalogues: tuple[Catalogue, Catalogue]
    seen: list[Placed] = field(default_factory=list)
    found: list[Placement] = field(default_factory=list)
    replicas: int = 0

    async def act(self, action: str, numbers: Numbers) -> None:
        """Do one thing to both: they must tell the same of it."""
        if (
            action == "arrivals"
        ):  # in memory nothing is known of what is gone, so fewer would be another thing
            self.replicas = max(self.replicas, numbers[0] % 4)
        told: list[object] = []
        for each in self.catalogues:
            ways = {**self._of_nodes(each, *numbers), **self._of_buffers(each.nodes, *numbers)}
            try:
                told.append(await ways[action]())
            except NotPermitted:
                told.append("removed")
            except LimitReached:
                told.append("no place")
        assert told[0] == told[1]

    def _of_nodes(self, catalogue: Catalogue, a: int, b: int, c: int) -> Ways:
        """Tell what may befall nodes and buffers; numbers are 0 to 7."""
        rows, key = catalogue.nodes, KEYS[a % 4]
        said = Announcement(key, f"http://{b % 3}", str(c), c % 3, b * c, 10 * c)
        return {
            "register": lambda: rows.register(said),
            "see": lambda: rows.see(key, c % 3, b * c, 10 * c),
            "state": lambda: rows.set_state(key, list(NodeState)[b % 4], 10 * c),
            "full": lambda: rows.take_for_full(a, b / 8, c),
            "arrive": lambda: catalogue.record(arrival(b % 6)),
            "vanish": lambda: catalogue.forget(NAMES[b % 6], lambda _: True),
            "arrivals": lambda: self._want_all(rows, 10 * c),
        }

    async def _want_all(self, rows: Nodes, at_ms: int) -> None:
        while await rows.want_arrivals(self.replicas, at_ms):
            pass

    def _of_buffers(self, rows: Nodes, a: int, b: int, c: int) -> Ways:
        """Tell what may befall placements; also such as are not any more what they were."""
        node, buffer = a % 5 + 1, NAMES[b % 6]
        seen = self.seen[-1 - a % len(self.seen)] if self.seen else Placed(buffer, 1, None, 1, 1)
        found = Placement(buffer, node, PlacementState.GOOD, 1, 0, 0, 0, 0)
        found = self.found[-1 - a % len(self.found)] if self.found else found
        verdict = Verdict(found, 10 * c, FAILURES[b % 3], c / 8, b, STATES[a % 3], 30 * b)
        return {
            "want": lambda: rows.want(buffer, b % 6 + 5, c % 4, 10 * a),
            "unwant": lambda: rows.unwant(buffer, 10 * c),
            "settle": lambda: rows.settle(seen, 10 * b if c else None),
            "root": lambda: rows.keep_root(buffer, bytes([c]) * 32),
            "place": lambda: rows.place(buffer, node, 10 * c, 20 * c),
            "surplus": lambda: rows.make_surplus(buffer, node, 10 * c),
            "forget": lambda: rows.forget(buffer, node),
            "judge": lambda: rows.judge(verdict),
        }

    async def check(self) -> None:
        """Both tell the same, and of each node and buffer what the placements on it come to."""
        first, second = (each.nodes for each in self.catalogues)
        nodes = await first.all()
        assert nodes == await second.all()
        assert nodes == sorted(node for node in map(first.get, KEYS) if node)
        placed, again = (
            [each for buffer in NAMES if (each := rows.placed(buffer))] for rows in (first, second)
        )
        assert placed == again
        placements = [each for buffer in NAMES for each in first.placements(buffer)]
        assert placements == [each for buffer in NAMES for each in second.placements(buffer)]
        self.seen += placed
        self.found += placements
        check_nodes(nodes, placements)
        assert await first.count() == await second.count() == totals_of(placed, placements)
        for rows in (first, second):
            for now_ms in (0, 35, 1000):
                await check_due(rows, now_ms, placed, placements)


def check_nodes(nodes: list[Node], placements: list[Placement]) -> None:
    """A node is told with the sums of what is on it; on one that was removed there is nothing."""
    for node in nodes:
        on = [each for each in placements if each.node == node.seq]
        assert node.used == sum(each.size for each in on if each.state is PlacementState.GOOD)
        by_state = [sum(each.state is state for each in on) for state in STATES]
        assert [node.good, node.dead, node.surplus] == by_state
        assert not (on and node.state is NodeState.REMOVED)


def totals_of(placed: list[Placed], placements: list[Placement]) -> PlacementTotals:
    """Count; whatever is not to be placed is surplus."""
    counting = [each for each in placements if each.state is not PlacementState.SURPLUS]
    assert {each.checksum for each in counting} <= {each.checksum for each in placed}
    good = [each.checksum for each in placements if each.state is PlacementState.GOOD]
    lacking = sum(good.count(each.checksum) < each.replicas for each in placed)
    by_state = [sum(each.state is state for each in placements) for state in STATES]
    return PlacementTotals(len(placed), lacking, *by_state)


async def check_due(rows: Nodes, now_ms: int, placed: list[Placed], placements: list[Placement]) -> None:
    """Due is what is due by then, the longest due first."""
    buffers = [(each.due_ms, each) for each in placed if each.due_ms is not None and each.due_ms <= now_ms]
    assert await rows.due(now_ms) == [each for _, each in sorted(buffers)]
    audits = [(each.due_ms, each) for each in placements if each.due_ms <= now_ms]
    assert await rows.audits_due(now_ms) == [each for _, each in sorted(audits)]


ACTIONS = (
    "register see state arrive vanish arrivals full want want unwant settle root"
    " place place place surplus forget judge judge"
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(ACTIONS.split()), st.tuples(st.integers(0, 7), st.integers(0, 7), st.integers(0, 7))
    ),
    min_size=10,
    max_size=60,
)


@pytest.mark.parametrize("max_nodes", [len(KEYS), len(KEYS) - 1])
@settings(max_examples=60, deadline=None, database=None)
@given(steps=STEPS)
async def test_catalogues_agree(max_nodes: int, steps: list[tuple[str, Numbers]]) -> None:
    """In memory and in a file the same comes of the same, and every sum is that of the placements."""
    with tempfile.TemporaryDirectory() as folder, patch.object(rules, "MAX_NODES", max_nodes):
        file = SqliteCatalogue(str(Path(folder) / "c.sqlite"), lambda: None, fsync=False)
        pair = Pair((file, MemoryCatalogue()))
        for number, key in enumerate(KEYS[:3]):
            for each in pair.catalogues:
                await each.nodes.register(Announcement(key, f"http://{number}", "", 5, 0, 1))
        for action, numbers in steps:
            await pair.act(action, numbers)
            await pair.check()
        await file.close()
