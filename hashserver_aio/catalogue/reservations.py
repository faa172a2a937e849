"""Room that is reserved for buffers on their way in: writes inside a transaction of the SQLite catalogue."""

from __future__ import annotations

import sqlite3
import time

from ..checksums import Checksum
from ..settings import Limits

RESERVED_MS = 600_000
"""Only what is whole and verified is reserved for: to commit it takes seconds, on the slowest disk."""

_HELD = "SELECT 1 FROM arrivals WHERE checksum = ? AND deleted_ms IS NULL"
_RESERVED = """
SELECT count(*), ifnull(sum(size), 0) FROM (
    SELECT DISTINCT checksum, size FROM reservations r WHERE checksum != ? AND NOT EXISTS (
        SELECT 1 FROM arrivals a WHERE a.checksum = r.checksum AND a.deleted_ms IS NULL))
"""


def reserve(connection: sqlite3.Connection, checksum: Checksum, size: int, limits: Limits) -> int | None:
    """Reserve room for a buffer, if what is held and reserved leaves it."""
    name, now_ms = bytes.fromhex(checksum), time.time_ns() // 1_000_000
    connection.execute("DELETE FROM reservations WHERE until_ms <= ?", (now_ms,))
    if connection.execute(_HELD, (name,)).fetchone() is None:
        held = connection.execute("SELECT count, size FROM totals").fetchone()
        reserved = connection.execute(_RESERVED, (name,)).fetchone()
        if not limits.allow(held[0] + reserved[0] + 1, held[1] + reserved[1] + size):
            return None
    statement = "INSERT INTO reservations (checksum, size, until_ms) VALUES (?, ?, ?)"
    return connection.execute(statement, (name, size, now_ms + RESERVED_MS)).lastrowid


def release(connection: sqlite3.Connection, reservation: int) -> None:
    """Give up a reservation."""
    connection.execute("DELETE FROM reservations WHERE id = ?", (reservation,))
