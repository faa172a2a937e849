"""Buffers on nodes: what is to be where, what is, and what an audit makes of it."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from ..checksums import Checksum


class Placed(NamedTuple):
    """A buffer that is to have `replicas` on nodes.

    `size` in plain bytes. `root`: of the tree over its leaves, by the store's algorithm; it and `sha256` are
    None until it is first pushed. `due_ms`: when to look whether it has them; None while it has. `turn`:
    another number whenever something made it due.
    """

    checksum: Checksum
    size: int
    root: bytes | None
    replicas: int
    due_ms: int | None
    turn: int = 0
    sha256: bytes | None = None


class PlacementState(StrEnum):
    """GOOD: it counts. DEAD: it failed too often; it is asked still. SURPLUS: the node is to remove it."""

    GOOD = "good"
    DEAD = "dead"
    SURPLUS = "surplus"


class Placement(NamedTuple):
    """A buffer on a node; `node`: its seq. `strikes` since the last audit that it passed, at `audited_ms`.

    `due_ms`: when it is audited next; of what is surplus, when its node is asked next to remove it. `size`
    is 0 of what was surplus from the first.
    """

    checksum: Checksum
    node: int
    state: PlacementState
    size: int
    strikes: int
    placed_ms: int
    audited_ms: int
    due_ms: int


class Verdict(NamedTuple):
    """What an audit of a placement changes. `failure`: "" if it was passed, else why it was not."""

    placement: Placement
    at_ms: int
    failure: str
    record: float
    strikes: int
    state: PlacementState
    due_ms: int

    @property
    def outcome(self) -> Placement:
        """Tell what becomes of the placement; nothing but a new placing makes SURPLUS count again."""
        before = self.placement
        return before._replace(
            state=before.state if before.state is PlacementState.SURPLUS else self.state,
            strikes=self.strikes,
            audited_ms=before.audited_ms if self.failure else self.at_ms,
            due_ms=self.due_ms,
        )


def difference(before: Placement | None, after: Placement | None) -> tuple[int, int, int, int]:
    """Tell what a node's `used`, `good`, `dead` and `surplus` change by with one of its placements."""
    good, dead, surplus = (
        (after is not None and after.state is state) - (before is not None and before.state is state)
        for state in PlacementState
    )
    used = sum(
        sign * each.size
        for each, sign in ((before, -1), (after, 1))
        if each is not None and each.state is PlacementState.GOOD
    )
    return used, good, dead, surplus


class PlacementTotals(NamedTuple):
    """How many buffers are to be on nodes, how many of them lack GOOD placements, and those by state."""

    buffers: int
    lacking: int
    good: int
    dead: int
    surplus: int
