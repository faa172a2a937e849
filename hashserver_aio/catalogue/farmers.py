"""Nodes that have registered: an interface to their rows.

No file holds what is in them: these rows are lost with the catalogue, unlike all that is known of buffers.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

MAX_FARMERS = 1_000_000
"""Some 250 MB of rows; making a key costs nothing, so there has to be an end."""

KEPT_SUBMISSIONS = 100
"""Audits that are kept of a node: they come with the blocks of a chain, one in ten minutes."""

PAGE = 250
"""Nodes of a listing that are read at once; with the wording, some milliseconds."""


class Farmer(NamedTuple):
    """A node: `seq` in the order of registering; `online_ms`: how long it was online until `last_seen_ms`."""

    seq: int
    address: str
    payout_address: str
    registered_ms: int
    last_seen_ms: int
    online_ms: int
    height: int


class Seen(NamedTuple):
    """A sign of life; `online_ms`: for how long one is enough; `height`: what the node told, if it did."""

    at_ms: int
    online_ms: int
    height: int | None = None


class Submission(NamedTuple):
    """What a node answered to a block of a chain; `response` 32 bytes."""

    block: int
    response: bytes
    at_ms: int


class FarmerTotals(NamedTuple):
    """How many nodes, and the sum of their heights."""

    farmers: int
    height: int


START = (2**62, 0)
"""What a listing begins behind."""


class Farmers(Protocol):
    """Rows of nodes; writes are durable when they return. All raise StoreFailed, writes Busy as well."""

    def get(self, address: str) -> Farmer | None:
        """Tell of a node; None if it has not registered."""

    async def add(self, address: str, payout_address: str, at_ms: int) -> bool:
        """Register a node; False if it is registered already. Raises: LimitReached."""

    async def see(self, address: str, seen: Seen) -> bool:
        """Note that a node lives, and its height; False if it is unknown."""

    async def submit(self, address: str, submission: Submission) -> bool | None:
        """Keep an answer to a block; False if one is kept, None if the node is unknown.

        Of each node the newest KEPT_SUBMISSIONS are kept.
        """

    def submissions(self, address: str) -> list[Submission]:
        """Give the answers of a node, in the order of blocks."""

    async def online(self, since_ms: int, after: tuple[int, int] = START) -> list[Farmer]:
        """Give the next PAGE of those seen after a time, the highest first, then as they registered.

        `after`: height and seq of the last one given. A page is of one moment, several are not: whose height
        changes meanwhile may be missed, or met twice.
        """

    async def totals(self, since_ms: int) -> FarmerTotals:
        """Count those seen after a time."""
