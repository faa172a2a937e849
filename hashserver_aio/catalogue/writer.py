"""The one thread that writes a catalogue: what is asked for meanwhile shares the next transaction.

Who asked is answered when the transaction is on the disk, never before.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, TypeVar, cast

from ..errors import HashserverError, Starved, StoreFailed
from .connection import Connection

log = logging.getLogger(__name__)

T = TypeVar("T")

BATCH = 256
"""Writes that share one transaction and so one fsync; more would only make the first ones wait."""

BUSY_TIMEOUT_S = 10.0
"""How long a write waits for another server's transaction, which takes milliseconds."""

Write = Callable[[sqlite3.Connection], Any]
WriteAll = Callable[[sqlite3.Connection, Sequence[Any]], Sequence[Any]]
"""Writes some items, the ones of each in the order given; gives an outcome for each."""

_Asked = tuple[WriteAll, Any, "asyncio.Future[Any]"]

_OF_A_ROW = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, sqlite3.ProgrammingError)
"""What SQLite says about one write, and not about the file."""


class _Refused(Exception):
    """One of some writes went wrong by itself: the others have nothing to do with it."""


def look(connection: sqlite3.Connection) -> None:
    """Write nothing, where something could be written; a file for that alone is never made."""
    connection.execute("SELECT count FROM totals").fetchone()


class Writer:
    """Writes in the order asked for; a broken file is moved aside and made anew."""

    def __init__(self, path: str, prepare: Callable[[], None], *, fsync: bool) -> None:
        """`prepare` is called before the file is made, and may raise."""
        self._path = path
        self._prepare = prepare
        self._connection = Connection(path, BUSY_TIMEOUT_S, fsync=fsync)
        self._closed = False
        self._asked: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="catalogue", daemon=True)
        self._thread.start()

    async def write(self, write: Callable[[sqlite3.Connection], T | HashserverError]) -> T:
        """Do a write in the next transaction; gives what it returned, once that is durable.

        `write` runs in a thread, and again if the transaction it ran in was rolled back. An error that it
        returns is raised here; raised by it, it would undo what others wrote in the same transaction.
        Raises: StoreFailed; Busy, if another program keeps the file locked.
        """
        return cast(T, await self.write_along(_each, write))

    async def write_along(self, write_all: WriteAll, item: object) -> Any:
        """Write an item in the next transaction, at once with others that are written by the same.

        Likewise: `write_all` runs in a thread, and again with one item alone if something was wrong with any.
        """
        if self._closed:
            raise StoreFailed("the catalogue is closed")
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked.put((write_all, item, done))
        return await done

    async def close(self) -> None:
        """Finish what is being written."""
        self._closed = True
        self._asked.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while batch := self._next_batch():
            outcomes = self._outcomes(batch)
            loop = batch[0][2].get_loop()
            with contextlib.suppress(RuntimeError):  # the loop may be gone at the very end
                loop.call_soon_threadsafe(_settle, [done for _, _, done in batch], outcomes)
        self._connection.close()

    def _next_batch(self) -> list[_Asked]:
        batch = []
        item = self._asked.get()
        while item is not None:
            batch.append(item)
            if len(batch) == BATCH or self._asked.empty():
                return batch
            item = self._asked.get()
        if batch:
            self._asked.put(None)
        return batch

    def _outcomes(self, asked: list[_Asked]) -> list[Any]:
        """Tell what each write returned, or the error that kept it from being done."""
        try:
            return self._commit(asked)
        except _Refused as error:
            if len(asked) == 1:
                return [StoreFailed(f"the catalogue refused a row: {error}")]
            return [self._outcomes([each])[0] for each in asked]
        except HashserverError as error:  # the file's fault: each alone would wait as long in vain
            return [error] * len(asked)

    def _commit(self, asked: list[_Asked]) -> list[Any]:
        """Do some writes in one transaction.

        Once more if the file was replaced under it; a broken one is moved aside and made anew, once.
        Raises: StoreFailed, Busy, _Refused.
        """
        deadline_s = time.monotonic() + BUSY_TIMEOUT_S
        again = True
        while True:
            try:
                return self._try(asked)
            except (sqlite3.Error, OSError, StoreFailed) as error:
                replaced = self._connection.is_replaced()
                self._connection.close()
                if _has_code(error, sqlite3.SQLITE_BUSY):
                    if self._closed or time.monotonic() > deadline_s:
                        raise Starved("another program keeps the catalogue locked; try again") from None
                    time.sleep(0.02)  # SQLite itself does not wait while two servers make the file
                    continue
                if not again:
                    raise StoreFailed(f"the catalogue can't be written: {_why(error)}") from None
                again = False
                if replaced:
                    continue
                if not _has_code(error, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                    raise StoreFailed(f"the catalogue can't be written: {_why(error)}") from None
                self._move_aside(error)

    def _try(self, asked: list[_Asked]) -> list[Any]:
        try:
            looks_only = all(item is look for _, item, _ in asked)
            connection = self._connection.current() if looks_only else self._open()
            if connection is None:
                return [None] * len(asked)
            connection.execute("BEGIN IMMEDIATE")
            outcomes: list[Any] = []
            for write_all, alike in itertools.groupby(asked, key=itemgetter(0)):
                outcomes += write_all(connection, [item for _, item, _ in alike])
            connection.execute("COMMIT")
            return outcomes
        except _OF_A_ROW as error:
            self._connection.close()
            raise _Refused(str(error)) from error
        except (sqlite3.Error, OSError, HashserverError):
            raise
        except Exception as error:  # a write of ours went wrong: the thread must live on
            self._connection.close()
            raise _Refused(str(error)) from error

    def _open(self) -> sqlite3.Connection:
        connection = self._connection.current()
        if connection is None:
            self._prepare()
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            connection = self._connection.make()
        return connection

    def _move_aside(self, error: Exception) -> None:
        aside = f"{self._path}.broken-{time.time_ns() // 1_000_000}"
        log.error("catalogue is broken (%s), moved aside; files will be hashed again", error)
        for ending in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                os.rename(self._path + ending, aside + ending)


def _why(error: Exception) -> str:
    """Say what went wrong, without a path."""
    return str(error.strerror) if isinstance(error, OSError) else str(error)


def _each(connection: sqlite3.Connection, writes: Sequence[Write]) -> list[Any]:
    return [write(connection) for write in writes]


def _settle(waiting: Sequence[asyncio.Future[Any]], outcomes: Sequence[object]) -> None:
    for done, outcome in zip(waiting, outcomes, strict=True):
        if done.done():  # its waiter was cancelled
            continue
        if isinstance(outcome, Exception):
            done.set_exception(outcome)
        else:
            done.set_result(outcome)


def _has_code(error: Exception, *codes: int) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in codes
