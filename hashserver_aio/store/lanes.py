"""Lanes: what is done with the pieces of an upload, each thing in a thread of its own.

On two cores SHA3 alone then sets the pace: SHA-256 and the disk keep up beside it.
"""

from __future__ import annotations

import os
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
        self._is_scheduled = False
        self._is_taking = False
        self._is_stopped = False
        self._changed = threading.Condition()
        self.behind = 0
        self.error: Exception | None = None

    def push(self, piece: bytes) -> None:
        """Pass a piece on; it is taken as soon as those before it are."""
        with self._changed:
            if self._is_stopped or self.error is not None:
                return
            self._pieces.append(piece)
            self.behind += 1
            if self._is_scheduled:
                return
            self._is_scheduled = True
        self._schedule()

    def _schedule(self) -> None:
        try:
            self._pool.submit(self._run)
        except RuntimeError as error:  # the pool is closed: the server is at its end
            self._end_turn(error)

    def _run(self) -> None:
        for _ in range(PIECES_A_TURN):
            piece = self._next()
            if piece is None:
                return
            try:
                self._take(piece)
            except Exception as error:
                self._end_turn(error)
                return
            self._end_turn(None)
            os.sched_yield()  # a kernel that preempts by its tick would let the next piece go first too
        if self._has_more():
            self._schedule()  # behind all others who wait for a thread

    def _next(self) -> bytes | None:
        with self._changed:
            self._is_taking = self._is_scheduled = bool(self._pieces)
            return self._pieces.popleft() if self._pieces else None

    def _has_more(self) -> bool:
        with self._changed:
            self._is_scheduled = bool(self._pieces)
            return self._is_scheduled

    def _end_turn(self, error: Exception | None) -> None:
        with self._changed:
            self._is_taking = False
            if error is None:
                self.behind -= 1
            else:
                self.error = error
                self._pieces.clear()
            self._changed.notify_all()
        self._tell()

    def stop(self) -> None:
        """Take no more, and wait until nothing is being taken.

        Never for a job that waits for a thread: who stops may have the thread that it waits for.
        """
        with self._changed:
            self._is_stopped = True
            self._pieces.clear()
            self._changed.wait_for(lambda: not self._is_taking)
