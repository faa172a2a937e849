"""Telling the server that this node lives, for as long as it does; and again where it is, if it has to be.

Whatever goes wrong, the node holds what it has, and tries again.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from ..errors import BadAnswer, HashserverError
from .calls import about
from .meeting import Node

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 1.0
MAX_PAUSE_S = 120.0
"""Pauses double from the one to the other, give or take a half, so that not all nodes come back at once."""

PING_BOUNDS_S = (1.0, 3600.0)
"""Whatever a server says, a node pings no more often, and no more seldom."""

AGAIN = frozenset({401, 403, 404, 409})
"""What a server answers that does not know this node, or not at its URL, or that became another one."""


class Pinging:
    """Registers a node, and pings."""

    def __init__(
        self, node: Node, public_url: str, payout_address: str, capacity: Callable[[], Awaitable[int]]
    ) -> None:
        """`capacity`: tells how many bytes this node may hold, those held among them."""
        self._calls = node.calls
        self._pin = node.pin
        self._public_url = public_url
        self._payout_address = payout_address
        self._capacity = capacity
        self._is_registered = False
        self._failures = 0
        self._noted = node.missed

    async def run(self) -> None:
        """Go on until cancelled."""
        pause_s = 0.0
        while True:
            await asyncio.sleep(pause_s)
            pause_s = await self._turn()

    async def _turn(self) -> float:
        """Say what is to be said now: in how many seconds to say something again."""
        try:
            if not self._is_registered:
                await self._register()
            pause_s = await self._ping()
        except (HashserverError, OSError) as error:
            return self._failed(str(error))
        except Exception as error:  # to end here would be to be dead for the server
            log.exception("pinging failed")
            return self._failed(repr(error))
        if self._noted:
            log.warning("the server at %s hears this node again", self._calls.url)
        self._failures, self._noted = 0, ""
        return pause_s

    async def _register(self) -> None:
        """Say where this node is, if it still is the same server. Raises: ServerUnreachable, BadAnswer."""
        url, capacity = self._calls.url, await self._capacity()
        server = await about(url)
        if server != self._calls.server:
            raise BadAnswer(
                f"the server at {url} is another one, {server.key.hex()}; if that is meant to be so, remove "
                f"{self._pin} and start the node anew"
            )
        answer = await self._calls.register(self._public_url, capacity, self._payout_address)
        if answer.status != 200:
            raise BadAnswer(f"{url} does not register this node: {answer.message}")
        self._is_registered = True
        log.info("registered with %s, at %s, with room for %d bytes", url, self._public_url, capacity)

    async def _ping(self) -> float:
        """Say that this node lives: the seconds until it is to do so again. Raises as `_register` does."""
        answer = await self._calls.ping(await self._capacity())
        if answer.status in AGAIN:
            self._is_registered = False
        if answer.status != 200:
            raise BadAnswer(f"{self._calls.url} does not take the ping: {answer.message}")
        next_s = answer.said.get("next_ping_s")
        least_s, most_s = PING_BOUNDS_S
        if not isinstance(next_s, int | float) or not next_s > 0:
            raise BadAnswer(f"{self._calls.url} does not say when to ping next")
        return float(min(max(next_s, least_s), most_s))

    def _failed(self, why: str) -> float:
        """Log what is new, and not every minute the same: in how many seconds to try again."""
        if why != self._noted:
            log.warning("%s", why)
            self._noted = why
        pause_s = min(MAX_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self._failures, 16))
        self._failures += 1
        return pause_s * random.uniform(0.5, 1.5)
