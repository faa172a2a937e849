"""Copying one server to another by its feed: what the other one has not, and nothing is ever deleted.

The place that is kept is behind what is copied: who is killed does something twice, and leaves nothing out.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ..errors import (
    BadAnswer,
    BadArgument,
    BufferCorrupt,
    BufferNotFound,
    BufferTooLarge,
    ChecksumMismatch,
    DigestMismatch,
    FeedChanged,
    HashserverError,
)
from .client import Client
from .feed import Arrival

BATCH = 500
"""So many arrivals the other server is asked about at a time; the place is kept after each of them."""

SHA256 = "sha-256"

PASSED = (BufferNotFound, BufferCorrupt, BufferTooLarge, ChecksumMismatch, DigestMismatch, BadAnswer)
"""What is wrong with one buffer, and keeps no other."""


@dataclass(frozen=True, slots=True)
class Place:
    """How far a mirror got: `offset` is the number of the first arrival that is not done with."""

    feed_id: str = ""
    offset: int = 0


class StateFile:
    """Keeps the place of one mirror, from `source` to `target`, in a file."""

    def __init__(self, path: Path, source: str, target: str) -> None:
        self.path = path
        self._of = {"from": source, "to": target}

    def read(self) -> Place:
        """Read it; the beginning, if there is none. Raises: BadArgument, OSError."""
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            if {key: found[key] for key in self._of} == self._of:
                return Place(str(found["feed_id"]), int(found["offset"]))
        except FileNotFoundError:
            return Place()
        except (ValueError, KeyError, TypeError):
            pass
        raise BadArgument(f"{self.path} is no state of a mirror from {self._of['from']} to {self._of['to']}")

    def write(self, place: Place) -> None:
        """Keep a place. Raises: OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(self.path.name + ".tmp")
        told = self._of | {"feed_id": place.feed_id, "offset": place.offset}
        with temporary.open("w", encoding="utf-8") as file:
            file.write(json.dumps(told) + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path)


@dataclass(slots=True)
class Tally:
    """What became of buffers: `copied`, `held` already, `gone` before they could be copied, `failed`."""

    copied: int = 0
    held: int = 0
    gone: int = 0
    failed: int = 0
    bytes: int = 0


class Mirror:
    """Copies from one server to another.

    `say` is told in a sentence what is remarkable: a feed that is another one, a buffer that can't be copied.
    `moved` is told of each arrival that was looked at, and whether it was copied.
    """

    def __init__(
        self,
        source: Client,
        target: Client,
        state: StateFile,
        say: Callable[[str], object],
        moved: Callable[[Arrival, bool], object],
    ) -> None:
        self.tally = Tally()
        self._source = source
        self._target = target
        self._state = state
        self._say = say
        self._moved = moved
        self._is_held_back = False

    async def run(self, *, follow: bool) -> Tally:
        """Copy what there is; with `follow` also what comes, for ever.

        Raises: what a server refuses with where that is not about one buffer; ServerUnreachable, OSError.
        """
        place = await asyncio.to_thread(self._state.read)
        while True:
            try:
                await self._copy_from(place, follow=follow)
                return self.tally
            except FeedChanged:
                self._say(f"{self._source.url} has another feed by now: starting over, at its beginning")
                place, self._is_held_back = Place(), False
                await asyncio.to_thread(self._state.write, place)

    async def _copy_from(self, place: Place, *, follow: bool) -> None:
        feed = self._source.feed(place.offset, feed_id=place.feed_id, wait=follow)
        async with aclosing(_batches(feed)) as batches:
            async for batch in batches:
                done = await self._copy(batch)
                # Behind a buffer that failed the place stays, so that the next run tries it again.
                if not self._is_held_back:
                    failures = [each.index for each in batch if each not in done]
                    self._is_held_back = bool(failures)
                    offset = min(failures, default=batch[-1].index + 1)
                    place = replace(place, feed_id=batch[-1].feed_id, offset=offset)
                    await asyncio.to_thread(self._state.write, place)

    async def _copy(self, batch: Sequence[Arrival]) -> set[Arrival]:
        """Copy what is missing of a batch: what is done with."""
        wanted = set(await self._target.wants([each.sha256 for each in batch]))
        done = {each for each in batch if each.sha256 not in wanted}
        self.tally.held += len(done)
        for each in done:
            self._moved(each, False)
        missing = [each for each in batch if each.sha256 in wanted]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = {each: group.create_task(self._copy_one(each)) for each in missing}
        except* (HashserverError, OSError) as errors:
            raise _first(errors) from None
        return done | {each for each, task in tasks.items() if task.result()}

    async def _copy_one(self, arrival: Arrival) -> bool:
        """Copy a buffer; False if that failed, and should be tried again some time."""
        begin = partial(self._source.stream, arrival.sha256, algorithm=SHA256, limit_bytes=arrival.size)
        try:
            await self._target.put(begin, name=arrival.sha256, algorithm=SHA256, size=arrival.size)
        except BufferNotFound:  # deleted since
            self.tally.gone += 1
            self._moved(arrival, False)
            return True
        except PASSED as error:
            self.tally.failed += 1
            self._say(f"{arrival.sha256} can't be copied: {error}")
            self._moved(arrival, False)
            return False
        self.tally.copied += 1
        self.tally.bytes += arrival.size
        self._moved(arrival, True)
        return True


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Take one of errors that came together: any of them tells what is wrong with a server."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _batches(feed: AsyncGenerator[Arrival, None]) -> AsyncGenerator[list[Arrival], None]:
    """Yield what has come by now, up to a batch; while one is worked on, the next one gathers."""
    gathered: asyncio.Queue[Arrival | Exception | None] = asyncio.Queue(BATCH)

    async def gather() -> None:
        end = None
        try:
            async with aclosing(feed):
                async for arrival in feed:
                    await gathered.put(arrival)
        except Exception as error:  # whoever takes what came before gets to know
            end = error
        await gathered.put(end)

    gathering = asyncio.create_task(gather())
    try:
        while True:
            batch = []
            item = await gathered.get()
            while isinstance(item, Arrival):
                batch.append(item)
                if gathered.empty() or len(batch) == BATCH:
                    break
                item = gathered.get_nowait()
            if batch:
                yield batch
            if item is None:
                return
            if isinstance(item, Exception):
                raise item
    finally:
        gathering.cancel()
        with suppress(asyncio.CancelledError):
            await gathering
