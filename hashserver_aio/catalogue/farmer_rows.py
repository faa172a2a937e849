"""Rows of farmers in the SQLite catalogue."""

from __future__ import annotations

import sqlite3
from functools import partial

from ..errors import LimitReached
from . import farmers
from .connection import Connection
from .farmers import KEPT_SUBMISSIONS, PAGE, START, Farmer, FarmerTotals, Seen, Submission
from .listing import Listing
from .writer import Writer

_COLUMNS = "seq, address, payout_address, registered_ms, last_seen_ms, online_ms, height"
_GET = f"SELECT {_COLUMNS} FROM farmers WHERE address = ?"
_ADD = """
INSERT INTO farmers (address, payout_address, registered_ms, last_seen_ms, online_ms, height)
SELECT ?, ?, ?, ?, 0, 0 WHERE NOT EXISTS (SELECT 1 FROM farmers WHERE address = ?)
"""
_SEE = """
UPDATE farmers SET online_ms = online_ms + min(max(? - last_seen_ms, 0), ?),
    last_seen_ms = ?, height = ifnull(?, height)
WHERE address = ?
"""
_SUBMIT = "INSERT OR IGNORE INTO submissions (node, block, response, added_ms) VALUES (?, ?, ?, ?)"
_MAKE_ROOM = """
DELETE FROM submissions WHERE node = ? AND block IN (
    SELECT block FROM submissions WHERE node = ? ORDER BY added_ms DESC, block DESC LIMIT -1 OFFSET ?)
"""
_SUBMISSIONS = """
SELECT block, response, added_ms FROM submissions
WHERE node = (SELECT seq FROM farmers WHERE address = ?) ORDER BY block
"""
# Two questions, as one with an OR in it would go through all nodes of the same height, page after page.
_AS_HIGH = f"""
SELECT {_COLUMNS} FROM farmers INDEXED BY farmers_by_height
WHERE height = ? AND seq > ? AND last_seen_ms > ? ORDER BY seq LIMIT ?
"""
_LOWER = f"""
SELECT {_COLUMNS} FROM farmers INDEXED BY farmers_by_height
WHERE height < ? AND last_seen_ms > ? ORDER BY height DESC, seq LIMIT ?
"""
_TOTALS = """
SELECT count(*), ifnull(sum(height), 0) FROM farmers INDEXED BY farmers_by_height WHERE last_seen_ms > ?
"""


class SqliteFarmers:
    """The nodes of a catalogue in a file; `reader` and `writer` are those of the catalogue."""

    def __init__(self, reader: Connection, writer: Writer) -> None:
        self._reader = reader
        self._writer = writer
        self._listing = Listing(reader, "farmers")

    def close(self) -> None:
        """Let go of the file."""
        self._listing.close()

    def get(self, address: str) -> Farmer | None:
        """Tell of a node. Raises: StoreFailed."""
        with self._reader.reading() as connection:
            row = connection.execute(_GET, (address,)).fetchone() if connection else None
        return None if row is None else Farmer(*row)

    def submissions(self, address: str) -> list[Submission]:
        """Give the answers of a node, in the order of blocks. Raises: StoreFailed."""
        with self._reader.reading() as connection:
            rows = connection.execute(_SUBMISSIONS, (address,)).fetchall() if connection else []
        return [Submission(*row) for row in rows]

    async def add(self, address: str, payout_address: str, at_ms: int) -> bool:
        """Register a node. Raises: LimitReached, StoreFailed, Busy."""
        added = await self._writer.write(
            partial(_add, values=(address, payout_address, at_ms, at_ms, address))
        )
        if added is None:
            raise LimitReached(f"{farmers.MAX_FARMERS} nodes have registered, and no more may")
        return added

    async def see(self, address: str, seen: Seen) -> bool:
        """Note that a node lives, and its height. Raises: StoreFailed, Busy."""
        values = (seen.at_ms, seen.online_ms, seen.at_ms, seen.height, address)
        return await self._writer.write(partial(_see, values=values))

    async def submit(self, address: str, submission: Submission) -> bool | None:
        """Keep an answer to a block. Raises: StoreFailed, Busy."""
        return await self._writer.write(partial(_submit, address=address, submission=submission))

    async def online(self, since_ms: int, after: tuple[int, int] = START) -> list[Farmer]:
        """Give the next page of those seen after a time. Raises: StoreFailed."""
        return await self._listing.read(partial(_page, since_ms=since_ms, after=after), [])

    async def totals(self, since_ms: int) -> FarmerTotals:
        """Count those seen after a time. Raises: StoreFailed."""
        return await self._listing.read(partial(_totals, since_ms=since_ms), FarmerTotals(0, 0))


def _add(connection: sqlite3.Connection, values: tuple[str | int, ...]) -> bool | None:
    """Give None where there is no room: nodes are never removed, so the last number is how many there are."""
    if connection.execute(_ADD, values).rowcount == 0:
        return False
    (count,) = connection.execute("SELECT max(seq) FROM farmers").fetchone()
    if count > farmers.MAX_FARMERS:
        connection.execute("DELETE FROM farmers WHERE seq = ?", (count,))
        return None
    return True


def _see(connection: sqlite3.Connection, values: tuple[int | str | None, ...]) -> bool:
    return connection.execute(_SEE, values).rowcount == 1


def _submit(connection: sqlite3.Connection, address: str, submission: Submission) -> bool | None:
    row = connection.execute("SELECT seq FROM farmers WHERE address = ?", (address,)).fetchone()
    if row is None:
        return None
    if connection.execute(_SUBMIT, (*row, *submission)).rowcount == 0:
        return False
    connection.execute(_MAKE_ROOM, (*row, *row, KEPT_SUBMISSIONS))
    return True


def _page(connection: sqlite3.Connection, since_ms: int, after: tuple[int, int]) -> list[Farmer]:
    height, seq = after
    connection.execute("BEGIN")  # so that the page is of one moment
    rows = connection.execute(_AS_HIGH, (height, seq, since_ms, PAGE)).fetchall()
    rows += connection.execute(_LOWER, (height, since_ms, PAGE - len(rows))).fetchall()
    connection.execute("COMMIT")
    return [Farmer(*row) for row in rows]


def _totals(connection: sqlite3.Connection, since_ms: int) -> FarmerTotals:
    return FarmerTotals(*connection.execute(_TOTALS, (since_ms,)).fetchone())
