"""What keeps buffers on nodes, as long as a server runs."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from pathlib import Path
from typing import Any, cast

import pytest

from hashserver_aio.catalogue.placements import Placed, Placement
from hashserver_aio.errors import StoreFailed
from hashserver_aio.fleet import Links, keeping
from hashserver_aio.fleet.keeping import Keeper
from hashserver_aio.fleet.timing import Timing
from hashserver_aio.nodes.messages import Numbers
from hashserver_aio.server.keys import BUFFERS, MANIFESTS
from hashserver_aio.settings import NodeRules

from .held_nodes import LISTED
from .rescues import PAIR, serving


class Broken:
    """Rows of which some can't be read; how many wait for each others."""

    def __init__(self) -> None:
        self.now = Counter[str]()
        self.looks = 0

    async def hasten(self, now_ms: int, within_ms: int) -> None:
        """Do nothing."""

    async def due(self, now_ms: int) -> list[Placed]:
        """Fail, a moment after others were asked."""
        await asyncio.sleep(0)
        self.looks += 1
        raise StoreFailed("the disk is away")

    async def audits_due(self, now_ms: int) -> list[Placement]:
        """Take for ever."""
        self.now["audits"] += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.now["audits"] -= 1
        return []


@pytest.mark.timeout(20)
async def test_goes_on(directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When something fails all of it ends before it begins anew: nothing is ever done by two at a time."""
    monkeypatch.setattr(keeping, "TURN_WAIT_S", 0.001)
    monkeypatch.setattr(logging.getLogger(keeping.__name__), "disabled", True)
    lock = tmp_path / "lock"
    lock.touch()
    async with serving(directory) as server:
        links, timing = Links(PAIR, LISTED, Numbers()), Timing(NodeRules())
        keeper = Keeper(server.app[BUFFERS], server.app[MANIFESTS], links, timing, lock, b"")
        rows = Broken()
        keeper._rows = cast(Any, rows)
        running = asyncio.create_task(keeper.run())
        while rows.looks < 5:
            assert rows.now["audits"] <= 1
            await asyncio.sleep(0.001)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert rows.now["audits"] == 0
