"""The scrub: over and over, slowly, every stored file is hashed, so that rot is found before it is asked for.

Of all servers of a directory one at a time scrubs; when it ends, another one goes on where it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path

from .catalogue import Catalogue
from .errors import HashserverError
from .inspecting import Findings, Inspection, Throttle, noted
from .store import Store
from .turns import turn
from .verifying import Verifier

log = logging.getLogger(__name__)

NOTE = "scrub"
PASSES_NOTE = "scrub passes"

TURN_WAIT_S = 30.0
"""How soon another server goes on after the one that scrubbed has ended."""

REST_S = 60.0
"""What lies between two passes at least: a store of three small files is not to be read all day."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the scrub of a store is, whichever server does it; some seconds old.

    `found`: in the pass under way, nothing between two. `passes`: that were completed, the last one
    at `ended_s` (seconds since the epoch; 0 if none was).
    """

    found: Findings
    passes: int = 0
    ended_s: float = 0.0


def progress_of(catalogue: Catalogue) -> Progress:
    """Read how far the scrub is."""
    under_way = noted(catalogue, NOTE)
    found = under_way[2] if under_way else Findings()
    try:
        passes, ended_s = json.loads(catalogue.note(PASSES_NOTE))
        return Progress(found, int(passes), float(ended_s))
    except (ValueError, TypeError):  # none was completed
        return Progress(found)


class Scrub:
    """Goes through a store for as long as the server runs."""

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        verifier: Verifier,
        *,
        directory: Path,
        bytes_per_s: float,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._verifier = verifier
        self._directory = directory
        self._bytes_per_s = bytes_per_s

    async def run(self) -> None:
        """Scrub until cancelled."""
        while True:
            try:
                with turn(self._directory) as is_ours:
                    while is_ours:
                        await self._pass()
            except Exception:  # the disk was unmounted, ..: it is to go on when that is over
                log.exception("the scrub can't go on now")
            await asyncio.sleep(TURN_WAIT_S)

    async def _pass(self) -> None:
        began_s = time.monotonic()
        pace = Throttle(self._bytes_per_s)
        inspection = Inspection(
            self._store, self._catalogue, note=NOTE, everything=True, verifier=self._verifier, pace=pace
        )
        found = await inspection.run(lambda _: None)
        taken_s = time.monotonic() - began_s
        level = logging.ERROR if found.bad or found.unreadable else logging.INFO
        log.log(
            level,
            "scrubbed %d files, %d bytes, in %.0f s: %d corrupt, %d unreadable",
            found.good + found.bad,
            found.size,
            taken_s,
            found.bad,
            found.unreadable,
        )
        await self._note_pass()
        await asyncio.sleep(REST_S)

    async def _note_pass(self) -> None:
        passes = progress_of(self._catalogue).passes + 1
        with contextlib.suppress(HashserverError):  # then one is missing from the numbers
            await self._catalogue.keep_note(PASSES_NOTE, json.dumps([passes, time.time()]))
