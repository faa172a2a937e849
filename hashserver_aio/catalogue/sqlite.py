"""The catalogue in a SQLite file beside the buffers.

The file may be removed at any time, also while servers run: it is made anew with the next write.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import queue
import sqlite3
import stat
import threading
import time
from collections.abc import Callable
from typing import Any

from ..checksums import Checksum
from ..errors import StoreFailed
from ..store import Form, Identity
from . import Arrival, Known
from .schema import upgrade

log = logging.getLogger(__name__)

BATCH = 256
"""Writes that share one transaction and so one fsync; more would only make the first ones wait."""

BUSY_TIMEOUT_S = 10.0
"""How long a write waits for another server's transaction, which takes milliseconds."""

READ_TIMEOUT_S = 0.1
"""How long a read may hold up the event loop while another server makes the file; else it gives up."""

_KNOWN = """
SELECT size, mtime_ns, ctime_ns, inode, plain_size, sha256, durable FROM stored
WHERE checksum = ? AND place = ? AND form = ?
"""
_HOLDS = "SELECT 1 FROM arrivals WHERE checksum = ? AND deleted_ms IS NULL"
_ARRIVE = """
INSERT INTO arrivals (checksum, size, added_ms, sha256) SELECT ?, ?, ?, ?
WHERE NOT EXISTS (SELECT 1 FROM arrivals WHERE checksum = ? AND deleted_ms IS NULL)
"""
_STORE = """
INSERT INTO stored (checksum, place, form, size, mtime_ns, ctime_ns, inode, plain_size, durable, sha256)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET size = excluded.size, mtime_ns = excluded.mtime_ns,
    ctime_ns = excluded.ctime_ns, inode = excluded.inode, plain_size = excluded.plain_size,
    sha256 = excluded.sha256,
    durable = excluded.durable OR (durable AND inode = excluded.inode
        AND mtime_ns = excluded.mtime_ns AND ctime_ns = excluded.ctime_ns)
"""
_DELETE = "UPDATE arrivals SET deleted_ms = ? WHERE checksum = ? AND deleted_ms IS NULL"
_UNSTORE = "DELETE FROM stored WHERE checksum = ?"

Write = Callable[[sqlite3.Connection], None]


