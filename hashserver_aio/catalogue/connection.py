"""A connection to whatever catalogue file is at a path now, not to one that was there before.

Nothing but SQLite may ever open that file: closing any other descriptor of it drops the locks that
SQLite holds, and the next server to stop would destroy it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import Iterator

from ..errors import StoreFailed
from .schema import refuse_foreign, upgrade


class Connection:
    """Opened when it is needed, and anew when another file is in place."""

    def __init__(self, path: str, timeout_s: float, *, fsync: bool) -> None:
        self._path = path
        self._synchronous = "FULL" if fsync else "OFF"
        self._timeout_s = timeout_s
        self._connection: sqlite3.Connection | None = None
        self._inode = 0

    def is_replaced(self) -> bool:
        """Tell whether another file, or none, is in the place of the one that is open."""
        try:
            return self._connection is not None and _inode(self._path) != self._inode
        except OSError:
            return False

    def current(self) -> sqlite3.Connection | None:
        """Give the connection; None where there is no catalogue yet."""
        inode = _inode(self._path)
        if not inode:
            self.close()
            return None
        if self._connection is None or inode != self._inode:
            self.close()
            return self.make()
        return self._connection

    def make(self) -> sqlite3.Connection:
        """Open the file, made and upgraded if need be."""
        before = _inode(self._path)
        self._connection = connection = sqlite3.connect(
            self._path, timeout=self._timeout_s, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA user_version").fetchone()  # makes the file
            if not before:
                _follow_group(self._path)
            self._inode = _inode(self._path)
            if before and before != self._inode:
                raise sqlite3.OperationalError("the catalogue was replaced while it was being opened")
            refuse_foreign(connection)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {self._synchronous}")
            upgrade(connection)
        except BaseException:
            self.close()
            raise
        return connection

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection | None]:
        """Hold the connection; what can't be read must not look like nothing.

        Raises: StoreFailed.
        """
        try:
            yield self.current()
        except (sqlite3.Error, OSError) as error:
            self.close()
            reason = error.strerror if isinstance(error, OSError) else error
            raise StoreFailed(f"the catalogue can't be read: {reason}") from None

    def another(self) -> Connection:
        """Make one more connection to the same file, for another thread."""
        return Connection(self._path, self._timeout_s, fsync=self._synchronous == "FULL")

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _inode(path: str) -> int:
    """Give a file's number; 0 where there is none. Raises: OSError, where that can't be told."""
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return 0


def _follow_group(path: str) -> None:
    """Let the folder's group write a new catalogue, if it may write the folder."""
    if os.stat(os.path.dirname(path)).st_mode & stat.S_IWGRP:
        os.chmod(path, 0o664)
