"""Following what a server stores: each arrival once, in order, over any number of connections.

An offset means nothing in another feed: once a feed has said which one it is, another one is an error.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from ..checksums import Checksum, parse_checksum
from ..errors import BadAnswer, BadChecksum
from .records import records
from .retries import Again
from .sending import AXON
from .transport import Transport

POLL_S = 20.0
"""A connection waits for so long, then another one does: one that is dead, or a server that hangs, would
not be told from one that has nothing to say."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A buffer that came: its number in a feed, its SHA-256, and its size in bytes."""

    feed_id: str
    index: int
    sha256: Checksum
    size: int


class Follower:
    """Reads a feed from an offset on; `feed_id` is "" until it is known."""

    def __init__(self, transport: Transport, offset: int, feed_id: str) -> None:
        self.offset = offset
        self.feed_id = feed_id
        self._transport = transport

    async def arrivals(self, *, wait: bool, timeout_s: float | None) -> AsyncGenerator[Arrival, None]:
        """Yield what came; with `wait` also what comes, until nothing has for `timeout_s` seconds.

        Raises: FeedChanged; what the server refuses with; ServerUnreachable, BadAnswer.
        """
        timeout_s = math.inf if timeout_s is None else timeout_s
        clock, patience = asyncio.get_running_loop().time, self._transport.patience()
        until_s = clock() + timeout_s
        while True:
            poll_s = max(0.0, min(POLL_S, until_s - clock())) if wait else 0.0
            try:
                async with aclosing(self._page(poll_s, wait=wait)) as page:
                    async for arrival in page:
                        patience.progressed()
                        yield arrival
                        until_s = clock() + timeout_s
                patience.progressed()
            except Again as again:
                await patience.wait(again)
                continue
            if not wait or clock() >= until_s:
                return

    async def _page(self, poll_s: float, *, wait: bool) -> AsyncGenerator[Arrival, None]:
        """Yield what one connection tells. Raises: Again, and more."""
        query = {"offset": str(self.offset)}
        if self.feed_id:
            query["feed-id"] = self.feed_id
        if wait:
            query |= {"wait": "true", "timeout": f"{poll_s:.3f}"}
        async with aclosing(records(self._transport, f"{AXON}/hashes", query)) as found:
            async for kind, value in found:
                if kind == "feed-id":
                    self.feed_id = str(value)
                elif kind == "item":
                    arrival = _arrival(self.feed_id, value)
                    self.offset = arrival.index + 1
                    yield arrival
                elif kind == "end":
                    self.offset = _offset(value)


def _arrival(feed_id: str, value: Any) -> Arrival:
    try:
        index, (sha256, size) = value
        return Arrival(feed_id, int(index), parse_checksum(sha256), int(size))
    except (TypeError, ValueError, BadChecksum):
        raise BadAnswer("the server told of an arrival that makes no sense") from None


def _offset(value: Any) -> int:
    try:
        return int(value["offset"])
    except (TypeError, KeyError, ValueError):
        raise BadAnswer("the server ended its feed without an offset") from None
