"""Several things at a time: when one of them fails the others end, and are waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

Work = Coroutine[Any, Any, None]


async def all_of(works: Iterable[Work]) -> None:
    """Do things, all of them. Raises: what the first of them failed with."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        await _end(tasks)


async def until(end: Work, others: Iterable[Work]) -> None:
    """Do things until one of them has ended. Raises: what any of them failed with meanwhile."""
    last = asyncio.create_task(end)
    tasks = [last, *map(asyncio.create_task, others)]
    pending = set(tasks)
    try:
        while not last.done():
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    finally:
        await _end(tasks)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
