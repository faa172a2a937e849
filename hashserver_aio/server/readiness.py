"""Whether requests should be sent here: the store and the catalogue can be used, and the end has not begun.

A full disk is no reason not to: what is held can be read, and whoever writes is told.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from ..buffers import Buffers
from ..catalogue import Catalogue

log = logging.getLogger(__name__)

PATIENCE_S = 5.0
"""What takes longer than this can't be used. A disk of the network may never answer at all."""

FRESH_S = 0.5
"""However many ask, there is one look in this time, and never a second one beside it."""

STOPPING = "the server is stopping"
TOO_SLOW = f"the disk or the catalogue has not answered for {PATIENCE_S:g} s"


class Readiness:
    """Looks at the store and the catalogue when somebody asks."""

    def __init__(self, buffers: Buffers, catalogue: Catalogue) -> None:
        self._buffers = buffers
        self._catalogue = catalogue
        self._looking: asyncio.Task[str | None] | None = None
        self._began_s = 0.0
        self._noted: str | None = None

    async def why_not(self) -> str | None:
        """Tell in a sentence why no requests should be sent here; None if they may be."""
        if self._buffers.is_closed:
            return STOPPING
        now_s = time.monotonic()
        if self._looking is None or (self._looking.done() and now_s - self._began_s >= FRESH_S):
            self._looking, self._began_s = asyncio.create_task(self._look()), now_s
        look = self._looking
        await asyncio.wait((look,), timeout=max(0.0, self._began_s + PATIENCE_S - now_s))
        if not look.done():
            why: str | None = TOO_SLOW
        else:
            why = STOPPING if look.cancelled() else look.result()
        self._note(why)
        return why

    async def _look(self) -> str | None:
        return await _apart(self._buffers.store.why_unusable) or await self._catalogue.why_unusable()

    def _note(self, why: str | None) -> None:
        """Log what changed, and not every second the same."""
        if why != self._noted:
            log.log(logging.ERROR if why else logging.WARNING, "ready: %s", why or "again")
            self._noted = why

    def close(self) -> None:
        """Wait for no look any longer."""
        if self._looking is not None:
            self._looking.cancel()


async def _apart(function: Callable[[], str | None]) -> str | None:
    """Call a function in a thread that nobody waits for at the end: it may hang for ever."""
    job: Future[str | None] = Future()
    job.set_running_or_notify_cancel()  # it can't be cancelled from now on

    def call() -> None:
        try:
            job.set_result(function())
        except Exception as error:
            job.set_exception(error)

    threading.Thread(target=call, name="ready", daemon=True).start()
    return await asyncio.wrap_future(job)
