"""Nodes that hold buffers, and which: an interface to their rows.

No file holds what is in them. Lost with the catalogue, nodes register again by themselves, and what they hold
is placed anew, which costs nothing where they still hold it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple, Protocol

from ..checksums import Checksum
from .placements import Placed, Placement, PlacementTotals, Verdict

MAX_NODES = 10_000
"""So many may register, besides those removed: to choose among them takes some ten milliseconds.

Keys cost nothing, so who is a node by name only makes room for the next one.
"""

NO_PLACE = f"{MAX_NODES} nodes hold buffers, or are kept from it, and no more may register"

FIRST_RECORD = 0.5
"""Of a node that nothing is known of."""

IS_REMOVED = "who runs this server has removed this node; ask there to have it resumed"

PAGE = 500
"""Rows that are read at once, of whatever kind."""


class NodeState(StrEnum):
    """What its operator, the server's, lets a node do.

    ACTIVE: all. PAUSED: gets nothing more, keeps what it has. DRAINING: as PAUSED, and what it holds is
    placed elsewhere, then taken from it. REMOVED: nothing; it is known only so that it stays out, and has
    no URL.
    """

    ACTIVE = "active"
    PAUSED = "paused"
    DRAINING = "draining"
    REMOVED = "removed"


class Node(NamedTuple):
    """A node: `seq` in the order of registering; `key`: its Ed25519 key, 32 bytes; sizes in bytes.

    `url`: where it is reached, "" if another node is there now. `payout_address`: "" if it told none.
    `used`: bytes of the GOOD placements on it. `full_until_ms`: until when it is taken to be full, whatever
    it says. `record`: 0 to 1. `passed`, `failed`: audits. `failure`: why the last one failed, at
    `failed_ms`; "" if none. `message`: the number of the last message of its that was heeded; each one has
    a higher number. `good`, `dead`, `surplus`: placements on it, by their state.
    """

    seq: int
    key: bytes
    url: str
    payout_address: str
    state: NodeState
    capacity: int
    used: int
    full_until_ms: int
    record: float
    passed: int
    failed: int
    failure: str
    failed_ms: int
    registered_ms: int
    last_seen_ms: int
    message: int
    good: int = 0
    dead: int = 0
    surplus: int = 0


class Announcement(NamedTuple):
    """What a node says when it registers; numbers are below 2**63."""

    key: bytes
    url: str
    payout_address: str
    capacity: int
    message: int
    at_ms: int


class Nodes(Protocol):
    """Rows of nodes and placements; writes are durable when they return.

    All raise StoreFailed, writes Busy as well. Of all servers of a catalogue one at a time looks after the
    placements, and only that one calls what is below "placements". That a buffer is due at a time, or at
    once, leaves it due earlier if it was, and makes its `turn` another one.
    """

    # -- nodes ---------------------------------------------------------------------------------------------

    def get(self, key: bytes) -> Node | None:
        """Tell of a node; None if it has not registered."""

    async def all(self) -> list[Node]:
        """Tell of all nodes, in the order of registering, also those removed."""

    async def page(self, after: int) -> list[Node]:
        """Give a PAGE of them, of those behind a seq."""

    async def register(self, said: Announcement) -> Node | None:
        """Take a node in, or what it says of itself anew; a new one is ACTIVE with FIRST_RECORD.

        Whoever else had its URL has none from then on. With another URL or capacity than before it is no
        longer taken to be full. A state, a record and what was counted stay, and when it first registered.
        None, and nothing is changed, if a message with this number or a higher one was heeded.
        Of MAX_NODES one makes room for a new one that is ACTIVE and has no placement of whatever state: of
        those without a URL, else of all, the one that was seen longest ago.
        Raises: LimitReached, if there is none; NotPermitted, if it was removed.
        """

    async def see(self, key: bytes, capacity: int, message: int, at_ms: int) -> Node | None:
        """Note that a node lives, and its capacity, as `register` does. None as there, or if it is
        unknown.

        Raises: NotPermitted, if it was removed.
        """

    async def set_state(self, key: bytes, state: NodeState, at_ms: int) -> Node | None:
        """Let a node do so much; None if it is unknown.

        DRAINING and REMOVED make all buffers that are on it due at `at_ms`. REMOVED drops all its
        placements, and its URL: what is ACTIVE again after it is reached when it has registered anew.
        If this is cut off in the middle of many placements, `due` does the rest first.
        """

    # -- placements: what is to be where --------------------------------------------------------------------

    def placed(self, checksum: Checksum) -> Placed | None:
        """Tell what is to be on nodes of a buffer; at once. None if nothing is."""

    def named(self, sha256: bytes) -> Checksum | None:
        """Find the buffer that is to be on nodes and has this SHA-256, if that was kept; at once."""

    def placements(self, checksum: Checksum) -> list[Placement]:
        """Tell where a buffer is; at once. By node."""

    async def want(self, checksum: Checksum, size: int, replicas: int, at_ms: int) -> None:
        """Have a buffer placed, or with another number of replicas than before; due at `at_ms`.

        Raises: LimitReached, by a catalogue in memory.
        """

    async def want_arrivals(self, replicas: int, at_ms: int) -> int:
        """Have placed, at least so often, the next PAGE of what arrived since this was asked last.

        What is placed as often already is left alone. How far it got is kept, with the feed-id and the
        number: with a higher one it begins anew. Gives how many arrivals it looked at; 0: there are no more.
        """

    async def unwant(self, checksum: Checksum, at_ms: int) -> None:
        """Have a buffer on no node any more: its placements are SURPLUS, due at `at_ms`."""

    async def due(self, now_ms: int) -> list[Placed]:
        """Give a PAGE of buffers that are due, the longest due first."""

    async def settle(self, seen: Placed, due_ms: int | None) -> None:
        """Look at a buffer again at a time, or never, if something does not make it due before.

        Nothing, if something did since it was `seen`: it has another `turn` then.
        """

    async def keep_root(self, checksum: Checksum, root: bytes, sha256: bytes | None = None) -> None:
        """Keep what a buffer is checked by, and called; nothing, if it is not to be placed any more."""

    async def place(self, checksum: Checksum, node: int, at_ms: int, due_ms: int) -> None:
        """Note that a node has a buffer: a GOOD placement, audited at `at_ms`, due at `due_ms`, whatever was.

        If the buffer is not to be placed any more, it is SURPLUS and due at once. On a node that is DRAINING
        by now its buffer is due at once; on one that was removed nothing is noted but that.
        """

    async def make_surplus(self, checksum: Checksum, node: int, at_ms: int) -> None:
        """Have a node remove a buffer, or, if it was not to be reached, have it asked again."""

    async def forget(self, checksum: Checksum, node: int) -> None:
        """Know nothing of a placement any more: the node does not have the buffer.

        If it was GOOD, or its buffer lacks some, that is due at once.
        """

    async def take_for_full(self, node: int, record: float, until_ms: int) -> None:
        """Take a node to be full for some time, with another record."""

    # -- placements: audits ---------------------------------------------------------------------------------

    async def audits_due(self, now_ms: int) -> list[Placement]:
        """Give a PAGE of placements that are due, the longest due first; SURPLUS ones too."""

    async def hasten(self, now_ms: int, within_ms: int) -> None:
        """Have all that is due later than that due within it, at random: the interval was longer, or the
        clock ahead.
        """

    async def audit_at(self, checksum: Checksum, node: int, due_ms: int) -> None:
        """Audit a placement at another time; one that is SURPLUS is then removed."""

    async def judge(self, verdict: Verdict) -> None:
        """Note how an audit went, in the row of its placement and in its node's.

        Nothing, if the placement is not there any more, or not what it was before. One that dies, or is GOOD
        again, makes its buffer due at once.
        """

    async def count(self) -> PlacementTotals:
        """Count all of it."""
