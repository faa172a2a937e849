"""Suspicions: a node that failed when a buffer was needed from it is audited at once."""

from __future__ import annotations

import asyncio
import logging

from ..catalogue.nodes import Nodes
from ..checksums import Checksum
from ..errors import HashserverError
from ..nodes.record import Failure
from .timing import Timing

log = logging.getLogger(__name__)

MAX_UNDER_WAY = 1_000
"""What is suspected beyond it is audited when its time comes."""


class Suspicions:
    """Has placements audited; any process of a server may have them, but only one judges."""

    def __init__(self, rows: Nodes, timing: Timing) -> None:
        self._rows = rows
        self._timing = timing
        self._tasks = set[asyncio.Task[None]]()

    def tell(self, checksum: Checksum, node: int, failure: Failure) -> None:
        """Suspect a node of not having a buffer."""
        log.warning("node %d fails to give %s: %s", node, checksum, failure)
        if len(self._tasks) < MAX_UNDER_WAY:
            task = asyncio.create_task(self._audit(checksum, node))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _audit(self, checksum: Checksum, node: int) -> None:
        now_ms = self._timing.now_ms
        try:
            found = [each for each in self._rows.placements(checksum) if each.node == node]
            # What failed an audit is audited soon anyway: else whoever asks often would have it given up.
            if any(each.due_ms > now_ms and not each.strikes for each in found):
                await self._rows.audit_at(checksum, node, now_ms)
        except HashserverError as error:
            log.warning("%s", error)

    async def close(self) -> None:
        """Wait for what is being noted."""
        await asyncio.gather(*self._tasks)
