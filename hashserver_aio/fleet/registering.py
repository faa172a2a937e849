"""Nodes that register, and say that they live.

Checked in this order: how often this client asks, the signature, whether the message is a new one, how often
this node asks, and then what it says. So nobody without a node's key spends what the node may ask. A URL is
kept once the node has answered there: it is known by what it signs.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from yarl import URL

from ..catalogue.nodes import Announcement, Node, Nodes, NodeState
from ..errors import (
    AddressRefused,
    BadAnswer,
    BadSignature,
    Busy,
    NodeMoved,
    NodeNotFound,
    NodeRefused,
    NodeUnreachable,
    NotPermitted,
    ServerUnreachable,
)
from ..nodes import messages
from ..nodes.keys import KeyPair
from ..nodes.messages import Message, Signed
from ..pace import Pace, network_of
from ..settings import NodeRules
from .announcements import Registration
from .links import Links
from .rules import ALLOWING

log = logging.getLogger(__name__)

BURST_S = 10.0
"""What may be asked in so many seconds may be asked at once: nodes behind one address start together."""

REGISTERING_COSTS = 10
"""As much as so many pings: it leaves a row for good, and a call to wherever the caller likes."""

NODE_PER_S = 1.0
NODE_BURST = 30.0
"""A node pings once a minute."""

MAX_CALLS = 16
MAX_CALLS_OF_ONE = 8
"""So many nodes are called back at a time, and so many that one client address announced: others have a turn,
however slowly theirs answer."""

CALL_S = 10.0
"""What a node gets to say who it is."""

PING_EVERY_S = 60.0

Clock = Callable[[], float]


class Registering:
    """Takes nodes in and hears of them; `pair`: the server's key; `clock` tells the seconds since 1970."""

    def __init__(
        self,
        rows: Nodes,
        links: Links,
        pair: KeyPair,
        rules: NodeRules,
        *,
        clock: Clock = time.time,
        ticks: Clock = time.monotonic,
    ) -> None:
        self.pair = pair
        self.clock = clock
        self._rows = rows
        self._links = links
        self._rules = rules
        burst = max(rules.calls_per_s * BURST_S, REGISTERING_COSTS)
        self._clients = Pace(rules.calls_per_s, burst, ticks)
        self._nodes = Pace(NODE_PER_S, NODE_BURST, ticks)
        self._calls: Counter[str] = Counter()
        self._has_warned = False

    @property
    def next_ping_s(self) -> float:
        """When a node is to ping again: two may get lost before it is taken to be gone."""
        return min(PING_EVERY_S, self._rules.online_s / 3)

    def is_online(self, node: Node) -> bool:
        """Tell whether a node may be reached now."""
        return is_online(node, self._rules, self.clock())

    def last_seen_s(self, node: Node) -> int:
        """Tell for how many seconds a node has not been heard of."""
        return max(0, self._now_ms() - node.last_seen_ms) // 1000

    def is_full(self, node: Node) -> bool:
        """Tell whether a node is taken to be full, as it refused buffers though it said it had room."""
        return node.full_until_ms > self._now_ms()

    def hear(self, client: str | None, message: Message, cost: float = 1) -> Signed:
        """Tell whose message it is, and that it is a new one; what is in its body is not checked here.

        Raises: TooManyRequests, BadSignature, StoreFailed.
        """
        self._clients.take(network_of(client), cost)
        signed = messages.check(message, self.pair.public, self.clock(), has_body=True)
        known = self._rows.get(signed.key)
        if known is not None and signed.number <= known.message:
            raise _repeated()
        self._nodes.take(signed.key.hex())
        return signed

    async def register(self, client: str | None, signed: Signed, said: Registration) -> Node:
        """Take a node in, or what it says anew, if it answers at the URL that it says.

        Raises: NotPermitted, if it was removed; NodeUnreachable; LimitReached; BadSignature; Busy;
        StoreFailed.
        """
        known = self._rows.get(signed.key)
        if known is not None and known.state is NodeState.REMOVED:
            raise _removed()
        with self._calling(network_of(client)):
            try:
                await self._call_back(signed.key, said.url)
            except NodeUnreachable as error:
                log.info("node %s is not taken in: %s", signed.key.hex(), error)
                raise
        node = await self._rows.register(
            Announcement(signed.key, *_in_order(said), message=signed.number, at_ms=self._now_ms())
        )
        if node is None:
            raise _repeated()
        return node

    async def ping(self, signed: Signed, capacity: int) -> Node:
        """Hear that a node lives, and how much it holds at most.

        Raises: NodeNotFound, NodeMoved; NotPermitted, if it was removed; BadSignature; Busy; StoreFailed.
        """
        known = self._rows.get(signed.key)
        if known is None:
            raise NodeNotFound()
        if known.state is NodeState.REMOVED:
            raise _removed()
        if not known.url:
            raise NodeMoved()
        node = await self._rows.see(signed.key, capacity, signed.number, self._now_ms())
        if node is None:
            raise _repeated()
        return node

    @contextmanager
    def _calling(self, network: str) -> Iterator[None]:
        """Hold a place for a call back. Raises: Busy."""
        if self._calls.total() >= MAX_CALLS or self._calls[network] >= MAX_CALLS_OF_ONE:
            raise Busy("too many nodes register at this time; try again")
        self._calls[network] += 1
        try:
            yield
        finally:
            self._calls[network] -= 1
            if not self._calls[network]:
                del self._calls[network]

    async def _call_back(self, key: bytes, url: str) -> None:
        """Ask at a URL whether the node is there. Raises: NodeUnreachable."""
        try:
            async with asyncio.timeout(CALL_S):
                await self._links.to(key, url).identify()
        except BadAnswer:
            raise NodeUnreachable(
                f"at {url} somebody else answers, not this node; name the URL of this one with --public-url"
            ) from None
        except NodeRefused as error:
            raise NodeUnreachable(
                f"at {url} the server is refused ({error.status}); does this node answer there, and to this "
                "server?"
            ) from None
        except (ServerUnreachable, TimeoutError) as error:
            if isinstance(error.__cause__, AddressRefused):
                raise self._not_allowed(key, url) from None
            why = str(error) or f"{url} takes too long"
            raise NodeUnreachable(
                f"{why}; the server has to reach the node at its URL: is that the right one (--public-url), "
                "and open to the server?"
            ) from None

    def _not_allowed(self, key: bytes, url: str) -> NodeUnreachable:
        """Word that a node is where it is not called, and warn the operator, once: strangers can cause it."""
        host = URL(url).host
        if not self._has_warned:
            self._has_warned = True
            log.warning(
                "node %s is not taken in: %s has no public address; %s %s lets nodes be there "
                "(more of this is told at the level info)",
                key.hex(),
                url,
                ALLOWING,
                host,
            )
        return NodeUnreachable(
            f"the server calls no private address: its operator has to start it with {ALLOWING} {host}, or "
            "announce this node at a public one (--public-url)"
        )

    def _now_ms(self) -> int:
        return int(self.clock() * 1000)


def is_online(node: Node, rules: NodeRules, now_s: float) -> bool:
    """Tell whether a node was heard of of late, and is anywhere."""
    return bool(node.url) and now_s * 1000 - node.last_seen_ms <= rules.online_s * 1000


def _in_order(said: Registration) -> tuple[str, str, int]:
    return said.url, said.payout_address, said.capacity


def _removed() -> NotPermitted:
    return NotPermitted("the server's operator has removed this node")


def _repeated() -> BadSignature:
    return BadSignature("this message, or a later one, has come before; sign each anew, with a higher number")
