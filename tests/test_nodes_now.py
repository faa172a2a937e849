"""Who may be given a buffer, and what chooses among them."""

from __future__ import annotations

from typing import Any

from hashserver_aio.catalogue.nodes import Node, NodeState
from hashserver_aio.checksums import Checksum
from hashserver_aio.fleet.nodes_now import NodesNow
from hashserver_aio.nodes.choosing import choose

from .clients import name

NOW_MS = 1_800_000_000_000


def node(seq: int, **more: Any) -> Node:
    """A node that may be given anything."""
    told = (seq, bytes([seq]) * 32, f"http://h{seq}:1", "", NodeState.ACTIVE, 10**9, 0, 0, 0.5, 0, 0, "", 0)
    return Node(*told, NOW_MS, NOW_MS, 1)._replace(**more)


def drawn(secret: bytes) -> list[int]:
    """Tell which nodes get the first buffers, under a secret."""
    now = NodesNow(900_000, secret)
    now.renew(map(node, range(1, 9)))
    candidates = now.candidates(1, NOW_MS, set(), set())
    return [choose(Checksum(name(bytes([each]))), candidates, 1)[0].node for each in range(64)]


def test_secret_choice() -> None:
    """Nobody without the server's secret can tell which node gets a buffer, whatever key it looks for."""
    one, other = drawn(b"1" * 32), drawn(b"2" * 32)
    assert one == drawn(b"1" * 32) and one != other
    assert sum(a == b for a, b in zip(one, other, strict=True)) < 32


def test_who_may() -> None:
    """A buffer goes to who is active, online, not full, not shunned, and has room; to other hosts first."""
    now = NodesNow(900_000, b"")
    others = [
        node(2, state=NodeState.PAUSED),
        node(3, last_seen_ms=NOW_MS - 900_000),
        node(4, full_until_ms=NOW_MS + 1),
        node(5, used=10**9),
        node(6, url=""),
        node(7),
        node(8),
    ]
    now.renew([node(1), *others])
    now.shun(7, NOW_MS)
    assert [each.node for each in now.candidates(1, NOW_MS, set(), set())] == [1, 8]
    assert [each.node for each in now.candidates(1, NOW_MS, set(), {"h1"})] == [8]
    assert [each.node for each in now.candidates(1, NOW_MS, {8}, {"h1"})] == [1]
    now.promise(1, 10**9)
    assert now.candidates(1, NOW_MS, {8}, set()) == []
