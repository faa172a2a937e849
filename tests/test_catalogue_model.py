"""A catalogue, whichever it is, equals a plain model: what is held, in what order, and how much."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashserver_aio.catalogue import Arrival, Catalogue, Held, Known, Totals
from hashserver_aio.catalogue.memory import MemoryCatalogue
from hashserver_aio.catalogue.sqlite import SqliteCatalogue
from hashserver_aio.checksums import Checksum, Digests, Hashset
from hashserver_aio.settings import Limits
from hashserver_aio.store import Form, Identity

FOREVER_MS = 2**62
LIMITS = Limits(count=4, size=400)


def name(number: int) -> Checksum:
    """Make a checksum."""
    return Checksum(f"{number:064x}")


def sha256(number: int) -> bytes:
    """Make the SHA-256 that goes with it."""
    return number.to_bytes(32, "little")


@dataclass
class World:
    """A catalogue, and what must be in it: (seq, number), and who reserved what."""

    catalogue: Catalogue
    is_lasting: bool
    all: list[tuple[int, int]] = field(default_factory=list)
    held: dict[int, int] = field(default_factory=dict)
    reserved: dict[int, int] = field(default_factory=dict)
    digested: set[int] = field(default_factory=set)

    async def act(self, action: str, number: int) -> None:
        """Do one thing to both."""
        if action == "record":
            await self.record(number, None)
        elif action == "digest":
            await self.record(number, None, Digests(b"m%d" % number, b"s", b"t"))
            self.digested.add(number)
        elif action == "forget":
            await self.catalogue.forget(name(number), lambda _: True)
            self.held.pop(number, None)
            self.digested.discard(number)
        elif self.is_lasting and action == "reserve":
            await self.reserve(number)
        elif self.reserved and action == "release":
            await self.catalogue.release(self.reserved_by(number))
        elif self.reserved and action == "use":
            reserved = next(each for each in self.reserved.values())
            await self.record(reserved, self.reserved_by(reserved))

    def reserved_by(self, number: int) -> int:
        """Take a reservation out of the model, this buffer's if there is one."""
        mine = [each for each, of in self.reserved.items() if of == number]
        reservation = mine[0] if mine else next(iter(self.reserved))
        del self.reserved[reservation]
        return reservation

    async def record(self, number: int, reservation: int | None, others: Digests | None = None) -> None:
        """Record a file of a buffer."""
        known = Known(Identity(1, 2, 3, 4), number * 10, sha256(number), durable=True)
        await self.catalogue.record(Arrival(name(number), "", Form.PLAIN, known, others), reservation)
        if number not in self.held:
            self.all.append((len(self.all) + 1, number))
            self.held[number] = len(self.all)

    async def reserve(self, number: int) -> None:
        """Reserve room: there is some exactly if all that is held and reserved leaves it."""
        counted = set(self.held) | set(self.reserved.values()) | {number}
        fits = LIMITS.allow(len(counted), sum(counted) * 10) or number in self.held
        reservation = await self.catalogue.reserve(name(number), number * 10, LIMITS)
        assert (reservation is not None) == fits
        if reservation is not None:
            self.reserved[reservation] = number

    def check(self) -> None:
        """What is told must be as in the model."""
        assert self.catalogue.totals() == Totals(len(self.held), sum(self.held) * 10)
        listed = {seq: number for number, seq in self.held.items()}
        assert numbers(self.catalogue.feed(0).held) == sorted(listed.items())
        assert numbers(self.catalogue.feed(3).held) == sorted(item for item in listed.items() if item[0] >= 3)
        assert self.catalogue.feed(0).next_seq == len(self.all) + 1
        came = self.all if self.is_lasting else sorted(listed.items())
        assert sorted(numbers(self.catalogue.history((0, 0), FOREVER_MS))) == came
        for number in range(12):
            held = self.catalogue.held(name(number))
            assert (held is None) == (number not in self.held)
            assert held is None or (held.seq, held.size) == (self.held[number], number * 10)
            hashset = Hashset(b"m%d" % number, b"s", sha256(number), b"t", number * 10)
            assert self.catalogue.hashset(name(number)) == (hashset if number in self.digested else None)
            named = self.catalogue.named(sha256(number))
            assert named == (name(number) if number in self.held else None)


def numbers(listed: list[Held]) -> list[tuple[int, int]]:
    """Put what is listed as the model has it."""
    assert all(held.sha256 == sha256(int(held.checksum, 16)) for held in listed)
    return [(held.seq, int(held.checksum, 16)) for held in listed]


@asynccontextmanager
async def opened(kind: str) -> AsyncIterator[Catalogue]:
    """Open a catalogue."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "catalogue.sqlite")
        memory = kind == "memory"
        catalogue = MemoryCatalogue() if memory else SqliteCatalogue(path, lambda: None, fsync=False)
        yield catalogue
        await catalogue.close()


ACTIONS = st.sampled_from(["record", "record", "digest", "forget", "reserve", "reserve", "release", "use"])
STEPS = st.lists(st.tuples(ACTIONS, st.integers(0, 11)), min_size=10, max_size=50)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@settings(max_examples=40, deadline=None, database=None)
@given(steps=STEPS)
async def test_catalogue_equals_a_model(kind: str, steps: list[tuple[str, int]]) -> None:
    """Whatever is recorded, forgotten, reserved and released, the lists and the sums are right."""
    async with opened(kind) as catalogue:
        world = World(catalogue, is_lasting=kind == "sqlite")
        for action, number in steps:
            await world.act(action, number)
            world.check()
