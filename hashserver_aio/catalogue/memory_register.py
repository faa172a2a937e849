"""Nodes that registered, forgotten with the process; of what is on them, only the sums."""

from __future__ import annotations

from ..errors import LimitReached, NotPermitted
from . import nodes
from .nodes import FIRST_RECORD, IS_REMOVED, NO_PLACE, PAGE, Announcement, Node, NodeState


class MemoryRegister:
    """Nodes by key; what they promise is told by `Nodes`."""

    def __init__(self) -> None:
        self._nodes: dict[bytes, Node] = {}
        self._keys: list[bytes] = []

    def get(self, key: bytes) -> Node | None:
        """Tell of a node."""
        return self._nodes.get(key)

    async def all(self) -> list[Node]:
        """Tell of all nodes, in the order of registering."""
        return list(self._nodes.values())

    async def page(self, after: int) -> list[Node]:
        """Give a page of nodes, in the order of registering."""
        return [node for node in self._nodes.values() if node.seq > after][:PAGE]

    async def register(self, said: Announcement) -> Node | None:
        """Take a node in, or what it says of itself anew."""
        node = self._nodes.get(said.key)
        if node is None:
            node = self._new(said)
        elif not _is_heeded(node, said.message):
            return None
        for other in [each for each in self._nodes.values() if each.url == said.url]:
            if other.key != said.key:
                self._nodes[other.key] = other._replace(url="")
        is_same = (node.url, node.capacity) == (said.url, said.capacity)
        return self._keep(
            node._replace(
                url=said.url,
                payout_address=said.payout_address,
                capacity=said.capacity,
                full_until_ms=node.full_until_ms if is_same else 0,
                last_seen_ms=max(node.last_seen_ms, said.at_ms),
                message=said.message,
            )
        )

    def _new(self, said: Announcement) -> Node:
        if sum(node.state is not NodeState.REMOVED for node in self._nodes.values()) >= nodes.MAX_NODES:
            del self._nodes[self._idle().key]
        self._keys.append(said.key)
        key, url, payout_address, capacity, message, at_ms = said
        of_it = (len(self._keys), key, url, payout_address, NodeState.ACTIVE, capacity, 0, 0)
        return Node(*of_it, FIRST_RECORD, 0, 0, "", 0, at_ms, at_ms, message)

    def _idle(self) -> Node:
        """Find the node that makes room. Raises: LimitReached."""
        idle = [
            node
            for node in self._nodes.values()
            if node.state is NodeState.ACTIVE and not node.good + node.dead + node.surplus
        ]
        if not idle:
            raise LimitReached(NO_PLACE)
        return min(idle, key=lambda node: (node.url != "", node.last_seen_ms, node.seq))

    async def see(self, key: bytes, capacity: int, message: int, at_ms: int) -> Node | None:
        """Note that a node lives, and its capacity."""
        node = self._nodes.get(key)
        if node is None or not _is_heeded(node, message):
            return None
        return self._keep(
            node._replace(
                capacity=capacity,
                full_until_ms=node.full_until_ms if node.capacity == capacity else 0,
                last_seen_ms=max(node.last_seen_ms, at_ms),
                message=message,
            )
        )

    async def take_for_full(self, node: int, record: float, until_ms: int) -> None:
        """Take a node to be full for some time, with another record."""
        full = self._numbered(node)
        if full is not None:
            self._keep(full._replace(record=record, full_until_ms=until_ms))

    def _numbered(self, seq: int) -> Node | None:
        node = self._nodes.get(self._keys[seq - 1]) if 0 < seq <= len(self._keys) else None
        return node if node is not None and node.seq == seq else None  # it made room, and is here again

    def _keep(self, node: Node) -> Node:
        self._nodes[node.key] = node
        return node


def _is_heeded(node: Node, message: int) -> bool:
    """Tell whether a message is newer than the last one. Raises: NotPermitted, if the node was removed."""
    if node.state is NodeState.REMOVED:
        raise NotPermitted(IS_REMOVED)
    return message > node.message
