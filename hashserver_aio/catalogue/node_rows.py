"""Rows of nodes that hold buffers, and of what is on them, in the SQLite catalogue."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from ..checksums import Checksum
from ..errors import HashserverError, LimitReached, NotPermitted
from . import nodes, placement_rows
from .connection import Connection
from .listing import Listing
from .nodes import FIRST_RECORD, IS_REMOVED, NO_PLACE, PAGE, Announcement, Node, NodeState
from .placements import Placed, Placement, PlacementTotals, Verdict
from .writer import Writer

T = TypeVar("T")

_Answer = Node | HashserverError | None

_COLUMNS = ", ".join(Node._fields)
_GET = f"SELECT {_COLUMNS} FROM nodes WHERE key = ?"
_ALL = f"SELECT {_COLUMNS} FROM nodes ORDER BY seq"
_SOME = f"SELECT {_COLUMNS} FROM nodes WHERE seq > ? ORDER BY seq LIMIT {PAGE}"
_COUNT = "SELECT count(*) FROM nodes WHERE state != 'removed'"
IDLE = """
SELECT seq FROM nodes WHERE state = 'active' AND good + dead + surplus = 0
ORDER BY url != '', last_seen_ms, seq LIMIT 1
"""
TAKE_URL = "UPDATE nodes SET url = '' WHERE url = ? AND url != '' AND key != ?"
_ADD = f"""
INSERT INTO nodes (key, url, payout_address, capacity, registered_ms, last_seen_ms, message, state, record,
    used, full_until_ms, passed, failed, failure, failed_ms, good, dead, surplus)
VALUES (?, ?, ?, ?, ?, ?, ?, 'active', {FIRST_RECORD}, 0, 0, 0, 0, '', 0, 0, 0, 0)
"""
_ANNOUNCE = """
UPDATE nodes SET full_until_ms = CASE WHEN url = ? AND capacity = ? THEN full_until_ms ELSE 0 END,
    url = ?, capacity = ?, payout_address = ?, message = ?, last_seen_ms = max(last_seen_ms, ?)
WHERE key = ?
"""
_LIVE = """
UPDATE nodes SET full_until_ms = CASE WHEN capacity = ? THEN full_until_ms ELSE 0 END,
    capacity = ?, message = ?, last_seen_ms = max(last_seen_ms, ?)
