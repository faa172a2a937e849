"""Whether anybody is being served, and since when nobody is."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from ..counting import IN_PROGRESS, Counts
from .shared_numbers import SharedNumbers


class Activity:
    """Counts requests in progress; a transfer that takes an hour is one for an hour."""

    def __init__(self, counts: Counts) -> None:
        self.in_progress = 0
        self._row = counts.row
        self._served_s = memoryview(bytearray(8)).cast("d")
        self._served_s[0] = time.monotonic()
        self._settled: asyncio.Event | None = None

    def publish(self, served_s: memoryview[float]) -> None:
        """Before the first request: keep where others see it when somebody was last served.

        `served_s`: one number, in monotonic seconds; infinity while somebody is being served.
        """
        self._served_s = served_s

    def begin(self) -> None:
        """A request has arrived."""
        self.in_progress += 1
        self._row[IN_PROGRESS] = self.in_progress
        self._served_s[0] = math.inf

    def touch(self, now_s: float) -> None:
        """A request has arrived and is answered, in this moment of the monotonic clock."""
        if not self.in_progress:
            self._served_s[0] = now_s

    def end(self) -> None:
        """A request is answered."""
        self.in_progress -= 1
        self._row[IN_PROGRESS] = self.in_progress
        if not self.in_progress:
            self._served_s[0] = time.monotonic()
            if self._settled is not None:
                self._settled.set()

    @property
    def idle_s(self) -> float:
        """For how many seconds nobody has been served."""
        return _ago_s(self._served_s[0])

    async def settle(self, grace_s: float) -> None:
        """Wait until nobody is being served, at most for `grace_s`."""
        if self.in_progress:
            self._settled = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._settled.wait(), grace_s)


class SharedActivity:
    """What the `Activity` of each of several processes publishes; made before they are forked."""

    def __init__(self, count: int) -> None:
        self._served_s = SharedNumbers(count, time.monotonic())

    def of(self, process: int) -> memoryview[float]:
        """Give what one process is to publish in."""
        return self._served_s.of(process)

    def end(self, process: int) -> None:
        """A process died, and with it whatever it was serving."""
        served_s = self.of(process)
        served_s[0] = min(served_s[0], time.monotonic())

    @property
    def idle_s(self) -> float:
        """For how many seconds no process has served anybody."""
        return _ago_s(max(self._served_s.all()))


def _ago_s(served_s: float) -> float:
    """Tell how many seconds ago a moment was; 0 if it is still to come."""
    return max(0.0, time.monotonic() - served_s)


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
