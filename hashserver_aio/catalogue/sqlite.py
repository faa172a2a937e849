"""The catalogue in a SQLite file beside the buffers.

The file may be removed at any time, also while servers run: it is made anew with the next write.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from ..blocks import Manifest
from ..checksums import Checksum, Hashset
from ..errors import Busy, StoreFailed
from ..settings import Limits
from ..store import Form, Identity
from ..store.files import FileId
from . import Arrival, Digested, Held, IsAbsent, Known, Page, Totals
from .arrival_rows import COUNT, record_all
from .connection import Connection
from .farmer_rows import SqliteFarmers
from .manifest_rows import (
    OF_BUFFER,
    OF_FILE,
    digested_in,
    file_key,
    keep_of_buffer,
    keep_of_file,
    manifest_in,
)
from .node_rows import SqliteNodes
from .reservations import release, reserve
from .writer import Writer, look

log = logging.getLogger(__name__)

READ_TIMEOUT_S = 0.1
"""How long a read may hold up the event loop while another server makes the file; else it gives up."""

PAGE = 250
"""Rows that are looked at in one read of the feed: with the wording, some milliseconds."""

MAX_NUMBER = 2**62
"""Larger numbers are none that was ever given."""

Values = tuple[bytes | str | int, ...]
Row = tuple[Any, ...]

_KNOWN = """
SELECT size, mtime_ns, ctime_ns, inode, plain_size, sha256, durable FROM stored
WHERE checksum = ? AND place = ? AND form = ?
"""
_HELD = """
SELECT seq, checksum, size, added_ms, sha256 FROM arrivals WHERE checksum = ? AND deleted_ms IS NULL
"""
_NAMED = """
SELECT checksum FROM arrivals WHERE sha256 = ? AND sha256 != checksum AND deleted_ms IS NULL
UNION ALL SELECT checksum FROM arrivals WHERE checksum = ? AND sha256 = ? AND deleted_ms IS NULL
"""
_HASHSET = """
SELECT d.md5, d.sha1, a.sha256, d.sha512, a.size FROM arrivals a JOIN digests d USING (checksum)
WHERE a.checksum = ? AND a.deleted_ms IS NULL AND a.sha256 IS NOT NULL
"""
_META = "SELECT value FROM meta WHERE key = ?"
_FEED = """
SELECT seq, checksum, size, added_ms, sha256 FROM arrivals
WHERE seq BETWEEN ? AND ? AND deleted_ms IS NULL ORDER BY seq
"""
_HISTORY = f"""
SELECT seq, checksum, size, added_ms, sha256 FROM arrivals
WHERE (added_ms, seq) > (?, ?) AND added_ms < ? ORDER BY added_ms, seq LIMIT {PAGE}
"""
_DELETE = "UPDATE arrivals SET deleted_ms = ? WHERE seq = ?"
_DISTRUST = "DELETE FROM stored WHERE checksum = ? AND place = ? AND form = ?"


class SqliteCatalogue:
    """Reads on the caller's thread, in microseconds; one thread writes."""

    is_shared = True

    def __init__(self, path: str, prepare: Callable[[], None], *, fsync: bool) -> None:
        """`prepare` is called before the file is made, and may raise.

        Raises: StoreFailed, if a newer program made the file.
        """
        self._reader = Connection(path, READ_TIMEOUT_S, fsync=fsync)
        with contextlib.suppress(sqlite3.Error, OSError):
            self._reader.current()  # a file that a newer program made is refused now, not later
        self._writer = Writer(path, prepare, fsync=fsync)
        self.farmers = SqliteFarmers(self._reader, self._writer)
        self.nodes = SqliteNodes(self._reader, self._writer)

    async def close(self) -> None:
        """Finish what is being written."""
        await self._writer.close()
        self.farmers.close()
        self.nodes.close()
        self._reader.close()

    async def why_unusable(self) -> str | None:
        """Tell in a sentence why nothing can be read or written; None if it can.

        A file that is not there is none: it is made with the next write.
        """
        try:
            await self._writer.write(look)
        except Busy:
            return "another program keeps the catalogue locked"
        except StoreFailed:
            return "the catalogue can't be read or written"
        return None

    # -- reading ---------------------------------------------------------------------------------

    def known(self, checksum: Checksum, place: str, form: Form) -> Known | None:
        """Tell what is known of a stored file."""
        row = self._row(_KNOWN, (bytes.fromhex(checksum), place, str(form)))
        if row is None:
            return None
        size, mtime_ns, ctime_ns, inode, plain_size, sha256, durable = row
        return Known(Identity(size, mtime_ns, ctime_ns, inode), plain_size, sha256, bool(durable))

    def held(self, checksum: Checksum) -> Held | None:
        """Tell what a buffer that is listed as held is listed with."""
        row = self._row(_HELD, (bytes.fromhex(checksum),))
        return None if row is None else _held(row)

    def named(self, sha256: bytes) -> Checksum | None:
        """Tell the name of the buffer, listed as held, that has this SHA-256."""
        row = self._row(_NAMED, (sha256, sha256, sha256))
        return None if row is None else Checksum(row[0].hex())

    def hashset(self, checksum: Checksum) -> Hashset | None:
        """Tell all digests of a buffer that is listed as held, if they were ever computed."""
        row = self._row(_HASHSET, (bytes.fromhex(checksum),))
        return None if row is None else Hashset(*row)

    def manifest(self, checksum: Checksum, block_size: int) -> Manifest | None:
        """Tell what the blocks of a buffer that is listed as held hash to, if it was ever computed."""
        row = self._row(OF_BUFFER, (bytes.fromhex(checksum), block_size))
        return None if row is None else manifest_in(row)

    def digested(self, file: FileId, block_size: int) -> Digested | None:
        """Tell what a file that is no buffer was found to hash to; the caller compares the identity."""
        row = self._row(OF_FILE, (file_key(file), block_size))
        return None if row is None else digested_in(row)

    def totals(self) -> Totals:
        """Tell how much is held. Raises: StoreFailed."""
        with self._reader.reading() as connection:
            if connection is None:
                return Totals(0, 0)
            return Totals(*connection.execute("SELECT count, size FROM totals").fetchone())

    def feed(self, first_seq: int) -> Page:
        """Give the next page of what is held, in the order of arrival, from a number on."""
        first_seq = min(max(1, first_seq), MAX_NUMBER)
        with self._reader.reading() as connection:
            if connection is None:
                return Page("", [], first_seq)
            connection.execute("BEGIN")  # so that the page is of one moment
            (feed_id,) = connection.execute(_META, ("feed_id",)).fetchone()
            (newest,) = connection.execute("SELECT ifnull(max(seq), 0) FROM arrivals").fetchone()
            last_seq = min(first_seq + PAGE - 1, newest)
            rows = connection.execute(_FEED, (first_seq, last_seq)).fetchall()
            connection.execute("COMMIT")
        return Page(feed_id, [_held(row) for row in rows], max(first_seq, last_seq + 1))

    def history(self, after: tuple[int, int], until_ms: int) -> list[Held]:
        """Give what came, in the order of time, deleted or not: the first ones of a page."""
        values = [min(max(0, number), MAX_NUMBER) for number in (*after, until_ms)]
        with self._reader.reading() as connection:
            rows = [] if connection is None else connection.execute(_HISTORY, values).fetchall()
        return [_held(row) for row in rows]

    def note(self, key: str) -> str:
        """Give what was noted under a key."""
        row = self._row(_META, (f"note {key}",))
        return "" if row is None else row[0]

    def _row(self, statement: str, values: Values = ()) -> Row | None:
        try:
            connection = self._reader.current()
            if connection is None:
                return None
            row: Row | None = connection.execute(statement, values).fetchone()
            return row
        except (sqlite3.Error, OSError, StoreFailed) as error:
            log.warning("catalogue can't be read, files will be hashed instead: %s", error)
            self._reader.close()
            return None

    # -- writing ---------------------------------------------------------------------------------

    async def record(self, arrival: Arrival, reservation: int | None = None) -> None:
        """List a buffer as held, unless it is, and remember its file.

        Raises: StoreFailed, Busy.
        """
        await self._writer.write_along(record_all, (arrival, reservation))

    async def keep_manifest(self, checksum: Checksum, manifest: Manifest) -> None:
        """Keep what the blocks of a buffer hash to, if it is listed as held. Raises: StoreFailed, Busy."""
        await self._writer.write(partial(keep_of_buffer, checksum=checksum, manifest=manifest))

    async def keep_digested(self, file: FileId, digested: Digested) -> None:
        """Keep what a file hashes to, in the place of what it did before. Raises: StoreFailed, Busy."""
        await self._writer.write(partial(keep_of_file, file=file, digested=digested))

    async def distrust(self, checksum: Checksum, place: str, form: Form) -> None:
        """Know nothing of a file any more that was found not to hash to its name.

        Raises: StoreFailed, Busy.
        """
        values = (bytes.fromhex(checksum), place, str(form))
        await self._writer.write(partial(_distrust, values=values))

    async def forget(self, checksum: Checksum, is_absent: IsAbsent) -> None:
        """List a buffer as deleted, if it is still absent inside the transaction.

        Raises: StoreFailed, Busy.
        """
        await self._writer.write(partial(_forget, checksum=checksum, is_absent=is_absent))

    async def reserve(self, checksum: Checksum, size: int, limits: Limits) -> int | None:
        """Reserve room for a buffer. Raises: StoreFailed, Busy."""
        return await self._writer.write(partial(reserve, checksum=checksum, size=size, limits=limits))

    async def release(self, reservation: int) -> None:
        """Give up a reservation. Raises: StoreFailed, Busy."""
        await self._writer.write(partial(release, reservation=reservation))

    async def keep_note(self, key: str, text: str) -> None:
        """Note something, in the place of what was noted before. Raises: StoreFailed, Busy."""
        await self._writer.write(partial(_keep_note, key=key, text=text))


def _held(row: Row) -> Held:
    seq, checksum, size, added_ms, sha256 = row
    return Held(seq, Checksum(checksum.hex()), size, added_ms, sha256)


def _distrust(connection: sqlite3.Connection, values: Values) -> None:
    connection.execute(_DISTRUST, values)


def _forget(connection: sqlite3.Connection, checksum: Checksum, is_absent: IsAbsent) -> None:
    name = bytes.fromhex(checksum)
    places = connection.execute("SELECT DISTINCT place FROM stored WHERE checksum = ?", (name,)).fetchall()
    if not is_absent([place for (place,) in places]):
        return
    for seq, _, size, *_ in connection.execute(_HELD, (name,)).fetchall():
        connection.execute(_DELETE, (time.time_ns() // 1_000_000, seq))
        connection.execute(COUNT, (-1, -size))
    for table in ("stored", "digests", "blocks"):
        connection.execute(f"DELETE FROM {table} WHERE checksum = ?", (name,))


def _keep_note(connection: sqlite3.Connection, key: str, text: str) -> None:
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (f"note {key}", text))
