"""Which nodes have a buffer, the most promising first."""

from __future__ import annotations

import time
from contextlib import suppress

from ..catalogue.nodes import Node, Nodes, NodeState
from ..catalogue.placements import Placement, PlacementState
from ..checksums import Checksum
from ..errors import BadArgument
from .links import Links
from .retrieving import Source

ROSTER_S = 5.0
"""So old may be what is known of nodes: all are read at once, and many buffers may be lost at once."""


class Holders:
    """The nodes of a server, as those that buffers are read from."""

    def __init__(self, nodes: Nodes, links: Links, online_s: float) -> None:
        """Online is who was seen within `online_s`."""
        self._nodes = nodes
        self._links = links
        self._online_s = online_s
        self._roster: dict[int, Node] = {}
        self._read_s = -ROSTER_S

    async def of(self, checksum: Checksum) -> list[Source]:
        """Name the nodes that have, or had, a buffer. Raises: StoreFailed."""
        placements = self._nodes.placements(checksum)
        if time.monotonic() - self._read_s >= ROSTER_S or any(p.node not in self._roster for p in placements):
            self._roster = {node.seq: node for node in await self._nodes.all()}
            self._read_s = time.monotonic()
        found = [(p, self._roster[p.node]) for p in placements if p.node in self._roster]
        reached = [(p, node) for p, node in found if node.url and node.state is not NodeState.REMOVED]
        reached.sort(key=lambda pair: self._promise(*pair), reverse=True)
        sources = []
        for _, node in reached:
            with suppress(BadArgument):  # an address that an older or newer version took
                sources.append(Source(node.seq, self._links.to(node.key, node.url)))
        return sources

    def _promise(self, placement: Placement, node: Node) -> tuple[bool, bool, float]:
        is_online = node.last_seen_ms >= (time.time() - self._online_s) * 1000
        return is_online, placement.state is not PlacementState.DEAD, node.record
