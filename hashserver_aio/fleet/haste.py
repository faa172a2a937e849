"""How long a node may take: it may be silent for so long, and slow for a while, and never both for ever.

Only time that passes while it is the node's turn is counted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import StreamReader

CONNECT_S = 5.0

SILENCE_S = 10.0
"""A node that has neither sent nor taken anything for so long is given up."""

BEGIN_S = CONNECT_S + SILENCE_S
"""Until an answer has begun, or a body is asked for."""

MIN_BYTES_PER_S = 32 * 1024
"""Less than this is no node that a buffer could be read from in time."""

GRACE_S = 20.0
"""So long it may be slower than that, now and then."""

DIGESTED_BYTES_PER_S = 8 * 2**20
"""A node answers to a push once all of it is hashed and synced; a poor machine is five times as fast."""


class _Account:
    """Time that a node has left, as long as it keeps up with the least rate."""

    def __init__(self) -> None:
        self._left_s = GRACE_S

    @property
    def next_s(self) -> float:
        """How long the next bytes may take."""
        return max(0.0, min(SILENCE_S, self._left_s))

    def took(self, taken_s: float, size: int) -> None:
        """Some bytes took some time."""
        self._left_s = min(GRACE_S, self._left_s - taken_s + size / MIN_BYTES_PER_S)


class Reader:
    """Reads the body of an answer, as long as it comes fast enough."""

    def __init__(self, content: StreamReader) -> None:
        self._content = content
        self._account = _Account()

    async def read(self) -> bytes:
        """Give some more bytes; b"" at the end. Raises: TimeoutError, ClientError."""
        began_s = time.monotonic()
        async with asyncio.timeout(self._account.next_s):
            piece = await self._content.readany()
        self._account.took(time.monotonic() - began_s, len(piece))
        return piece


class PushWatch:
    """Ends a push whose body does not go out fast enough."""

    def __init__(self, size: int) -> None:
        self._deadline: asyncio.Timeout | None = None
        self._answer_s = SILENCE_S + GRACE_S + size / DIGESTED_BYTES_PER_S
        self._account = _Account()

    @asynccontextmanager
    async def limited(self) -> AsyncIterator[None]:
        """Limit what is done here: until the body is asked for, while it goes out, and then for an answer.

        Raises: TimeoutError.
        """
        async with asyncio.timeout(BEGIN_S) as self._deadline:
            try:
                yield
            finally:
                self._deadline = None

    async def passing(self, body: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """Pass a body through; while it is waited for, the node has time."""
        try:
            self._expect(None)
            async for piece in body:
                began_s = time.monotonic()
                self._expect(self._account.next_s)
                yield piece
                self._account.took(time.monotonic() - began_s, len(piece))
                self._expect(None)
        finally:
            self._expect(self._answer_s)
            if isinstance(body, AsyncGenerator):
                await body.aclose()

    def _expect(self, within_s: float | None) -> None:
        if self._deadline is not None:
            now_s = asyncio.get_running_loop().time()
            self._deadline.reschedule(None if within_s is None else now_s + within_s)
