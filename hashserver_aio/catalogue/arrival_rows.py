"""Rows of buffers that came, many at a time: writes inside a transaction of the SQLite catalogue.

Between two statements the interpreter's lock changes hands, which costs more than a statement; so each takes
all rows at once.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from . import Arrival
from .reservations import release

Row = tuple[Any, ...]

Item = tuple[Arrival, int | None]
"""What came, and the reservation that it uses up."""

ROWS = 64
"""Rows a statement: SQLite may be built to take no more than 999 values."""

COUNT = "UPDATE totals SET count = count + ?, size = size + ?"

_HELD = "SELECT checksum FROM arrivals WHERE deleted_ms IS NULL AND checksum IN ({})"
_ARRIVE = "INSERT INTO arrivals (checksum, size, added_ms, sha256) VALUES {}"
_STORE = """
INSERT INTO stored
    (checksum, place, form, size, mtime_ns, ctime_ns, inode, plain_size, durable, sha256)
VALUES {}
ON CONFLICT (checksum, place, form) DO UPDATE SET size = excluded.size, mtime_ns = excluded.mtime_ns,
    ctime_ns = excluded.ctime_ns, inode = excluded.inode, plain_size = excluded.plain_size,
    sha256 = excluded.sha256,
    durable = excluded.durable OR (durable AND inode = excluded.inode
        AND mtime_ns = excluded.mtime_ns AND ctime_ns = excluded.ctime_ns)
"""
_DIGEST = "INSERT OR REPLACE INTO digests (checksum, md5, sha1, sha512) VALUES {}"


def record_all(connection: sqlite3.Connection, items: Sequence[Item]) -> list[None]:
    """List buffers as held, unless they are, and remember their files; use up their reservations."""
    for begin in range(0, len(items), ROWS):
        _record(connection, items[begin : begin + ROWS])
    return [None] * len(items)


def _record(connection: sqlite3.Connection, items: Sequence[Item]) -> None:
    names = [bytes.fromhex(arrival.checksum) for arrival, _ in items]
    held = {name for (name,) in connection.execute(_of(_HELD, len(names), 0), names)}
    now_ms = time.time_ns() // 1_000_000
    came: dict[bytes, Row] = {}
    stored: list[Row] = []
    digests: list[Row] = []
    for name, (arrival, _) in zip(names, items, strict=True):
        known, i = arrival.known, arrival.known.identity
        if name not in held:
            came.setdefault(name, (name, known.plain_size, now_ms, known.sha256))
        file = (name, arrival.place, str(arrival.form), i.size, i.mtime_ns, i.ctime_ns, i.inode)
        stored.append((*file, known.plain_size, known.durable, known.sha256))
        if arrival.others is not None:
            digests.append((name, *arrival.others))
    _insert(connection, _ARRIVE, list(came.values()))
    if came:
        connection.execute(COUNT, (len(came), sum(row[1] for row in came.values())))
    _insert(connection, _STORE, stored)
    _insert(connection, _DIGEST, digests)
    for _, reservation in items:
        if reservation is not None:
            release(connection, reservation)


def _insert(connection: sqlite3.Connection, statement: str, rows: Sequence[Row]) -> None:
    if rows:
        connection.execute(_of(statement, len(rows), len(rows[0])), [*chain.from_iterable(rows)])


@lru_cache(maxsize=4 * ROWS)
def _of(statement: str, rows: int, columns: int) -> str:
    """Word a statement for so many rows, or for a list of so many values."""
    row = f"({', '.join('?' * columns)})" if columns else "?"
    return statement.format(", ".join([row] * rows))
