"""Lanes: what is done with the pieces of an upload, each thing in a thread of its own.

On two cores SHA3 alone then sets the pace: SHA-256 and the disk keep up beside it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor

PIECES_A_TURN = 4
"""2 MiB of hashing is some 7 ms: long against a thread's hop, short for whoever waits for a thread."""


class Lane:
    """Passes pieces to one taker, one at a time and in order.

    `behind`: how many pieces it was given and has not taken; `error`: why it takes no more.
    """

    def __init__(self, pool: Executor, take: Callable[[bytes], object], tell: Callable[[], object]) -> None:
        """`tell` is called, in a thread, after each piece, and after an error."""
        self._pool = pool
        self._take = take
        self._tell = tell
        self._pieces: deque[bytes] = deque()
        self._is_running = False
        self._changed = threading.Condition()
        self.behind = 0
        self.error: Exception | None = None

    def push(self, piece: bytes) -> None:
        """Pass a piece on; it is taken as soon as those before it are."""
        with self._changed:
            self._pieces.append(piece)
            self.behind += 1
            if self._is_running or self.error is not None:
                return
            self._is_running = True
        self._pool.submit(self._run)

    def _run(self) -> None:
        for _ in range(PIECES_A_TURN):
            piece = self._next()
            if piece is None:
                return
            try:
                self._take(piece)
            except Exception as error:
                self._fail(error)
                return
            with self._changed:
                self.behind -= 1
            self._tell()
        self._pool.submit(self._run)  # behind all others who wait for a thread

    def _next(self) -> bytes | None:
        with self._changed:
            if self._pieces:
                return self._pieces.popleft()
            self._is_running = False
            self._changed.notify_all()
            return None

    def _fail(self, error: Exception) -> None:
        with self._changed:
            self.error = error
            self._pieces.clear()
            self._is_running = False
            self._changed.notify_all()
        self._tell()

    def stop(self) -> None:
        """Forget what was not taken yet, and wait until nothing is being taken."""
        with self._changed:
            self._pieces.clear()
            self._changed.wait_for(lambda: not self._is_running)
