"""Work on files, in threads.

It is never left behind: whoever is cancelled while waiting for it is told when it has ended, because the
file is closed next, and its descriptor may be another file's by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do something in a thread, to its end. Raises: what it raises."""
    loop = asyncio.get_running_loop()
    return await ended(loop.run_in_executor(None, lambda: work(*args, **kwargs)))


async def ended(job: asyncio.Future[T]) -> T:
    """Wait for what a thread does; whoever is cancelled meanwhile is told so when it has ended.

    It is no task, as those end with the loop. Raises: what it raises.
    """
    cancelled: asyncio.CancelledError | None = None
    while not job.done():
        try:
            await asyncio.wait([job])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        job.exception()  # nobody else asks
        raise cancelled
    return job.result()
