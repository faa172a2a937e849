"""The registry: who may say what about which node.

Checked in this order: how often this client asks, the address, the signature, how often this node asks, and
then what it says. So nobody without a node's key spends what the node may ask.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TypeVar

from ..catalogue.farmers import START, Farmer, Farmers, FarmerTotals, Seen, Submission
from ..errors import AlreadyAudited, AlreadyRegistered, BadArgument, HeightTooLarge, NodeNotFound
from ..pace import Pace, network_of
from ..settings import FarmerRules
from .addresses import parse_address
from .signatures import check_signature

BURST_S = 10.0
"""What may be asked in so many seconds may be asked at once: nodes behind one address start together."""

REGISTERING_COSTS = 10
"""As much as so many other calls: it leaves a row for good."""

FARMER_PER_S = 1.0
FARMER_BURST = 60.0
"""A node pings once a minute, and tells its height while it builds."""

_RESPONSE_DIGITS = 64

Clock = Callable[[], float]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """What somebody says about a node: from which client address, and with which signed headers."""

    address: str
    client: str | None
    date: str | None
    authorization: str | None


class Registry:
    """Registers nodes and hears of them; `clock` tells the seconds since 1970."""

    def __init__(
        self, rows: Farmers, rules: FarmerRules, *, clock: Clock = time.time, ticks: Clock = time.monotonic
    ) -> None:
        self.rules = rules
        self.clock = clock
        self._rows = rows
        burst = max(rules.calls_per_s * BURST_S, REGISTERING_COSTS)
        self._clients = Pace(rules.calls_per_s, burst, ticks)
        self._farmers = Pace(FARMER_PER_S, FARMER_BURST, ticks)
        self._turn = asyncio.Lock()
        self._counting = asyncio.Lock()
        self._begun = 0
        self._totals: FarmerTotals | None = None

    # -- what nodes say; each raises TooManyRequests, BadAddress, NotSigned, StoreFailed, Busy -----------

    async def register(self, call: Call, payout_address: str | None = None) -> Farmer:
        """Take a node in. Raises: AlreadyRegistered, LimitReached."""
        address = self._authenticate(call, REGISTERING_COSTS)
        payout_address = address if payout_address is None else parse_address(payout_address)
        is_known = self._rows.get(address) is not None  # at no cost: clients ask at every start
        if is_known or not await self._rows.add(address, payout_address, self._now_ms()):
            raise AlreadyRegistered()
        return _known(self._rows.get(address))

    async def ping(self, call: Call) -> None:
        """Hear that a node lives; soon after the last time nothing is written. Raises: NodeNotFound.

        A time to come was written by a clock that was wrong: who is alive must not wait until it is reached.
        """
        node = _known(self._rows.get(self._authenticate(call)))
        if not 0 <= self._now_ms() - node.last_seen_ms < self.rules.max_ping_s * 1000:
            await self._rows.see(node.address, self._seen())

    async def set_height(self, call: Call, height: int) -> None:
        """Hear how much a node says it holds, in units of 128 MiB. Raises: HeightTooLarge, NodeNotFound."""
        address = self._authenticate(call)
        if height >= self.rules.height_limit:
            raise HeightTooLarge()
        _known(await self._rows.see(address, self._seen(height)) or None)

    async def submit_audit(self, call: Call, block: int, response: str) -> None:
        """Keep what a node answers to a block, without judging it: it proves nothing.

        Raises: NodeNotFound, BadArgument, AlreadyAudited.
        """
        address = self._authenticate(call)
        _known(self._rows.get(address))
        submission = Submission(block, _sha256(response), self._now_ms())
        if not _known(await self._rows.submit(address, submission)):
            raise AlreadyAudited(block)

    def _authenticate(self, call: Call, cost: float = 1) -> str:
        """Tell whose call it is."""
        self._clients.take(network_of(call.client), cost)
        address = parse_address(call.address)
        check_signature(address, self.rules.server_address, call.date, call.authorization, self.clock())
        self._farmers.take(address)
        return address

    # -- what anybody may know; each raises StoreFailed --------------------------------------------------

    async def online(self) -> AsyncIterator[list[Farmer]]:
        """List who is online, the highest first, some at a time; see `Farmers.online`."""
        since_ms, after = self._online_since_ms(), START
        while page := await self._rows.online(since_ms, after):
            async with self._turn:  # of all listings one page in a round of the loop, and others in between
                await asyncio.sleep(0)
            yield page
            after = (page[-1].height, page[-1].seq)

    async def totals(self) -> FarmerTotals:
        """Count who is online. Counts take long: all who wait for one to end share the next."""
        asked = self._begun
        async with self._counting:
            if self._begun == asked or self._totals is None:
                self._begun, self._totals = self._begun + 1, None
                self._totals = await self._rows.totals(self._online_since_ms())
            return self._totals

    def last_seen_s(self, node: Farmer) -> int:
        """Tell for how many seconds a node has not been seen."""
        return max(0, self._now_ms() - node.last_seen_ms) // 1000

    def uptime_percent(self, node: Farmer) -> float:
        """Tell how much of the time since it registered a node was online."""
        now_ms = self._now_ms()
        since_ms = now_ms - node.registered_ms
        if since_ms <= 0:
            return 100.0
        rest_ms = min(max(0, now_ms - node.last_seen_ms), self._online_ms)
        return round(min(100.0, 100 * (node.online_ms + rest_ms) / since_ms), 2)

    # ----------------------------------------------------------------------------------------------------

    def _seen(self, height: int | None = None) -> Seen:
        return Seen(self._now_ms(), self._online_ms, height)

    @property
    def _online_ms(self) -> int:
        return int(self.rules.online_s * 1000)

    def _online_since_ms(self) -> int:
        return self._now_ms() - self._online_ms

    def _now_ms(self) -> int:
        return int(self.clock() * 1000)


def _known(found: T | None) -> T:
    """Take what is told of a node. Raises: NodeNotFound, if it is nothing."""
    if found is None:
        raise NodeNotFound()
    return found


def _sha256(text: str) -> bytes:
    """Read what an audit is answered with. Raises: BadArgument."""
    if len(text) != _RESPONSE_DIGITS or not set(text) <= set("0123456789abcdefABCDEF"):
        raise BadArgument("an audit is answered with 64 hexadecimal digits")
    return bytes.fromhex(text)
