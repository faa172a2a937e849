"""Whether anybody is being served, and since when nobody is."""

from __future__ import annotations

import asyncio
import contextlib
import time

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware


class Activity:
    """Counts requests in progress; a transfer that takes an hour is one for an hour."""

    def __init__(self) -> None:
        self.in_progress = 0
        self._last_s = time.monotonic()
        self._settled: asyncio.Event | None = None

    def begin(self) -> None:
        """A request has arrived."""
        self.in_progress += 1

    def touch(self) -> None:
        """A request has arrived and is answered."""
        self._last_s = time.monotonic()

    def end(self) -> None:
        """A request is answered."""
        self.in_progress -= 1
        if self._settled is not None and not self.in_progress:
            self._settled.set()
        self._last_s = time.monotonic()

    @property
    def idle_s(self) -> float:
        """For how many seconds nobody has been served."""
        return 0.0 if self.in_progress else time.monotonic() - self._last_s

    async def settle(self, grace_s: float) -> None:
        """Wait until nobody is being served, at most for `grace_s`."""
        if self.in_progress:
            self._settled = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._settled.wait(), grace_s)


def counting(activity: Activity) -> Middleware:
    """Make the middleware that counts."""

    @web.middleware
    async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
        activity.begin()
        try:
            return await handler(request)
        finally:
            activity.end()

    return count
