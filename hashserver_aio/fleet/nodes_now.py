"""The nodes as they are now: who may be given something, and who is to be asked.

Read from the catalogue at the beginning of each round; what a round finds out itself is added at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from urllib.parse import urlsplit

from ..catalogue.nodes import Node, NodeState
from ..nodes.choosing import Candidate, weight_of

SHUN_S = 60.0
"""Who could not be given a buffer is given none for so long."""


class NodesNow:
    """Nodes by number; all times in milliseconds since 1970.

    `secret`: what choosing depends on besides, so that nobody can look for a key that is drawn for a buffer.
    """

    def __init__(self, online_ms: int, secret: bytes) -> None:
        self._online_ms = online_ms
        self._secret = secret
        self._nodes: dict[int, Node] = {}
        self._shunned_until_ms: dict[int, int] = {}
        self._promised: dict[int, int] = {}

    def renew(self, nodes: Iterable[Node]) -> None:
        """Know nodes as their rows say."""
        self._nodes = {node.seq: node for node in nodes}

    def get(self, seq: int) -> Node | None:
        """Find a node."""
        return self._nodes.get(seq)

    def put(self, node: Node) -> None:
        """Know a node as it is from now on."""
        self._nodes[node.seq] = node

    def is_online(self, node: Node, now_ms: int) -> bool:
        """Tell whether a node was seen lately, and can be reached as far as anybody knows."""
        return bool(node.url) and now_ms - node.last_seen_ms < self._online_ms

    def is_any_online(self, now_ms: int) -> bool:
        """Tell whether any node was seen lately; if none was, it may be that this server is cut off."""
        return any(self.is_online(node, now_ms) for node in self._nodes.values())

    def counts(self, seq: int) -> bool:
        """Tell whether what a node holds counts: not of one that is to lose it."""
        node = self._nodes.get(seq)
        return node is not None and node.state in (NodeState.ACTIVE, NodeState.PAUSED)

    def shun(self, seq: int, now_ms: int, for_s: float = SHUN_S) -> None:
        """Give a node nothing for some time."""
        self._shunned_until_ms[seq] = now_ms + int(for_s * 1000)

    def candidates(
        self, size: int, now_ms: int, without: set[int], hosts: set[str], record: float = 0
    ) -> list[Candidate]:
        """Name the nodes that may be given a buffer of a size; those at other hosts, if there are any.

        `record`: what they have at least.
        """
        found = [
            Candidate(node.seq, self._drawn_by(node), host_of(node), weight_of(node.capacity, node.record))
            for node in self._nodes.values()
            if node.seq not in without and node.record >= record and self._may_take(node, size, now_ms)
        ]
        return [candidate for candidate in found if candidate.host not in hosts] or found

    def _drawn_by(self, node: Node) -> bytes:
        return hashlib.blake2b(node.key, key=self._secret, digest_size=32).digest()

    def _may_take(self, node: Node, size: int, now_ms: int) -> bool:
        return (
            node.state is NodeState.ACTIVE
            and self.is_online(node, now_ms)
            and now_ms >= node.full_until_ms
            and now_ms >= self._shunned_until_ms.get(node.seq, 0)
            and node.used + self._promised.get(node.seq, 0) + size <= node.capacity
        )

    def promise(self, seq: int, size: int) -> None:
        """Count bytes that are on their way to a node; a negative number when they are no longer."""
        self._promised[seq] = self._promised.get(seq, 0) + size


def host_of(node: Node) -> str:
    """Tell at which host a node is."""
    return urlsplit(node.url).hostname or ""
