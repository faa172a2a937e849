"""Whether this server has been awake for long enough to judge who is silent.

Nodes tell that they live; who was not there to hear it, as it was off, asleep, stopped or overloaded, knows
nothing of them until they had the time to tell it again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

BEAT_S = 1.0

GAP_S = 5.0
"""A beat that comes so much too late, by either clock, was missed. The time of day goes on while a machine
sleeps, and jumps when it is set."""


class Wakefulness:
    """Notices when this process was not there; it is awake again after `settling_s`."""

    def __init__(
        self,
        settling_s: float,
        *,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` tells the seconds since 1970, `ticks` those of a clock that nobody sets."""
        self._settling_s = settling_s
        self._clock = clock
        self._ticks = ticks
        self._last = self._now()
        self._since_s = self._last[0]

    def _now(self) -> tuple[float, float]:
        return self._ticks(), self._clock()

    def is_awake(self) -> bool:
        """Tell whether nodes had the time to be heard since this process was last away."""
        before, self._last = self._last, self._now()
        gaps = [abs(now - then) for now, then in zip(self._last, before, strict=True)]
        if max(gaps) > BEAT_S + GAP_S:
            self._since_s = self._last[0]
        return self._last[0] - self._since_s >= self._settling_s

    async def beat(self) -> None:
        """Look at the clocks all the time."""
        while True:
            await asyncio.sleep(BEAT_S)
            self.is_awake()