class SqliteCatalogue:
    """One writing thread that shares transactions, and reads on the caller's thread."""

    def __init__(self, path: str, prepare: Callable[[], None], *, fsync: bool) -> None:
        """`prepare` is called before the file is made, and may raise.

        Raises: StoreFailed, if a newer program made the file.
        """
        self._path = path
        self._prepare = prepare
        self._reader = _Connection(path, READ_TIMEOUT_S, fsync=fsync)
        self._writer = _Connection(path, BUSY_TIMEOUT_S, fsync=fsync)
        self._closed = False
        with contextlib.suppress(sqlite3.Error, OSError):
            self._reader.current()  # a file that a newer program made is refused now, not later
        self._writes: queue.SimpleQueue[tuple[Write, asyncio.Future[None]] | None]
        self._writes = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="catalogue", daemon=True)
        self._thread.start()

    # -- reading, on the event loop's thread: microseconds ---------------------------------------

    def known(self, checksum: Checksum, place: str, form: Form) -> Known | None:
        """Tell what is known of a stored file."""
        row = self._row(_KNOWN, (bytes.fromhex(checksum), place, str(form)))
        if row is None:
            return None
        size, mtime_ns, ctime_ns, inode, plain_size, sha256, durable = row
        return Known(Identity(size, mtime_ns, ctime_ns, inode), plain_size, sha256, bool(durable))

    def holds(self, checksum: Checksum) -> bool:
        """Tell whether a buffer is listed as held."""
        return self._row(_HOLDS, (bytes.fromhex(checksum),)) is not None

    def _row(self, statement: str, values: tuple[bytes | str, ...]) -> tuple[Any, ...] | None:
        try:
            connection = self._reader.current()
            if connection is None:
                return None
            row: tuple[Any, ...] | None = connection.execute(statement, values).fetchone()
            return row
        except (sqlite3.Error, OSError, StoreFailed) as error:
            log.warning("catalogue can't be read, files will be hashed instead: %s", error)
            self._reader.close()
            return None

    # -- writing ---------------------------------------------------------------------------------

    async def record(self, arrival: Arrival) -> None:
        """List a buffer as held, unless it is, and remember its file.

        Raises: StoreFailed.
        """
        await self._write(lambda connection: _record(connection, arrival))

    async def forget(self, checksum: Checksum, is_absent: Callable[[], bool]) -> None:
        """List a buffer as deleted, if it is still absent inside the transaction.

        Raises: StoreFailed.
        """
        await self._write(lambda connection: _forget(connection, checksum, is_absent))

    async def _write(self, write: Write) -> None:
        if self._closed:
            raise StoreFailed("the catalogue is closed")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._writes.put((write, done))
        await done

    async def close(self) -> None:
        """Finish what is being written."""
        self._closed = True
        self._writes.put(None)
        await asyncio.to_thread(self._thread.join)
        self._reader.close()

    def _run(self) -> None:
        while batch := self._next_batch():
            error = self._commit([write for write, _ in batch])
            alone = error is not None and len(batch) > 1
            for write, done in batch:
                if alone:  # one bad row is no reason to lose the others
                    error = self._commit([write])
                with contextlib.suppress(RuntimeError):  # the loop may be gone at the very end
                    done.get_loop().call_soon_threadsafe(_settle, done, error)
        self._writer.close()

    def _next_batch(self) -> list[tuple[Write, asyncio.Future[None]]]:
        batch = []
        item = self._writes.get()
        while item is not None:
            batch.append(item)
            if len(batch) == BATCH or self._writes.empty():
                return batch
            item = self._writes.get()
        if batch:
            self._writes.put(None)
        return batch

    def _commit(self, writes: list[Write]) -> Exception | None:
        """Do some writes in one transaction; a broken file is moved aside and made anew, once."""
        deadline_s = time.monotonic() + BUSY_TIMEOUT_S
        moved = False
        while True:
            try:
                connection = self._open()
                connection.execute("BEGIN IMMEDIATE")
                for write in writes:
                    write(connection)
                connection.execute("COMMIT")
                return None
            except (sqlite3.Error, OSError, StoreFailed) as error:
                self._writer.close()
                if _has_code(error, sqlite3.SQLITE_BUSY) and time.monotonic() < deadline_s:
                    time.sleep(0.02)  # SQLite itself does not wait while two servers make the file
                elif not moved and _has_code(error, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                    self._move_aside(error)
                    moved = True
                else:
                    return StoreFailed(f"the catalogue can't be written: {error}")
            except Exception as error:  # a write of ours went wrong: the thread must live on
                self._writer.close()
                return StoreFailed(f"the catalogue refused a row: {error}")

    def _open(self) -> sqlite3.Connection:
        connection = self._writer.current()
        if connection is None:
            self._prepare()
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            connection = self._writer.make()
        return connection

    def _move_aside(self, error: Exception) -> None:
        aside = f"{self._path}.broken-{time.time_ns() // 1_000_000}"
        log.error("catalogue is broken (%s), moved aside; files will be hashed again", error)
        for ending in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                os.rename(self._path + ending, aside + ending)


class _Connection:
    """A connection to whatever file is at the path now, not to one that was there before."""

    def __init__(self, path: str, timeout_s: float, *, fsync: bool) -> None:
        self._path = path
        self._synchronous = "FULL" if fsync else "OFF"
        self._timeout_s = timeout_s
        self._connection: sqlite3.Connection | None = None
        self._inode = 0

    def current(self) -> sqlite3.Connection | None:
        """Give the connection; None where there is no catalogue yet."""
        try:
            inode = os.stat(self._path).st_ino
        except OSError:
            self.close()
            return None
        if self._connection is None or inode != self._inode:
            self.close()
            return self.make()
        return self._connection

    def make(self) -> sqlite3.Connection:
        """Open the file, made and upgraded if need be."""
        existed = os.path.exists(self._path)
        self._connection = connection = sqlite3.connect(
            self._path, timeout=self._timeout_s, isolation_level=None, check_same_thread=False
        )
        try:
            # Nothing but SQLite may ever open this file: closing any other descriptor of it drops
            # the locks that SQLite holds, and the next server to stop would destroy the file.
            connection.execute("PRAGMA user_version").fetchone()  # makes the file
            if not existed:
                _follow_group(self._path)
            self._inode = os.stat(self._path).st_ino
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {self._synchronous}")
            upgrade(connection)
        except BaseException:
            self.close()
            raise
        return connection

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _follow_group(path: str) -> None:
    """Let the folder's group write a new catalogue, if it may write the folder."""
    if os.stat(os.path.dirname(path)).st_mode & stat.S_IWGRP:
        os.chmod(path, 0o664)


def _record(connection: sqlite3.Connection, arrival: Arrival) -> None:
    known, name = arrival.known, bytes.fromhex(arrival.checksum)
    now_ms = time.time_ns() // 1_000_000
    connection.execute(_ARRIVE, (name, known.plain_size, now_ms, known.sha256, name))
    i = known.identity
    row = (name, arrival.place, str(arrival.form), i.size, i.mtime_ns, i.ctime_ns, i.inode)
    connection.execute(_STORE, (*row, known.plain_size, known.durable, known.sha256))


def _forget(connection: sqlite3.Connection, checksum: Checksum, absent: Callable[[], bool]) -> None:
    if absent():
        name = bytes.fromhex(checksum)
        connection.execute(_DELETE, (time.time_ns() // 1_000_000, name))
        connection.execute(_UNSTORE, (name,))


def _settle(done: asyncio.Future[None], error: Exception | None) -> None:
    if done.done():  # its waiter was cancelled
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)


def _has_code(error: Exception, *codes: int) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in codes
