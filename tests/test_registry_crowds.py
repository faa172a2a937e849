"""What the registry tells when many ask at once: nobody makes the others wait."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from hashserver_aio.catalogue import memory_farmers
from hashserver_aio.catalogue.farmers import FarmerTotals, Seen
from hashserver_aio.catalogue.memory_farmers import MemoryFarmers
from hashserver_aio.errors import StoreFailed
from hashserver_aio.farmers import Registry
from hashserver_aio.settings import FarmerRules

NOW_S = 1_795_309_200.0


class SlowFarmers(MemoryFarmers):
    """Nodes that are counted only once they may be; tells how often that was."""

    def __init__(self) -> None:
        super().__init__()
        self.may_count = asyncio.Event()
        self.is_broken = False
        self.counts = 0

    async def totals(self, since_ms: int) -> FarmerTotals:
        """Count what is there when that begins."""
        self.counts += 1
        found = await super().totals(since_ms)
        await self.may_count.wait()
        if self.is_broken:
            raise StoreFailed("it can't be read")
        return found


async def crowded() -> tuple[SlowFarmers, Registry]:
    """Make a registry of some nodes, whose clock stands."""
    rows = SlowFarmers()
    for number in range(30):
        await rows.add(f"node {number}", "payout", int(NOW_S * 1000))
    return rows, Registry(rows, FarmerRules(), clock=lambda: NOW_S)


async def test_listings_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many list, one page is given in a round of the event loop: others are served in between."""
    monkeypatch.setattr(memory_farmers, "PAGE", 3)
    _, registry = await crowded()
    rounds, given = 0, Counter[int]()

    async def count() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            await asyncio.sleep(0)

    async def listed() -> list[str]:
        found = []
        async for page in registry.online():
            given[rounds] += 1
            found += [node.address for node in page]
        return found

    counting = asyncio.create_task(count())
    listings = await asyncio.gather(*(listed() for _ in range(20)))
    counting.cancel()
    assert listings == [[f"node {number}" for number in range(30)]] * 20
    assert given.total() == 200 and set(given.values()) == {1}


async def test_counts_are_shared() -> None:
    """Who asks while others are counted for is told what one count finds that begins after he asked."""
    rows, registry = await crowded()
    first = asyncio.create_task(registry.totals())
    await asyncio.sleep(0)
    await rows.see("node 1", Seen(int(NOW_S * 1000), 1, 7))
    others = [asyncio.create_task(registry.totals()) for _ in range(50)]
    await asyncio.sleep(0)
    rows.may_count.set()
    assert await first == (30, 0)
    assert await asyncio.gather(*others) == [(30, 7)] * 50
    assert rows.counts == 2
    assert await registry.totals() == (30, 7) and rows.counts == 3


async def test_failed_count() -> None:
    """A count that fails is shared with nobody: the next one counts again."""
    rows, registry = await crowded()
    rows.may_count.set()
    assert await registry.totals() == (30, 0)
    rows.may_count.clear()
    rows.is_broken = True
    asking = [asyncio.create_task(registry.totals()) for _ in range(3)]
    await asyncio.sleep(0)
    rows.may_count.set()
    assert all(
        isinstance(outcome, StoreFailed) for outcome in await asyncio.gather(*asking, return_exceptions=True)
    )
    rows.is_broken = False
    assert await registry.totals() == (30, 0)
