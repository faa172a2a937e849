"""Who waits for which buffer in this process, and which uploads of this process they may wait for.

What happens in other processes is noticed by looking again: `wait` never lasts longer than a poll.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable

from .checksums import Checksum
from .counting import WAITING, Counts
from .errors import Busy

POLL_S = 0.25
"""A buffer that comes through the directory is noticed within this time."""

MAX_WAIT_S = 600.0
"""As long as a promise lasts; an upload that trickles for longer is not waited for."""

MAX_WAITING = 10_000
"""Each is an open connection that looks at the directory four times a second."""


class Waiting:
    """Uploads under way, and the requests that wait for what they bring."""

    def __init__(self, counts: Counts) -> None:
        self._row = counts.row
        self._uploads: Counter[Checksum] = Counter()
        self._waiters: dict[Checksum | None, set[asyncio.Future[None]]] = {}
        self._count = 0
        self.is_closed = False

    def begin(self, checksum: Checksum) -> None:
        """An upload has begun."""
        self._uploads[checksum] += 1

    def end(self, checksum: Checksum) -> None:
        """An upload has ended, well or not: whoever waits for it looks again."""
        self._uploads[checksum] -= 1
        if self._uploads[checksum] == 0:
            del self._uploads[checksum]
        for waiter in (*self._waiters.get(checksum, ()), *self._waiters.get(None, ())):
            if not waiter.done():
                waiter.set_result(None)

    def is_uploading(self, checksum: Checksum, besides: int = 0) -> bool:
        """Tell whether this process is receiving a buffer, more than `besides` times."""
        return self._uploads.get(checksum, 0) > besides

    def uploading(self, checksums: Iterable[Checksum]) -> set[Checksum]:
        """Tell which of these buffers this process is receiving."""
        return set(self._uploads).intersection(checksums)

    async def wait(self, checksum: Checksum | None, at_most_s: float = POLL_S) -> None:
        """Wait until an upload of a buffer ends, of any for None; or for a poll.

        Raises: Busy, when too many wait or the server is stopping.
        """
        if self.is_closed or self._count >= MAX_WAITING:
            raise Busy("the server is stopping" if self.is_closed else "too many requests wait")
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiters = self._waiters.setdefault(checksum, set())
        waiters.add(waiter)
        self._count += 1
        self._row[WAITING] = self._count
        try:
            await asyncio.wait((waiter,), timeout=min(POLL_S, at_most_s))
        finally:
            self._count -= 1
            self._row[WAITING] = self._count
            waiters.discard(waiter)
            if not waiters:
                self._waiters.pop(checksum, None)

    def close(self) -> None:
        """Let nobody wait any longer: the server is stopping."""
        self.is_closed = True
        for checksum in list(self._waiters):
            for waiter in self._waiters[checksum]:
                if not waiter.done():
                    waiter.set_result(None)
