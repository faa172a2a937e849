"""What can be told of a server in numbers, at one moment; the words for it are in `exposition.py`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from ..catalogue import Catalogue, Totals
from ..catalogue.nodes import NodeState
from ..catalogue.placements import PlacementTotals
from ..counting import Counts
from ..errors import StoreFailed
from ..fleet.registering import is_online
from ..scrubbing import Progress, progress_of
from ..settings import Limits, Settings


@dataclass(frozen=True, slots=True)
class Fleet:
    """Nodes by state and whether they are online, and what is placed on them."""

    nodes: Mapping[tuple[NodeState, bool], int]
    placements: PlacementTotals


@dataclass(frozen=True, slots=True)
class Reading:
    """The numbers of one moment; None is what this server does not know, or does not do.

    `sums`: by column, of all its processes.
    """

    sums: list[float]
    limits: Limits
    held: Totals | None
    scrub: Progress | None
    fleet: Fleet | None = None


class Meter:
    """Reads the numbers of all processes of a server, in any one of them."""

    def __init__(self, counts: Counts, catalogue: Catalogue, settings: Settings) -> None:
        self._counts = counts
        self._catalogue = catalogue
        self._settings = settings

    async def read(self) -> Reading:
        """Read all numbers; some microseconds, and where there are nodes what it takes to count those."""
        sums = self._counts.sums()
        if not (self._catalogue.is_shared or self._counts.are_of_one):  # each worker knows something else
            return Reading(sums, self._settings.limits, None, None)
        scrubs = self._settings.scrub_bytes_per_s is not None
        scrub = progress_of(self._catalogue) if scrubs else None
        return Reading(sums, self._settings.limits, self._held(), scrub, await self._fleet())

    async def _fleet(self) -> Fleet | None:
        rules, rows = self._settings.nodes, self._catalogue.nodes
        if rules is None:
            return None
        now_s = time.time()
        try:
            nodes = Counter((node.state, is_online(node, rules, now_s)) for node in await rows.all())
            return Fleet(nodes, await rows.count())
        except StoreFailed:
            return None

    def _held(self) -> Totals | None:
        try:
            return self._catalogue.totals()
        except StoreFailed:  # which must not look like nothing
            return None
