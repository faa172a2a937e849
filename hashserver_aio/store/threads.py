"""The threads that a store blocks in, so that the event loop never does.

A job is never left behind: who is cancelled while waiting for one is only told when it has ended,
because what it works on (a descriptor, a temp file) is taken away next.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from ..errors import from_os_error
from .lanes import Lane

P = ParamSpec("P")
T = TypeVar("T")

DISK_THREADS = 16
"""Commits wait for the disk, not for a core: 16 at a time share the journal's commits and cost
less than half of one after the other (measured on ext4; syncfs was no cheaper)."""

ASKING_THREADS = 4
"""Looking takes microseconds; but one question may be about 100,000 names."""

HASH_THREADS = max(2, os.cpu_count() or 1)
"""What takes a core, also to read a file: a few megabytes are one turn, so that all go forward."""

HASH_NICENESS = 5
"""A third of the share of a core, when somebody else wants it."""

FLUSH_THREADS = 2
"""What is synced early must not keep the disk from commits that somebody waits for."""


class Threads:
    """Pools: who only asks does not wait for commits, and neither for those that hash."""

    def __init__(self) -> None:
        self._disk = ThreadPoolExecutor(DISK_THREADS, "disk")
        self._asking = ThreadPoolExecutor(ASKING_THREADS, "ask")
        self._hashing = ThreadPoolExecutor(HASH_THREADS, "hash", _give_way)
        self._flushing = ThreadPoolExecutor(FLUSH_THREADS, "flush")

    async def disk(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function that waits for the disk.

        Raises: NoSpace, StoreFailed or Busy for an OSError.
        """
        return await finished(self._disk.submit(function, *args, **kwargs))

    async def ask(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function that looks at the directory; errors as for `disk`."""
        return await finished(self._asking.submit(function, *args, **kwargs))

    async def hash(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function that needs a core for some milliseconds; errors as for `disk`."""
        return await finished(self._hashing.submit(function, *args, **kwargs))

    def hash_lane(self, take: Callable[[bytes], object], tell: Callable[[], object]) -> Lane:
        """Make a lane to something that needs a core."""
        return Lane(self._hashing, take, tell)

    def disk_lane(self, take: Callable[[bytes], object], tell: Callable[[], object]) -> Lane:
        """Make a lane to something that may have to wait for the disk."""
        return Lane(self._disk, take, tell)

    def flush_lane(self, take: Callable[[bytes], object], tell: Callable[[], object]) -> Lane:
        """Make a lane to syncs that nobody waits for yet."""
        return Lane(self._flushing, take, tell)

    def close(self) -> None:
        """Wait for all jobs."""
        self._disk.shutdown()
        self._asking.shutdown()
        self._hashing.shutdown()
        self._flushing.shutdown()


def _give_way() -> None:
    """Let whoever answers requests have the core first, where there are not enough of them."""
    with contextlib.suppress(OSError):
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + HASH_NICENESS)


async def finished(job: Future[T]) -> T:
    """Wait for a job, also if cancelled meanwhile."""
    loop = asyncio.get_running_loop()
    cancelled: asyncio.CancelledError | None = None
    while not job.done():
        ended = loop.create_future()
        job.add_done_callback(partial(_tell, loop, ended))
        try:
            await ended
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    try:
        return job.result()
    except OSError as error:
        raise from_os_error(error) from error


def _tell(loop: asyncio.AbstractEventLoop, waiting: asyncio.Future[None], _: object) -> None:
    with contextlib.suppress(RuntimeError):  # the loop may be gone at the very end
        loop.call_soon_threadsafe(_wake, waiting)


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
