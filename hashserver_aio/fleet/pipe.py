"""Pieces on their way from one task to another: a few at a time, and either side may stop."""

from __future__ import annotations

import asyncio
from collections import deque

from ..errors import HashserverError


class Pipe:
    """Between one task that gives and one that takes."""

    def __init__(self, room: int) -> None:
        """`room`: how many pieces it holds."""
        self._room = room
        self._pieces: deque[bytes] = deque()
        self._moved = asyncio.Event()
        self._error: HashserverError | None = None
        self.has_ended = False
        self.is_taken = True

    def offer(self, piece: bytes) -> bool:
        """Give a piece if there is room; False if there is none."""
        if len(self._pieces) >= self._room:
            return False
        self._pieces.append(piece)
        self._moved.set()
        return True

    async def give(self, piece: bytes) -> None:
        """Give a piece as soon as there is room; to nobody, if nobody takes any more."""
        while self.is_taken and not self.offer(piece):
            self._moved.clear()
            await self._moved.wait()

    def end(self, error: HashserverError | None = None) -> None:
        """Give no more, because of an error or because there is no more. What came first holds."""
        if not self.has_ended:
            self.has_ended, self._error = True, error
            self._moved.set()

    async def take(self) -> bytes:
        """Take a piece; b"" at the end. May be cancelled and called again. Raises: what it ended with."""
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self.has_ended:
                return b""
            self._moved.clear()
            await self._moved.wait()
        self._moved.set()
        return self._pieces.popleft()

    def leave(self) -> None:
        """Take no more."""
        self.is_taken = False
        self._pieces.clear()
        self._moved.set()
