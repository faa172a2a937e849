"""Reading many rows: in a thread, by a connection of its own, so that nobody else waits for it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ..store.threads import finished
from .connection import Connection

T = TypeVar("T")


class Listing:
    """One reading after the other."""

    def __init__(self, reader: Connection, name: str) -> None:
        """`reader` is of the same file; `name`: the thread's."""
        self._connection = reader.another()
        self._thread = ThreadPoolExecutor(1, name)

    def close(self) -> None:
        """Let go of the file."""
        self._thread.shutdown()
        self._connection.close()

    async def read(self, read: Callable[[sqlite3.Connection], T], nothing: T) -> T:
        """Read something; gives `nothing` where there is no catalogue yet. Raises: StoreFailed."""
        return await finished(self._thread.submit(self._in_thread, read, nothing))

    def _in_thread(self, read: Callable[[sqlite3.Connection], T], nothing: T) -> T:
        with self._connection.reading() as connection:
            return nothing if connection is None else read(connection)
