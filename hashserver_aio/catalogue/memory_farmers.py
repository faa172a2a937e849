"""Nodes that are forgotten with the process: for tests, and programs that want no file."""

from __future__ import annotations

from bisect import bisect_right, insort
from itertools import islice

from ..errors import LimitReached
from . import farmers
from .farmers import KEPT_SUBMISSIONS, PAGE, START, Farmer, FarmerTotals, Seen, Submission


class MemoryFarmers:
    """Nodes by address, and in the order of listings."""

    def __init__(self) -> None:
        self._farmers: dict[str, Farmer] = {}
        self._order: list[tuple[int, int, str]] = []
        self._submissions: dict[str, dict[int, Submission]] = {}

    def get(self, address: str) -> Farmer | None:
        """Tell of a node."""
        return self._farmers.get(address)

    async def add(self, address: str, payout_address: str, at_ms: int) -> bool:
        """Register a node. Raises: LimitReached."""
        if address in self._farmers:
            return False
        if len(self._farmers) >= farmers.MAX_FARMERS:
            raise LimitReached(f"{farmers.MAX_FARMERS} nodes have registered, and no more may")
        self._keep(Farmer(len(self._farmers) + 1, address, payout_address, at_ms, at_ms, 0, 0))
        return True

    async def see(self, address: str, seen: Seen) -> bool:
        """Note that a node lives, and its height."""
        node = self._farmers.get(address)
        if node is None:
            return False
        del self._order[bisect_right(self._order, _place(node)) - 1]
        self._keep(
            node._replace(
                online_ms=node.online_ms + min(max(seen.at_ms - node.last_seen_ms, 0), seen.online_ms),
                last_seen_ms=seen.at_ms,
                height=node.height if seen.height is None else seen.height,
            )
        )
        return True

    def _keep(self, node: Farmer) -> None:
        self._farmers[node.address] = node
        insort(self._order, _place(node))

    async def submit(self, address: str, submission: Submission) -> bool | None:
        """Keep an answer to a block."""
        if address not in self._farmers:
            return None
        kept = self._submissions.setdefault(address, {})
        if submission.block in kept:
            return False
        kept[submission.block] = submission
        if len(kept) > KEPT_SUBMISSIONS:
            del kept[min(kept.values(), key=lambda each: (each.at_ms, each.block)).block]
        return True

    def submissions(self, address: str) -> list[Submission]:
        """Give the answers of a node, in the order of blocks."""
        return sorted(self._submissions.get(address, {}).values())

    async def online(self, since_ms: int, after: tuple[int, int] = START) -> list[Farmer]:
        """Give the next page of those seen after a time."""
        height, seq = after
        begin = bisect_right(self._order, (-height, seq, "\x7f"))
        behind = (self._farmers[self._order[place][2]] for place in range(begin, len(self._order)))
        return list(islice((node for node in behind if node.last_seen_ms > since_ms), PAGE))

    async def totals(self, since_ms: int) -> FarmerTotals:
        """Count those seen after a time."""
        heights = [node.height for node in self._farmers.values() if node.last_seen_ms > since_ms]
        return FarmerTotals(len(heights), sum(heights))


def _place(node: Farmer) -> tuple[int, int, str]:
    return -node.height, node.seq, node.address
