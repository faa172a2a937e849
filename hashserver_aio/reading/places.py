"""Places to read at: there are so many, and a client that takes nothing keeps none that another one wants."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..errors import Busy

SLOW_S = 10.0
"""Who has not taken a batch (64 KiB) for so long loses the place, if it is wanted."""

log = logging.getLogger(__name__)


class Place:
    """Where one buffer is read; `hang_up` ends it, without waiting for the client."""

    def __init__(self, hang_up: Callable[[], None]) -> None:
        self.hang_up = hang_up
        self._offered_s = math.inf

    def offer(self) -> None:
        """Note that it is the client's turn, to take a batch."""
        self._offered_s = time.monotonic()

    def taken(self) -> None:
        """Note that it is not: however long reading takes, that is not the client's fault."""
        self._offered_s = math.inf

    @property
    def idle_s(self) -> float:
        """Tell for how long the client has not taken what was offered."""
        return time.monotonic() - self._offered_s


class Places:
    """All of one server."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._places: set[Place] = set()

    def __len__(self) -> int:
        return len(self._places)

    def slowest(self) -> Place | None:
        """Find the place of the client that has taken nothing for the longest time."""
        return max(self._places, key=lambda place: place.idle_s, default=None)

    @contextmanager
    def take(self, hang_up: Callable[[], None]) -> Iterator[Place]:
        """Have a place; if there is none, that of the client that has taken nothing for the longest time.

        Raises: Busy, if there is no such client either.
        """
        if len(self._places) >= self.most:
            self._free_one()
        place = Place(hang_up)
        self._places.add(place)
        try:
            yield place
        finally:
            self._places.discard(place)

    def _free_one(self) -> None:
        """Raises: Busy."""
        slowest = self.slowest()
        if slowest is None or slowest.idle_s < SLOW_S:
            raise Busy(f"{self.most} buffers are being read already; try again")
        log.info("a reading is cut off: its client took nothing for %.0f s, and others wait", slowest.idle_s)
        self._places.discard(slowest)  # it is gone in a moment
        slowest.hang_up()
