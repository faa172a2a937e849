"""Going through all that a store holds and hashing it: completes the catalogue, and finds what rotted.

It can be interrupted anywhere and goes on where it was; meanwhile servers may serve the same store.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass
from functools import partial

from .catalogue import Catalogue
from .errors import HashserverError
from .store import Entry, Part, Store, StoredFile
from .verifying import SETTLED_S, FileChanged, Verifier

log = logging.getLogger(__name__)

AT_ONCE = 16
"""Files on the way at a time: their catalogue rows share transactions, and small ones a core."""

NOTED_EVERY_S = 10.0
"""What an interruption costs at most, besides the file it falls into."""


@dataclass
class Findings:
    """What an inspection came upon, in files, and how many bytes it hashed for that.

    `known`: skipped, because nothing about the file has changed since it was hashed. `bad`: does not
    hash to its name. `unreadable`: the disk fails, or the file changes all the time. `gone`: listed
    as held, and not there. `uncatalogued`: good, but the catalogue could not be written. `done`: the
    part of the way, from 0 to 1.
    """

    known: int = 0
    good: int = 0
    bad: int = 0
    unreadable: int = 0
    gone: int = 0
    uncatalogued: int = 0
    size: int = 0
    done: float = 0.0


class Throttle:
    """Keeps to a number of bytes a second on the long run."""

    def __init__(self, bytes_per_s: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._due_s = time.monotonic()

    async def keep(self, size: int) -> None:
        """Wait as long as reading `size` bytes should have taken."""
        self._due_s = max(self._due_s, time.monotonic() - 1) + size / self._bytes_per_s
        await asyncio.sleep(max(0.0, self._due_s - time.monotonic()))


def noted(catalogue: Catalogue, note: str) -> tuple[Part, str, Findings] | None:
    """Read how far an inspection was when that was noted: the part, the name, what it had found.

    None if it ended, or never began.
    """
    try:
        place, digits, last, findings = json.loads(catalogue.note(note))
        return Part(place, digits), last, Findings(**findings)
    except (ValueError, TypeError):
        return None


class Inspection:
    """One way through a store; `note` is the name that its state is kept by, if it is, in the catalogue."""

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        *,
        note: str | None,
        everything: bool,
        verifier: Verifier | None = None,
        pace: Throttle | None = None,
    ) -> None:
        """`everything`: hash also what is known to be good. `verifier`: a server's own, if there is one."""
        self.findings = Findings()
        self._store = store
        self._catalogue = catalogue
        self._verifier = verifier or Verifier(store, catalogue)
        self._note = note
        self._everything = everything
        self._pace = pace
        self._noted_s = time.monotonic()
        self._on_the_way: dict[tuple[Part, Entry], None] = {}

    async def run(self, tell: Callable[[Findings], None]) -> Findings:
        """Go from where the last one was interrupted to the end; `tell` is called again and again."""
        at_once = asyncio.Semaphore(1 if self._pace else AT_ONCE)
        async with asyncio.TaskGroup() as group:
            async for part, entry in self._entries():
                await at_once.acquire()
                self._on_the_way[part, entry] = None
                task = group.create_task(self._inspect(part, entry))
                task.add_done_callback(lambda _: at_once.release())
                tell(self.findings)
                await self._keep_now_and_then()
        await self._keep("")
        tell(self.findings)
        return self.findings

    async def forget_absent(self) -> None:
        """List as deleted what is listed as held and not there any more."""
        page = self._catalogue.feed(0)
        while True:
            names = [held.checksum for held in page.held]
            present = await self._store.present(names)
            for name in names:
                if name not in present:
                    await self._catalogue.forget(name, partial(self._store.is_absent, name))
                    self.findings.gone += self._catalogue.held(name) is None
            after = self._catalogue.feed(page.next_seq)
            if after.next_seq == page.next_seq:
                return
            page = after

    async def _entries(self) -> AsyncIterator[tuple[Part, Entry]]:
        parts = self._store.parts()
        at, last = self._interrupted_at(parts)
        for number, part in enumerate(parts[at:], at):
            entries = await self._listed(part)
            for position, entry in enumerate(entries):
                if number > at or entry.checksum >= last:
                    self.findings.done = (number + position / len(entries)) / len(parts)
                    yield part, entry
        self.findings.done = 1.0

    async def _listed(self, part: Part) -> list[Entry]:
        try:
            return await self._store.listed(part)
        except HashserverError as error:
            self.findings.unreadable += 1
            log.error("the buffers that begin with %s can't be listed: %s", part.digits, error)
            return []

    def _interrupted_at(self, parts: list[Part]) -> tuple[int, str]:
        interrupted = noted(self._catalogue, self._note) if self._note else None
        if interrupted is None or interrupted[0] not in parts:  # of a directory with other places
            return 0, ""
        part, last, self.findings = interrupted
        return parts.index(part), last

    async def _keep_now_and_then(self) -> None:
        """Note the first file that is still on the way: all before it are behind us."""
        if self._on_the_way and time.monotonic() - self._noted_s > NOTED_EVERY_S:
            self._noted_s = time.monotonic()
            part, entry = next(iter(self._on_the_way))
            await self._keep(json.dumps([*part, entry.checksum, asdict(self.findings)]))

    async def _keep(self, state: str) -> None:
        if self._note is None:
            return
        try:
            await self._catalogue.keep_note(self._note, state)
        except HashserverError as error:
            log.warning("how far this got can't be noted: %s", error)

    async def _inspect(self, part: Part, entry: Entry) -> None:
        try:
            stored = await self._store.open_entry(part, entry)
            if stored is not None:  # else it went meanwhile
                with stored.file:
                    await self._judge(stored)
        except (HashserverError, OSError) as error:
            self.findings.unreadable += 1
            log.error("%s%s can't be read: %s", *entry, error)
        except FileChanged:
            self.findings.unreadable += 1
            log.warning("%s%s is being written to", *entry)
        finally:
            del self._on_the_way[part, entry]

    async def _judge(self, stored: StoredFile) -> None:
        if not self._everything and self._verifier.recalled(stored) is not None:
            self.findings.known += 1
            return
        if 0 <= stored.identity.age_s < SETTLED_S:
            await asyncio.sleep(SETTLED_S)  # before that it would not be remembered
        known = await self._verifier.check(stored, self._pace.keep if self._pace else None)
        self.findings.size += stored.identity.size
        if known is None:
            self.findings.bad += 1
        else:
            self.findings.good += 1
            self.findings.uncatalogued += self._verifier.recalled(stored) is None
