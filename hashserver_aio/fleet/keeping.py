"""Keeping: as long as a server runs, buffers are placed, audited and placed again.

Of all processes and servers of a directory one at a time does it; when it ends, another one goes on.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from ..buffers import Buffers
from ..catalogue.placements import Placed, Placement
from ..manifests import Manifests
from ..turns import turn
from . import auditing, placing
from .auditing import Auditing
from .crew import Crew
from .links import Links
from .nodes_now import NodesNow
from .placing import Placing
from .timing import Timing
from .waking import Wakefulness

log = logging.getLogger(__name__)

TURN_WAIT_S = 5.0
"""How soon another process goes on after the one that had the turn has ended, or failed."""

REST_S = 1.0
MIN_REST_S = 0.05
"""What lies between two looks at what is due, where nothing was; less where audits are frequent."""


class Keeper:
    """Looks after the buffers on nodes, of one server."""

    def __init__(
        self, buffers: Buffers, manifests: Manifests, links: Links, timing: Timing, lock: Path, secret: bytes
    ) -> None:
        """`lock`: a file that stands for the turn; who shares these nodes shares it, and the `secret`."""
        self._rows = buffers.catalogue.nodes
        self._timing = timing
        self._lock = lock
        self._now = NodesNow(timing.online_ms, secret)
        self._placing = Placing(buffers, manifests, links, self._now, timing)
        algorithm = buffers.store.format.algorithm
        self._waking = Wakefulness(timing.rules.online_s)
        is_awake = self._waking.is_awake
        self._auditing = Auditing(self._rows, algorithm, links, self._now, timing, is_awake)

    async def run(self) -> None:
        """Keep until cancelled."""
        while True:
            try:
                with turn(self._lock) as is_ours:
                    if is_ours:
                        await self._keep()
            except Exception:  # the disk was unmounted, ..: it is to go on when that is over
                log.exception("nodes can't be looked after now")
            await asyncio.sleep(TURN_WAIT_S)

    async def _keep(self) -> None:
        """Do all of it, until one part fails: then the others end, too, before the turn does."""
        interval_ms = int(self._timing.rules.audit_interval_s * 1000)
        await self._rows.hasten(self._timing.now_ms, interval_ms)
        async with asyncio.TaskGroup() as group:
            for part in (self._place(), self._audit(), self._waking.beat()):
                group.create_task(part)

    async def _place(self) -> None:
        crew = Crew(self._placing.look_after, lambda placed: placed.checksum, placing.AT_ONCE)
        await crew.run(self._to_place, self._rest_s)

    async def _audit(self) -> None:
        crew = Crew(self._auditing.look_after, lambda each: (each.checksum, each.node), auditing.AT_ONCE)
        await crew.run(self._to_audit, self._rest_s)

    @property
    def _rest_s(self) -> float:
        return max(MIN_REST_S, min(REST_S, self._timing.rules.audit_interval_s / 50))

    async def _to_place(self) -> list[Placed]:
        replicas, now_ms = self._timing.rules.replicas, self._timing.now_ms
        if replicas:
            await self._rows.want_arrivals(replicas, now_ms)
        due = await self._rows.due(now_ms)
        if due:
            self._now.renew(await self._rows.all())
        return due

    async def _to_audit(self) -> list[Placement]:
        due = await self._rows.audits_due(self._timing.now_ms)
        if due:
            self._now.renew(await self._rows.all())
        return due