WHERE key = ?
"""
_LET = """
UPDATE nodes SET state = ?, url = CASE WHEN ? THEN '' ELSE url END, sweep_after = ?, sweep_ms = ?
WHERE key = ?
"""
_BE_FULL = "UPDATE nodes SET record = ?, full_until_ms = ? WHERE seq = ?"


class SqliteNodes:
    """The nodes of a catalogue in a file; `reader` and `writer` are those of the catalogue.

    What they promise is told by `Nodes`.
    """

    def __init__(self, reader: Connection, writer: Writer) -> None:
        self._reader = reader
        self._writer = writer
        self._listing = Listing(reader, "nodes")

    def close(self) -> None:
        """Let go of the file."""
        self._listing.close()

    def _read(self, read: Callable[[sqlite3.Connection], T], nothing: T) -> T:
        with self._reader.reading() as connection:
            return nothing if connection is None else read(connection)

    # -- nodes ---------------------------------------------------------------------------------------------

    def get(self, key: bytes) -> Node | None:
        """Tell of a node."""
        return self._read(partial(_get, key=key), None)

    async def all(self) -> list[Node]:
        """Tell of all nodes, in the order of registering."""
        return await self._listing.read(_all, [])

    async def page(self, after: int) -> list[Node]:
        """Give a page of nodes, in the order of registering."""
        return await self._listing.read(partial(_some, after=after), [])

    async def register(self, said: Announcement) -> Node | None:
        """Take a node in, or what it says of itself anew."""
        return await self._writer.write(partial(_register, said=said))

    async def see(self, key: bytes, capacity: int, message: int, at_ms: int) -> Node | None:
        """Note that a node lives, and its capacity; who is unknown makes nobody write."""
        if self.get(key) is None:
            return None
        return await self._writer.write(
            partial(_see, key=key, capacity=capacity, message=message, at_ms=at_ms)
        )

    async def set_state(self, key: bytes, state: NodeState, at_ms: int) -> Node | None:
        """Let a node do so much; what is on it changes in many transactions, so that others have turns."""
        if self.get(key) is None:
            return None
        await self._writer.write(partial(_set_state, key=key, state=state, at_ms=at_ms))
        await self._sweep()
        return self.get(key)

    async def _sweep(self) -> None:
        while await self._writer.write(placement_rows.sweep):
            pass

    # -- placements: what is to be where --------------------------------------------------------------------

    def placed(self, checksum: Checksum) -> Placed | None:
        """Tell what is to be on nodes of a buffer."""
        return self._read(partial(placement_rows.placed, checksum=checksum), None)

    def named(self, sha256: bytes) -> Checksum | None:
        """Find the buffer that is to be on nodes and has this SHA-256."""
        return self._read(partial(placement_rows.named, sha256=sha256), None)

    def placements(self, checksum: Checksum) -> list[Placement]:
        """Tell where a buffer is."""
        return self._read(partial(placement_rows.placements, checksum=checksum), [])

    async def want(self, checksum: Checksum, size: int, replicas: int, at_ms: int) -> None:
        """Have a buffer placed, or with another number of replicas than before."""
        await self._writer.write(
            partial(placement_rows.want, checksum=checksum, size=size, replicas=replicas, at_ms=at_ms)
        )

    async def want_arrivals(self, replicas: int, at_ms: int) -> int:
        """Have placed what arrived next; where nothing did nothing is written, and no file made."""
        if not await self._listing.read(partial(placement_rows.have_arrived, replicas=replicas), False):
            return 0
        return await self._writer.write(partial(placement_rows.want_arrivals, replicas=replicas, at_ms=at_ms))

    async def unwant(self, checksum: Checksum, at_ms: int) -> None:
        """Have a buffer on no node any more."""
        await self._writer.write(partial(placement_rows.unwant, checksum=checksum, at_ms=at_ms))

    async def due(self, now_ms: int) -> list[Placed]:
        """Give a page of buffers that are due, after those are that a change of state was to make due."""
        if await self._listing.read(placement_rows.is_swept, False):
            await self._sweep()
        return await self._listing.read(partial(placement_rows.due, now_ms=now_ms), [])

    async def settle(self, seen: Placed, due_ms: int | None) -> None:
        """Look at a buffer again at a time, unless something made it due since it was seen."""
        await self._writer.write(partial(placement_rows.settle, seen=seen, due_ms=due_ms))

    async def keep_root(self, checksum: Checksum, root: bytes, sha256: bytes | None = None) -> None:
        """Keep what a buffer is checked by, and called."""
        await self._writer.write(
            partial(placement_rows.keep_root, checksum=checksum, root=root, sha256=sha256)
        )

    async def place(self, checksum: Checksum, node: int, at_ms: int, due_ms: int) -> None:
        """Note that a node has a buffer."""
        await self._writer.write(
            partial(placement_rows.place, checksum=checksum, node=node, at_ms=at_ms, due_ms=due_ms)
        )

    async def make_surplus(self, checksum: Checksum, node: int, at_ms: int) -> None:
        """Have a node remove a buffer."""
        await self._writer.write(
            partial(placement_rows.make_surplus, checksum=checksum, node=node, at_ms=at_ms)
        )

    async def forget(self, checksum: Checksum, node: int) -> None:
        """Know nothing of a placement any more."""
        await self._writer.write(partial(placement_rows.forget, checksum=checksum, node=node))

    async def take_for_full(self, node: int, record: float, until_ms: int) -> None:
        """Take a node to be full for some time, with another record."""
        await self._writer.write(partial(_take_for_full, values=(record, until_ms, node)))

    # -- placements: audits ---------------------------------------------------------------------------------

    async def audits_due(self, now_ms: int) -> list[Placement]:
        """Give a page of placements that are due."""
        return await self._listing.read(partial(placement_rows.audits_due, now_ms=now_ms), [])

    async def hasten(self, now_ms: int, within_ms: int) -> None:
        """Have all that is due later than that due within it; where nothing is nothing is written."""
        values = (now_ms + within_ms,)
        if await self._listing.read(lambda file: file.execute(placement_rows.LATE, values).fetchone(), None):
            await self._writer.write(partial(placement_rows.hasten, now_ms=now_ms, within_ms=within_ms))

    async def audit_at(self, checksum: Checksum, node: int, due_ms: int) -> None:
        """Audit a placement at another time."""
        await self._writer.write(
            partial(placement_rows.audit_at, checksum=checksum, node=node, due_ms=due_ms)
        )

    async def judge(self, verdict: Verdict) -> None:
        """Note how an audit went."""
        await self._writer.write(partial(placement_rows.judge, verdict=verdict))

    async def count(self) -> PlacementTotals:
        """Count all of it."""
        return await self._listing.read(placement_rows.count, PlacementTotals(0, 0, 0, 0, 0))


def _get(connection: sqlite3.Connection, key: bytes) -> Node | None:
    row = connection.execute(_GET, (key,)).fetchone()
    return None if row is None else _node(*row)


def _all(connection: sqlite3.Connection) -> list[Node]:
    return [_node(*row) for row in connection.execute(_ALL).fetchall()]


def _some(connection: sqlite3.Connection, after: int) -> list[Node]:
    return [_node(*row) for row in connection.execute(_SOME, (after,)).fetchall()]


def _node(seq: int, key: bytes, url: str, payout_address: str, state: str, *rest: Any) -> Node:
    return Node(seq, key, url, payout_address, NodeState(state), *rest)


def _register(connection: sqlite3.Connection, said: Announcement) -> _Answer:
    known, idle = _get(connection, said.key), None
    if known is None:
        (count,) = connection.execute(_COUNT).fetchone()
        if count >= nodes.MAX_NODES:
            idle = connection.execute(IDLE).fetchone()
            if idle is None:
                return LimitReached(NO_PLACE)
    elif known.state is NodeState.REMOVED:
        return NotPermitted(IS_REMOVED)
    elif said.message <= known.message:
        return None
    connection.execute(TAKE_URL, (said.url, said.key))
    key, url, payout_address, capacity, message, at_ms = said
    if known is None:
        connection.execute(_ADD, (key, url, payout_address, capacity, at_ms, at_ms, message))
        if idle is not None:  # only now, or its number could be given out again
            connection.execute("DELETE FROM nodes WHERE seq = ?", idle)
    else:
        anew = (url, capacity, url, capacity, payout_address, message, at_ms, key)
        connection.execute(_ANNOUNCE, anew)
    return _get(connection, said.key)


def _see(connection: sqlite3.Connection, key: bytes, capacity: int, message: int, at_ms: int) -> _Answer:
    known = _get(connection, key)
    if known is None:
        return None
    if known.state is NodeState.REMOVED:
        return NotPermitted(IS_REMOVED)
    if message <= known.message:
        return None
    connection.execute(_LIVE, (capacity, capacity, message, at_ms, key))
    return _get(connection, key)


def _set_state(connection: sqlite3.Connection, key: bytes, state: NodeState, at_ms: int) -> None:
    swept = b"" if state in (NodeState.DRAINING, NodeState.REMOVED) else None
    connection.execute(_LET, (state, state is NodeState.REMOVED, swept, at_ms, key))


def _take_for_full(connection: sqlite3.Connection, values: tuple[float, int, int]) -> None:
    connection.execute(_BE_FULL, values)
