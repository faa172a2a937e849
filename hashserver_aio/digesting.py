"""Digesting in the background: each thing once, few at a time, to its end whoever has gone meanwhile.

It knows nothing of what is digested: who begins a job says what it is called and how it is done.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from typing import Any, Generic, TypeVar

from .blocks import SHA1_BYTES, BlockDigester
from .checksums import Checksum
from .errors import Busy, HashserverError

log = logging.getLogger(__name__)

AT_ONCE = max(1, (os.cpu_count() or 1) // 2)
"""The other half of the threads that hash is for those who wait for a buffer to be verified."""

MAX_JOBS = 256
"""Under way or waiting. One more is not begun: to whoever asks it looks like one whose turn is far away."""

ELSEWHERE_S = 0.25
"""How often it is looked whether another server has done what it is doing."""

R = TypeVar("R")

Work = Callable[["Job[R]"], Awaitable[R]]

Lock = Callable[[Checksum], Awaitable[Callable[[], None] | None]]
"""Takes a lock, unless another server has it; what it gives ends that."""


class Job(Generic[R]):
    """A thing being digested; `digester`: by what, once its turn has come. Without a task it never does."""

    def __init__(self, size: int, block_size: int) -> None:
        self.size = size
        self.block_size = block_size
        self.digester: BlockDigester | None = None
        self.task: asyncio.Task[R] | None = None

    @property
    def block_count(self) -> int:
        """How many blocks there are."""
        return -(-self.size // self.block_size)

    @property
    def sha1s(self) -> bytes:
        """The SHA-1s of the first blocks, as far as they are read, packed.

        Without that of the last one: nobody shall have all before the whole was found to be good.
        """
        if self.digester is None:
            return b""
        return self.digester.sha1s[: max(0, self.block_count - 1) * SHA1_BYTES]

    async def wait(self, at_most_s: float) -> R | None:
        """Wait until it is done; None if it is not. Raises: what went wrong; Busy, at the server's end."""
        if self.task is None or not (await asyncio.wait((self.task,), timeout=at_most_s))[0]:
            return None
        if self.task.cancelled():
            raise _stopping()
        return self.task.result()


class Digesting:
    """The jobs of a process, by what is digested."""

    def __init__(self, lock: Lock) -> None:
        self._lock = lock
        self._jobs: dict[Hashable, Job[Any]] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._is_closed = False

    def job(self, key: Hashable) -> Job[Any] | None:
        """Find the job that something is digested by."""
        return self._jobs.get(key)

    @property
    def turn(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Hold one of the turns; only who has one may read."""
        return self._turns

    @contextlib.asynccontextmanager
    async def alone(self, name: Checksum) -> AsyncIterator[None]:
        """Hold a turn while no other server that shares the lock holds one under this name.

        After that, what it found may be known.
        """
        while True:
            async with self._turns:
                end = await self._lock(name)
                if end is not None:
                    try:
                        yield
                        return
                    finally:
                        end()
            await asyncio.sleep(ELSEWHERE_S)

    def begin(self, key: Hashable, job: Job[R], work: Work[R]) -> Job[R]:
        """Begin a job if there is room, of what is not being digested. Raises: Busy, at the end."""
        if self._is_closed:
            raise _stopping()
        if len(self._jobs) < MAX_JOBS:
            job.task = asyncio.create_task(self._run(key, job, work))
            job.task.add_done_callback(_hear)
            self._jobs[key] = job
        return job

    async def _run(self, key: Hashable, job: Job[R], work: Work[R]) -> R:
        try:
            return await work(job)
        finally:
            del self._jobs[key]

    async def close(self) -> None:
        """End all jobs; whoever waits for one is told that the server is stopping."""
        self._is_closed = True
        tasks = [job.task for job in self._jobs.values() if job.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _stopping() -> Busy:
    return Busy("the server is stopping")


def _hear(task: asyncio.Task[Any]) -> None:
    """Note what went wrong with a job that nobody may wait for any more."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        level = logging.INFO if isinstance(error, HashserverError) else logging.ERROR
        log.log(level, "can't be digested: %r", error)
