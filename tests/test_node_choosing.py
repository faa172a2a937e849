"""Which nodes get a buffer: each its share, and as little moves as can be."""

from __future__ import annotations

import hashlib
import math
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashserver_aio.checksums import Checksum
from hashserver_aio.nodes.choosing import MAX_WEIGHED_BYTES, Candidate, choose, weight_of

REPLICAS = 3

KNOWN = [[1, 4, 8], [15, 4, 2], [9, 14, 8], [8, 9, 1]]


def checksum(number: int) -> Checksum:
    """Name a buffer."""
    return Checksum(hashlib.sha3_256(number.to_bytes(8, "big")).hexdigest())


def candidate(number: int, weight: float = 1.0, host: str | None = None) -> Candidate:
    """Make a candidate, on a host of its own."""
    key = hashlib.sha256(b"node" + number.to_bytes(8, "big")).digest()
    return Candidate(number, key, host or f"host-{number}", weight)


def chosen(number: int, candidates: list[Candidate], count: int = REPLICAS) -> list[int]:
    """Choose nodes for a buffer, by their numbers."""
    return [each.node for each in choose(checksum(number), candidates, count)]


def test_known_choices() -> None:
    """Choices stay the same from release to release: others would move everything."""
    candidates = [candidate(number, 1.0 + number % 3) for number in range(20)]
    assert [chosen(number, candidates) for number in range(4)] == KNOWN


@pytest.mark.parametrize(
    ("buffers", "nodes", "weight"), [(100_000, 12, 1.0), (20_000, 40, 1.0), (20_000, 12, 3.0)]
)
def test_joining(buffers: int, nodes: int, weight: float) -> None:
    """A node that joins gets its share, and nothing else moves.

    Its share: that it is among the three that are drawn, by weight, one after the other. Where all weigh the
    same it is 3/n of the buffers, and 1/n of the placements.
    """
    before = [candidate(number) for number in range(nodes - 1)]
    after = [*before, candidate(nodes, weight)]
    moved = 0
    for number in range(buffers):
        old, new = chosen(number, before), chosen(number, after)
        if old != new:
            assert nodes in new and [node for node in new if node != nodes] == old[:-1]
            moved += 1
    share = 1 - math.prod(1 - weight / (weight + nodes - 1 - taken) for taken in range(REPLICAS))
    deviation = math.sqrt(buffers * share * (1 - share))
    assert abs(moved - buffers * share) < 5 * deviation
    if weight == 1.0:
        assert share == pytest.approx(REPLICAS / nodes)  # of three times as many placements: 1/n


@settings(deadline=None)
@given(st.integers(0), st.sets(st.integers(0, 1000), min_size=1, max_size=30), st.integers(0, 6), st.data())
def test_leaving(number: int, nodes: set[int], count: int, data: st.DataObject) -> None:
    """When a node leaves, the rest stays where it is, and the next in line is added; order plays no part."""
    candidates = [candidate(node) for node in data.draw(st.permutations(sorted(nodes)))]
    number %= 2**64
    before = chosen(number, candidates, count)
    assert before == chosen(number, sorted(candidates), count)
    assert len(before) == len(set(before)) == min(count, len(nodes))
    gone = data.draw(st.sampled_from(sorted(nodes)))
    after = chosen(number, [each for each in candidates if each.node != gone], count)
    assert [node for node in before if node != gone] == after[: len(before) - (gone in before)]


def test_weights() -> None:
    """A node is the first choice of as many buffers as its part in the sum of weights."""
    weights = [1.0, 2.0, 4.0, 8.0, 0.0]
    candidates = [candidate(number, weight) for number, weight in enumerate(weights)]
    counted = Counter(chosen(number, candidates, 1)[0] for number in range(15_000))
    for node, weight in enumerate(weights):
        share = weight / 15
        assert abs(counted[node] - 15_000 * share) <= 5 * math.sqrt(15_000 * share * (1 - share))


def test_nothing_for_no_weight() -> None:
    """Who weighs nothing gets nothing, even if there is nobody else."""
    assert chosen(1, [candidate(1, 0.0), candidate(2, -1.0)]) == []
    assert chosen(1, []) == [] and chosen(1, [candidate(1)], 0) == [] and chosen(1, [candidate(1)], -1) == []


@settings(deadline=None)
@given(st.integers(0, 2**64 - 1), st.lists(st.integers(0, 4), max_size=12), st.integers(0, 8))
def test_hosts(number: int, hosts: list[int], count: int) -> None:
    """Replicas are on as many hosts as there are, the best node of each; only then on the same again."""
    candidates = [candidate(node, host=f"host-{host}") for node, host in enumerate(hosts)]
    found = choose(checksum(number), candidates, count)
    assert len(set(found)) == len(found) == min(count, len(hosts))
    first = [each.host for each in found[: len(set(hosts))]]
    assert len(set(first)) == len(first)
    order = [
        each.node for each in choose(checksum(number), [c._replace(host=str(c.node)) for c in candidates], 99)
    ]
    for host in set(first):
        mine = [node for node in order if hosts[node] == int(host[5:])]
        assert [each.node for each in found if each.host == host] == mine[
            : sum(e.host == host for e in found)
        ]


def test_weight_of() -> None:
    """What a node claims weighs as much as its record, and only up to what can be believed."""
    assert weight_of(2**40, 0.5) == 2 * weight_of(2**39, 0.5) == 2 * weight_of(2**40, 0.25) == 512.0
    assert weight_of(2**63, 1.0) == weight_of(MAX_WEIGHED_BYTES, 1.0)
    assert weight_of(0, 1.0) == weight_of(-1, 1.0) == weight_of(2**40, 0.0) == 0.0


def test_draws_are_even() -> None:
    """Which nodes come together is chance: each pair as often as any other."""
    candidates = [candidate(number) for number in range(6)]
    random.Random(1).shuffle(candidates)
    pairs = Counter(frozenset(chosen(number, candidates, 2)) for number in range(9000))
    assert len(pairs) == 15
    assert all(abs(count - 600) < 5 * math.sqrt(600) for count in pairs.values())
