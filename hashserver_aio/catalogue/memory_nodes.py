"""What nodes hold, forgotten with the process: for tests, and programs that want no file."""

from __future__ import annotations

import random
from bisect import bisect_left, insort
from collections.abc import Callable
from typing import Any

from ..checksums import Checksum
from ..errors import LimitReached
from . import Held
from .memory_register import MemoryRegister
from .nodes import PAGE, Node, NodeState
from .placements import Placed, Placement, PlacementState, PlacementTotals, Verdict, difference

MAX_PLACED = 100_000
"""Buffers that may be placed: some 150 MB at three replicas; there has to be an end."""


class _Agenda:
    """What is due when, in this order."""

    def __init__(self) -> None:
        self._order: list[tuple[Any, ...]] = []

    def move(self, due_ms: int | None, again_ms: int | None, *what: Any) -> None:
        """Have something due at another time than before; None: never."""
        if due_ms is not None:
            del self._order[bisect_left(self._order, (due_ms, *what))]
        if again_ms is not None:
            insort(self._order, (again_ms, *what))

    def page(self, now_ms: int) -> list[Any]:
        """Give the first ones that are due."""
        return [what for due_ms, *what in self._order[:PAGE] if due_ms <= now_ms]


class MemoryNodes(MemoryRegister):
    """Nodes by key, placements by buffer and node; what they promise is told by `Nodes`."""

    def __init__(self, arrived: Callable[[int], list[Held]]) -> None:
        """`arrived` gives the next ones of what is held, from a number on."""
        super().__init__()
        self._arrived = arrived
        self._placed: dict[Checksum, Placed] = {}
        self._placements: dict[Checksum, dict[int, Placement]] = {}
        self._lacking: set[Checksum] = set()
        self._due, self._audits_due = _Agenda(), _Agenda()
        self._reached = self._most = 0

    # -- nodes ---------------------------------------------------------------------------------------------

    async def set_state(self, key: bytes, state: NodeState, at_ms: int) -> Node | None:
        """Let a node do so much."""
        node = self._nodes.get(key)
        if node is None:
            return None
        self._keep(node._replace(state=state, url="" if state is NodeState.REMOVED else node.url))
        if state in (NodeState.DRAINING, NodeState.REMOVED):
            for each in [on[node.seq] for on in self._placements.values() if node.seq in on]:
                self._be_due(each.checksum, at_ms)
                if state is NodeState.REMOVED:
                    self._change(each, None)
        return self._nodes[key]

    # -- placements: what is to be where --------------------------------------------------------------------

    def placed(self, checksum: Checksum) -> Placed | None:
        """Tell what is to be on nodes of a buffer."""
        return self._placed.get(checksum)

    def named(self, sha256: bytes) -> Checksum | None:
        """Find the buffer that is to be on nodes and has this SHA-256; it looks at each."""
        return next((each.checksum for each in self._placed.values() if each.sha256 == sha256), None)

    def placements(self, checksum: Checksum) -> list[Placement]:
        """Tell where a buffer is."""
        return sorted(self._placements.get(checksum, {}).values())

    async def want(self, checksum: Checksum, size: int, replicas: int, at_ms: int) -> None:
        """Have a buffer placed, or with another number of replicas than before. Raises: LimitReached."""
        before = self._placed.get(checksum)
        if before is None:
            if len(self._placed) >= MAX_PLACED:
                raise LimitReached(f"{MAX_PLACED} buffers are placed; keep the catalogue in a file for more")
            self._set(None, Placed(checksum, size, None, replicas, at_ms, at_ms))
        else:
            self._set(before, before._replace(replicas=replicas))
            self._be_due(checksum, at_ms)

    async def want_arrivals(self, replicas: int, at_ms: int) -> int:
        """Have placed what arrived next, as far as there is room."""
        if replicas > self._most:
            self._reached = 0
        found = self._arrived(self._reached + 1)[: min(PAGE, MAX_PLACED - len(self._placed))]
        for held in found:
            before = self._placed.get(held.checksum)
            if before is None or before.replicas < replicas:
                await self.want(held.checksum, held.size, replicas, at_ms)
            self._reached, self._most = held.seq, replicas
        return len(found)

    async def unwant(self, checksum: Checksum, at_ms: int) -> None:
        """Have a buffer on no node any more."""
        self._set(self._placed.get(checksum), None)
        for each in self.placements(checksum):
            self._change(each, each._replace(state=PlacementState.SURPLUS, due_ms=at_ms))

    async def due(self, now_ms: int) -> list[Placed]:
        """Give a page of buffers that are due."""
        return [self._placed[checksum] for (checksum,) in self._due.page(now_ms)]

    async def settle(self, seen: Placed, due_ms: int | None) -> None:
        """Look at a buffer again at a time, unless something made it due since it was seen."""
        before = self._placed.get(seen.checksum)
        if before is not None and before.turn == seen.turn:
            self._set(before, before._replace(due_ms=due_ms))

    async def keep_root(self, checksum: Checksum, root: bytes, sha256: bytes | None = None) -> None:
        """Keep what a buffer is checked by, and called."""
        before = self._placed.get(checksum)
        if before is not None:
            self._set(before, before._replace(root=root, sha256=sha256 or before.sha256))

    def _be_due(self, checksum: Checksum, at_ms: int) -> None:
        before = self._placed.get(checksum)
        if before is not None:
            due_ms = at_ms if before.due_ms is None else min(before.due_ms, at_ms)
            self._set(before, before._replace(due_ms=due_ms, turn=before.turn + 1))

    def _set(self, before: Placed | None, after: Placed | None) -> None:
        """Put what is to be of a buffer in the place of what was."""
        of = after or before
        if of is None:
            return
        if after is None:
            del self._placed[of.checksum]
        else:
            self._placed[of.checksum] = after
        self._due.move(before and before.due_ms, after and after.due_ms, of.checksum)
        self._weigh(of.checksum)

    def _weigh(self, checksum: Checksum) -> None:
        placed = self._placed.get(checksum)
        good = sum(each.state is PlacementState.GOOD for each in self.placements(checksum))
        if placed is not None and good < placed.replicas:
            self._lacking.add(checksum)
        else:
            self._lacking.discard(checksum)

    async def place(self, checksum: Checksum, node: int, at_ms: int, due_ms: int) -> None:
        """Note that a node has a buffer."""
        of_it = self._numbered(node)
        if of_it is None or of_it.state in (NodeState.REMOVED, NodeState.DRAINING):
            self._be_due(checksum, at_ms)
        if of_it is None or of_it.state is NodeState.REMOVED:
            return
        before, wanted = self._one(checksum, node), self._placed.get(checksum)
        if wanted is None:
            size = before.size if before else 0
            after = Placement(checksum, node, PlacementState.SURPLUS, size, 0, at_ms, at_ms, at_ms)
        else:
            after = Placement(checksum, node, PlacementState.GOOD, wanted.size, 0, at_ms, at_ms, due_ms)
        self._change(before, after)

    async def make_surplus(self, checksum: Checksum, node: int, at_ms: int) -> None:
        """Have a node remove a buffer."""
        before = self._one(checksum, node)
        if before is not None:
            self._change(before, before._replace(state=PlacementState.SURPLUS, due_ms=at_ms))

    async def hasten(self, now_ms: int, within_ms: int) -> None:
        """Have all that is due later than that due within it."""
        for each in [each for on in self._placements.values() for each in on.values()]:
            if each.due_ms > now_ms + within_ms:
                self._change(each, each._replace(due_ms=now_ms + random.randrange(within_ms)))

    async def audit_at(self, checksum: Checksum, node: int, due_ms: int) -> None:
        """Audit a placement at another time."""
        before = self._one(checksum, node)
        if before is not None:
            self._change(before, before._replace(due_ms=due_ms))

    async def forget(self, checksum: Checksum, node: int) -> None:
        """Know nothing of a placement any more."""
        before = self._one(checksum, node)
        if before is not None:
            self._change(before, None)
            if before.state is PlacementState.GOOD or checksum in self._lacking:
                self._be_due(checksum, 0)

    def _one(self, checksum: Checksum, node: int) -> Placement | None:
        return self._placements.get(checksum, {}).get(node)

    def _change(self, before: Placement | None, after: Placement | None) -> None:
        """Put a placement in the place of what it was, and count it so."""
        of = after or before
        assert of is not None
        on = self._placements.setdefault(of.checksum, {})
        on.pop(of.node, None)
        if after is not None:
            on[of.node] = after
        elif not on:
            del self._placements[of.checksum]
        self._audits_due.move(before and before.due_ms, after and after.due_ms, of.checksum, of.node)
        node = self._nodes[self._keys[of.node - 1]]
        used, good, dead, surplus = difference(before, after)
        self._keep(
            node._replace(
                used=node.used + used,
                good=node.good + good,
                dead=node.dead + dead,
                surplus=node.surplus + surplus,
            )
        )
        self._weigh(of.checksum)

    # -- placements: audits ---------------------------------------------------------------------------------

    async def audits_due(self, now_ms: int) -> list[Placement]:
        """Give a page of placements that are due."""
        return [self._placements[checksum][node] for checksum, node in self._audits_due.page(now_ms)]

    async def judge(self, verdict: Verdict) -> None:
        """Note how an audit went, of a placement that still is what it was."""
        before, after = verdict.placement, verdict.outcome
        if self._one(before.checksum, before.node) != before:
            return
        self._change(before, after)
        node = self._nodes[self._keys[before.node - 1]]._replace(record=verdict.record)
        if verdict.failure:
            self._keep(
                node._replace(failed=node.failed + 1, failure=verdict.failure, failed_ms=verdict.at_ms)
            )
        else:
            self._keep(node._replace(passed=node.passed + 1))
        if after.state is not before.state:
            self._be_due(before.checksum, verdict.at_ms)

    async def count(self) -> PlacementTotals:
        """Count all of it."""
        all_nodes = self._nodes.values()
        counts = (sum(node.good for node in all_nodes), sum(node.dead for node in all_nodes))
        surplus = sum(node.surplus for node in all_nodes)
        return PlacementTotals(len(self._placed), len(self._lacking), *counts, surplus)
