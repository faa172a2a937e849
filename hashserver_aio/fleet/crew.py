"""Crews: so many works at a time, each begun as soon as there is room, and none twice at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

FAILED_REST_S = 5.0
"""What fails is due still: it keeps its place for so long, so that nobody does it over and over at once."""

log = logging.getLogger(__name__)


class Crew(Generic[T]):
    """Does works that are due; `name` tells which are the same."""

    def __init__(
        self, work: Callable[[T], Coroutine[Any, Any, None]], name: Callable[[T], Hashable], at_once: int
    ) -> None:
        self._work = work
        self._name = name
        self._at_once = at_once
        self._tasks: dict[Hashable, asyncio.Task[None]] = {}

    async def run(self, due: Callable[[], Awaitable[list[T]]], rest_s: float) -> None:
        """Do what is due, until cancelled; rest where nothing was. Raises: what `due` raises."""
        try:
            while True:
                works = [work for work in await due() if self._name(work) not in self._tasks]
                for work in works:
                    await self._begin(work)
                if not works:
                    await asyncio.sleep(rest_s)
        finally:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _begin(self, work: T) -> None:
        while len(self._tasks) >= self._at_once:
            await asyncio.wait(self._tasks.values(), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(0)  # so that those that ended are off the list
        name = self._name(work)
        if name not in self._tasks:
            self._tasks[name] = task = asyncio.create_task(self._do(work))
            task.add_done_callback(lambda ended: self._tasks.pop(name))

    async def _do(self, work: T) -> None:
        try:
            await self._work(work)
        except Exception as error:  # of one work: the others go on
            log.error("nodes: %s: %s", type(error).__name__, error)
            await asyncio.sleep(FAILED_REST_S)
