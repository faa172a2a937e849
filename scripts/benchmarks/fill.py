"""Fill a catalogue with rows of buffers that are not there; run by the interpreter that has the package.

What is asked of such rows alone (the feed) needs no buffers; all else is asked of buffers that are.
"""

from __future__ import annotations

import sqlite3
import sys

from hashserver_aio.catalogue.schema import upgrade

SIZE = 1024

ADDED_MS = 1_700_000_000_000
"""When the first one came; the others each a millisecond later."""

FILL = (
    # In the order of the keys: the rows of `stored` lie in it.
    """
    CREATE TEMP TABLE made AS
        WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)
        SELECT n, randomblob(32) AS checksum, randomblob(32) AS sha256 FROM numbers
    """,
    """
    INSERT INTO arrivals (seq, checksum, size, added_ms, sha256)
        SELECT n, checksum, :size, :added_ms + n, sha256 FROM made
    """,
    """
    INSERT INTO stored (
        checksum, place, form, size, mtime_ns, ctime_ns, inode, plain_size, durable, sha256
    ) SELECT checksum, '', '', :size, n, n, n, :size, 1, sha256 FROM made ORDER BY checksum
    """,
    "UPDATE totals SET count = count + :count, size = size + :count * :size",
)


def fill(path: str, count: int) -> None:
    """Make a catalogue of so many rows; its indexes last, which is ten times as fast."""
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode = WAL", "synchronous = OFF", "cache_size = -1000000", "temp_store = FILE"):
        connection.execute(f"PRAGMA {pragma}")
    upgrade(connection)
    sql = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    indexes = connection.execute(sql).fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    values = {"count": count, "size": SIZE, "added_ms": ADDED_MS}
    connection.execute("BEGIN")
    for statement in FILL:
        connection.execute(statement, values)
    for _, made in indexes:
        connection.execute(made)
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


if __name__ == "__main__":
    fill(sys.argv[1], int(sys.argv[2]))
