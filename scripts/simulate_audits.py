#!/usr/bin/env python3
"""Simulate audits of many nodes: what a round costs, and how soon a loss is noticed; see docs/audits.rst.

Nothing is sent, and the clock is a number. Who is chosen, what is asked, how it is judged and when it is due
again are the server's own functions; costs are measured for one audit, on this machine, and multiplied.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import heapq
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple

from hashserver_aio.blocks import DEFAULT_BLOCK_BYTES, LEAF_BYTES, BlockDigester, Proof, prove
from hashserver_aio.checksums import Algorithm, Checksum
from hashserver_aio.nodes.audits import LEAVES_AGAIN, is_passed, make_challenge, packed
from hashserver_aio.nodes.choosing import Candidate, choose, weight_of
from hashserver_aio.nodes.keys import KeyPair
from hashserver_aio.nodes.messages import headers_for
from hashserver_aio.nodes.record import (
    DEAD_AT,
    FIRST,
    Failure,
    after_failing,
    after_passing,
    next_audit_s,
    strikes_for,
)

ALGORITHM = Algorithm.SHA3_256
KS = (1, 4, 8, 16)
SIZES = {"64 KiB": 2**16, "1 MiB": 2**20, "100 MiB": 100 * 2**20}
LOSSES = {"1 % of its placements": "placements", "1 % of the leaves of each": "leaves", "everything": "all"}
LOST = 0.01
HOUR_S = 3600.0
ROUNDS = 5
PATIENCE = 10
"""Rounds until all is as it stays, and rounds that a loss is followed for."""


class Told(NamedTuple):
    """A table, as it stands in the documentation."""

    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]

    def print(self) -> None:
        """Print it as a simple table of reStructuredText."""
        lines = [self.head, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.head))]
        rule = " ".join("=" * width for width in widths)
        texts = [
            " ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) for line in lines
        ]
        print(f"\n{self.title}\n", rule, texts[0].rstrip(), rule, sep="\n")
        print(*(text.rstrip() for text in texts[1:]), rule, sep="\n", flush=True)


def seconds(work: Callable[[], object], at_least_s: float = 0.3) -> float:
    """Measure the CPU seconds that a piece of work takes."""
    work()
    began, done = time.process_time(), 0
    while (spent := time.process_time() - began) < at_least_s:
        work()
        done += 1
    return spent / done


# -- what an audit costs ---------------------------------------------------------------------------------


def cost(size: int, k: int, audits: float) -> tuple[str, ...]:
    """Measure an audit of a buffer, and reckon what a round of so many takes."""
    content = random.Random(k).randbytes(size)
    digester = BlockDigester(ALGORITHM, DEFAULT_BLOCK_BYTES)
    digester.update(content)
    manifest = digester.finish()
    checksum = digester.checksum
    challenge = make_challenge(checksum, size, k)

    def answer() -> Iterator[Proof]:
        for leaf in challenge.leaves:
            first, length = manifest.block_of(leaf)
            proof = prove(manifest, leaf, content[first : first + length])
            assert proof is not None
            yield proof

    wire = packed(list(answer()))
    assert is_passed(challenge, ALGORITHM, manifest.root, wire)
    asked_s = seconds(lambda: make_challenge(checksum, size, k))
    checked_s = seconds(lambda: is_passed(challenge, ALGORITHM, manifest.root, wire))
    proved_s = seconds(lambda: list(answer()))
    each = (
        f"{asked_s * 1e3:.3f}",
        f"{checked_s * 1e3:.2f}",
        f"{len(wire) / 1024:.0f}",
        f"{proved_s * 1e3:.1f}",
    )
    return str(k), *each, f"{audits * (asked_s + checked_s):.0f}", f"{audits * len(wire) / 1e9:.0f}"


def costs(audits: float) -> None:
    """Tell what audits cost."""
    head = ("buffer", "k", "ask, ms", "check, ms", "KiB", "node, ms", "round, s", "round, GB")
    rows = [(name, *cost(size, k, audits)) for name, size in SIZES.items() for k in KS]
    Told(f"An audit, and a round of {audits:,.0f} of them", head, rows).print()
    pair, numbers = KeyPair.make(), count(1)
    path, query = f"/api/node/buffers/{'ab' * 32}/proofs", "leaves=1,2,3,4,5,6,7,8"
    signed_s = seconds(lambda: headers_for(pair, pair.public, "GET", path, query, next(numbers), 1.8e9, None))
    print(f"\nTo sign a challenge takes {signed_s * 1e3:.2f} ms; {audits * signed_s:,.0f} s a round.")


def choices(nodes: int, placements: int) -> None:
    """Tell what it takes to choose nodes for all buffers, once."""
    weight = weight_of(2**40, FIRST)
    candidates = [Candidate(n, hashlib.sha256(b"%d" % n).digest(), f"host-{n}", weight) for n in range(nodes)]
    names = map(name_of, count())
    chosen_s = seconds(lambda: choose(next(names), candidates, 3), 2)
    print(f"\nTo choose 3 of {nodes:,} nodes takes {chosen_s * 1e3:.1f} ms;", end=" ")
    print(f"{placements / 3 * chosen_s / HOUR_S:.1f} hours for {placements:,} placements, once.")


def name_of(number: int) -> Checksum:
    """Name a buffer."""
    return Checksum(hashlib.sha3_256(b"%d" % number).hexdigest())


# -- nodes in time ---------------------------------------------------------------------------------------


@dataclass
class Placement:
    """A buffer on a node: what leaves of it are lost, or all."""

    lost: frozenset[int] = frozenset()
    is_gone: bool = False
    strikes: int = 0
    is_dead: bool = False

    @property
    def is_damaged(self) -> bool:
        """Tell whether anything is lost of it."""
        return self.is_gone or bool(self.lost)

    def fails(self, size: int, k: int) -> Failure | None:
        """Audit it."""
        if self.is_gone:
            return Failure.MISSING
        if not self.lost:
            return None
        challenge = make_challenge(name_of(0), size, LEAVES_AGAIN if self.strikes else k)
        return None if self.lost.isdisjoint(challenge.leaves) else Failure.WRONG


@dataclass
class Node:
    """A node, and when its placements are due: (seconds, number)."""

    due: list[tuple[float, int]]
    record: float = FIRST
    placements: list[Placement] = field(default_factory=list)

    def audit(self, interval_s: float, chance: float, failure: Failure | None, strikes: int) -> None:
        """Judge what is due next, and say when it is due again."""
        now_s, number = self.due[0]
        self.record = after_passing(self.record) if failure is None else after_failing(self.record, failure)
        due_s = now_s + next_audit_s(interval_s, self.record, strikes, chance)
        heapq.heapreplace(self.due, (due_s, number))


def fleet(nodes: int, placements: int, interval_s: float, rng: random.Random) -> list[Node]:
    """Give nodes their placements, at random as `choose` does, in the first interval."""
    made = [Node([]) for _ in range(nodes)]
    for _ in range(placements):
        node = made[rng.randrange(nodes)]
        placed_s = rng.random() * interval_s
        node.due.append((placed_s + next_audit_s(interval_s, FIRST, 0, rng.random()), len(node.due)))
    for node in made:
        heapq.heapify(node.due)
    return made


def rounds(nodes: Sequence[Node], interval_s: float, rng: random.Random) -> float:
    """Audit honest nodes for some rounds; tell how many audits the last one had."""
    counted = [0] * ROUNDS
    for node in nodes:
        while node.due and node.due[0][0] < ROUNDS * interval_s:
            counted[int(node.due[0][0] / interval_s)] += 1
            node.audit(interval_s, rng.random(), None, 0)
    placements = sum(len(node.due) for node in nodes)
    shown = ", ".join(f"{number:,}" for number in counted)
    print(f"\nAudits a round, of {placements:,} placements on {len(nodes):,} nodes that are new: {shown}")
    print(f"{counted[-1] / interval_s:.1f} a second in the last one.")
    return counted[-1]


def some(total: int, rng: random.Random) -> frozenset[int]:
    """Lose 1 % of so many things, at random; less than one of them by chance."""
    exact = total * LOST
    return frozenset(rng.sample(range(total), int(exact) + (rng.random() < exact % 1)))


def damaged(node: Node, size: int, loss: str, rng: random.Random) -> Node:
    """Have a node lose something; at least something of one placement."""
    leaves = -(-size // LEAF_BYTES)
    while True:
        placements = [Placement() for _ in node.due]
        if loss == "leaves":
            placements = [Placement(lost=some(leaves, rng)) for _ in node.due]
        for number in some(len(node.due), rng) if loss == "placements" else ():
            placements[number].is_gone = True
        if loss == "all":
            placements = [Placement(is_gone=True) for _ in node.due]
        if any(placement.is_damaged for placement in placements):
            return Node(list(node.due), node.record, placements)


class Found(NamedTuple):
    """When the first failure came, and when the last damaged placement was dead; None: not in time."""

    first_s: float | None
    all_s: float | None
    dead: float


def found(node: Node, size: int, k: int, interval_s: float, rng: random.Random) -> Found:
    """Audit a node that lost something until all of that is replaced, or for some rounds."""
    began_s = ROUNDS * interval_s
    first_s = all_s = None
    left = total = sum(placement.is_damaged for placement in node.placements)
    while left and node.due[0][0] < began_s + PATIENCE * interval_s:
        now_s, number = node.due[0]
        placement = node.placements[number]
        failure = placement.fails(size, k)
        placement.strikes = 0 if failure is None else min(DEAD_AT, placement.strikes + strikes_for(failure))
        node.audit(interval_s, rng.random(), failure, placement.strikes)
        if failure is not None and first_s is None:
            first_s = now_s - began_s
        if placement.strikes == DEAD_AT and not placement.is_dead:
            placement.is_dead = True
            left -= 1
            all_s = now_s - began_s if not left else None
    return Found(first_s, all_s, 1 - left / total)


def hours(times: Sequence[float | None], share: float) -> str:
    """Tell what so many of these times are within."""
    ordered = sorted(float("inf") if each is None else each for each in times)
    value = ordered[min(len(ordered) - 1, int(share * len(ordered)))] / HOUR_S
    return "later" if value == float("inf") else f"{value:.1f}"


def detections(nodes: Sequence[Node], interval_s: float, rng: random.Random) -> None:
    """Tell how soon a loss is noticed."""
    head = ("lost", "buffers", "k", "noticed: half", "95 %", "replaced: half", "95 %", "share replaced")
    rows: list[tuple[str, ...]] = []
    for title, loss in LOSSES.items():
        for name, size in SIZES.items() if loss == "leaves" else [("any", 2**20)]:
            for k in KS if loss == "leaves" else KS[:1]:
                results = [found(damaged(each, size, loss, rng), size, k, interval_s, rng) for each in nodes]
                first, whole = [each.first_s for each in results], [each.all_s for each in results]
                times = [hours(some, share) for some in (first, whole) for share in (0.5, 0.95)]
                share = statistics.mean(each.dead for each in results)
                rows.append((title, name, str(k) if loss == "leaves" else "any", *times, f"{share:.0%}"))
    title = f"Hours until a loss is noticed, and until all of it is replaced; {len(nodes)} nodes a line,"
    title += f" for {PATIENCE} rounds"
    Told(title, head, rows).print()


def main() -> None:
    """Simulate all of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--placements", type=int, default=1_000_000)
    parser.add_argument("--interval-hours", type=float, default=24.0)
    parser.add_argument("--samples", type=int, default=200, help="nodes that lose something, a line")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng, interval_s = random.Random(options.seed), options.interval_hours * HOUR_S
    nodes = fleet(options.nodes, options.placements, interval_s, rng)
    audits = rounds(nodes, interval_s, rng)
    gc.freeze()  # or what is measured pays for looking through a million placements
    costs(audits)
    choices(options.nodes, options.placements)
    detections([node for node in nodes if node.due][: options.samples], interval_s, rng)


if __name__ == "__main__":
    main()
