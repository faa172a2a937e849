"""A buffer put together from nodes that may do anything: what comes is right, and who was wrong is told."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashserver_aio.blocks import LEAF_BYTES
from hashserver_aio.checksums import Algorithm, Checksum
from hashserver_aio.errors import BufferNotFound, NodeLate, NodeRefused, ServerUnreachable
from hashserver_aio.fleet import Source, retrieve, retrieving
from hashserver_aio.nodes.keys import KeyPair
from hashserver_aio.nodes.record import Failure

from .clients import LONG
from .held_nodes import NodeDouble, cut_at, flipped_at, hashes_of, linked, placed_of, telling, whole

PAIR = KeyPair.make()

SIZES = [0, 1, LEAF_BYTES - 1, LEAF_BYTES, LEAF_BYTES + 1, 16 * LEAF_BYTES, 17 * LEAF_BYTES + 5, len(LONG)]

HONEST = "honest"

OF_BYTES = {"wrong", "short", "broken", "late"}


@dataclass
class Faulty:
    """A node in memory that begins to fail at a byte, in some way; it sends in pieces of some length."""

    body: bytes
    fault: str = HONEST
    at: int = 0
    piece: int = 50_000
    asked: list[tuple[str, int]] = field(default_factory=list)

    async def leaves(self, checksum: Checksum, size: int) -> bytes:
        """Tell what the leaves hash to."""
        self.asked.append(("leaves", 0))
        if self.fault == "other leaves":
            return hashes_of(bytes(size))
        if self.fault == "refused":
            raise NodeRefused("no", 404)
        return hashes_of(self.body)

    async def read(self, checksum: Checksum, first: int, length: int) -> AsyncGenerator[bytes, None]:
        """Yield bytes."""
        self.asked.append(("read", first))
        for at in range(first, first + length, self.piece):
            piece = self.body[at : min(at + self.piece, first + length)]
            if self.fault in OF_BYTES and at + len(piece) > self.at:
                good, rest = piece[: max(0, self.at - at)], piece[max(0, self.at - at) :]
                if self.fault == "wrong":
                    rest = bytes([rest[0] ^ 1]) + rest[1:]
                    piece = good + rest
                else:
                    yield good
                    self._fail()
                    return
            yield piece

    def _fail(self) -> None:
        if self.fault == "broken":
            raise ServerUnreachable("broke")
        if self.fault == "late":
            raise NodeLate("late")


FAULTS = {
    "wrong": {Failure.WRONG},
    "short": {Failure.UNREACHABLE},
    "broken": {Failure.UNREACHABLE},
    "late": {Failure.LATE},
    "other leaves": {Failure.WRONG},
    "refused": {Failure.MISSING},
}


@st.composite
def fleets(draw: st.DrawFn, size: int) -> list[Faulty]:
    """Make faulty nodes."""
    body = LONG[:size]
    made = st.builds(
        Faulty,
        st.just(body),
        st.sampled_from([*FAULTS]),
        st.integers(0, max(0, size - 1)),
        st.sampled_from([1000, 50_000, LEAF_BYTES, 300_000]),
    )
    return draw(st.lists(made, max_size=5))


@settings(deadline=None, max_examples=60)
@given(st.data(), st.sampled_from(SIZES[1:]))
def test_any_faults(data: st.DataObject, size: int) -> None:
    """Wherever nodes fail, and however: with an honest one among them the buffer comes whole and right.

    Without, what comes is right as far as it goes. Who failed is told, and nobody else.
    """
    fleet = data.draw(fleets(size))
    if data.draw(st.booleans()):
        fleet.insert(data.draw(st.integers(0, len(fleet))), Faulty(LONG[:size]))
    told: list[tuple[int, Failure]] = []

    async def run() -> bytes:
        sources = [Source(number, link) for number, link in enumerate(fleet)]
        got = bytearray()
        pieces = retrieve(sources, placed_of(LONG[:size]), Algorithm.SHA3_256, lambda *f: told.append(f))
        try:
            async for piece in pieces:
                got += piece
                assert LONG.startswith(got)
        except BufferNotFound:
            assert all(link.fault != HONEST for link in fleet)
            return bytes(got)
        assert got == LONG[:size]
        return bytes(got)

    got = asyncio.run(run())
    assert len(got) % LEAF_BYTES == 0 or got == LONG[:size]
    for number, failure in told:
        assert failure in FAULTS[fleet[number].fault]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("first", [0, 1, LEAF_BYTES, LEAF_BYTES + 7, 16 * LEAF_BYTES + 1, 3_000_000])
async def test_from_any_byte(size: int, first: int) -> None:
    """It can begin anywhere, also in the middle of a leaf, or behind the end."""
    body = LONG[:size]
    pieces = retrieve([Source(0, Faulty(body))], placed_of(body), Algorithm.SHA3_256, print, first)
    assert await whole(pieces) == body[first:]


async def test_other_algorithm() -> None:
    """Leaves are hashed as the store hashes."""
    new = hashlib.sha256
    leaf = new(b"\0" + b"body").digest()
    placed = placed_of(b"body")._replace(root=leaf)

    class Told(Faulty):
        async def leaves(self, checksum: Checksum, size: int) -> bytes:
            return leaf

    assert await whole(retrieve([Source(0, Told(b"body"))], placed, Algorithm.SHA_256, print)) == b"body"


async def test_leaves_are_asked_for_once() -> None:
    """What was checked is kept: another node goes on in the middle, and is not asked for what is known."""
    first, second = Faulty(LONG, "wrong", 20 * LEAF_BYTES + 3), Faulty(LONG)
    told: list[tuple[int, Failure]] = []
    sources = [Source(7, first), Source(9, second)]
    assert (
        await whole(retrieve(sources, placed_of(LONG), Algorithm.SHA3_256, lambda *f: told.append(f))) == LONG
    )
    assert first.asked == [("leaves", 0), ("read", 0)]
    assert second.asked == [("read", 20 * LEAF_BYTES)]
    assert told == [(7, Failure.WRONG)]


async def test_comes_back_to_who_sent_something() -> None:
    """A node that sent good bytes before its connection broke is asked again once the others have failed."""
    broken, wrong = Faulty(LONG, "broken", 20 * LEAF_BYTES), Faulty(LONG, "wrong", 0)
    told: list[Failure] = []

    def tell(node: int, failure: Failure) -> None:
        told.append(failure)
        if failure is Failure.WRONG:
            broken.fault = HONEST

    sources = [Source(0, broken), Source(1, wrong)]
    assert await whole(retrieve(sources, placed_of(LONG), Algorithm.SHA3_256, tell)) == LONG
    assert told == [Failure.UNREACHABLE, Failure.WRONG]


@pytest.mark.parametrize("fault", ["broken", "late", "short"])
async def test_no_endless_tries(fault: str) -> None:
    """Who sends nothing more is not asked for ever."""
    stuck = Faulty(LONG, fault, 3 * LEAF_BYTES)
    with pytest.raises(BufferNotFound):
        await whole(retrieve([Source(0, stuck)], placed_of(LONG), Algorithm.SHA3_256, lambda *f: None))
    assert len(stuck.asked) == 3  # the leaves, what there was, and once more


async def test_slow_node_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that takes too long for a piece is left for another one, in the middle."""
    monkeypatch.setattr(retrieving, "PIECE_S", 2.0)
    slow, fast = (NodeDouble(PAIR.public, {str(placed_of(LONG).checksum): LONG}) for _ in range(2))
    slow.hold_at = 20
    told: list[tuple[int, Failure]] = []
    async with linked(PAIR, slow, fast) as (_, links):
        sources = [Source(number, link) for number, link in enumerate(links)]
        pieces = retrieve(sources, placed_of(LONG), Algorithm.SHA3_256, lambda *f: told.append(f))
        assert await whole(pieces) == LONG
    assert told == [(0, Failure.LATE)]


async def test_over_http() -> None:
    """Real servers that lie in every way, and one that does not: the buffer comes whole and right."""
    placed = placed_of(LONG)
    held = {str(placed.checksum): LONG}
    liars = [
        NodeDouble(PAIR.public, held, spoil=flipped_at(30)),
        NodeDouble(PAIR.public, held, spoil=cut_at(33)),
        NodeDouble(PAIR.public, held, told={str(placed.checksum): LONG[::-1]}),
        NodeDouble(PAIR.public),
        NodeDouble(PAIR.public, held, instead=telling(200)),
        NodeDouble(PAIR.public, {str(placed.checksum): LONG[::-1]}, told=held),
        NodeDouble(PAIR.public, {str(placed.checksum): LONG[:-1]}, told=held),
    ]
    told: list[tuple[int, Failure]] = []
    async with linked(PAIR, *liars, NodeDouble(PAIR.public, held)) as (_, links):
        for count in range(len(links)):
            sources = [Source(number, link) for number, link in enumerate(links)][count:]
            pieces = retrieve(sources, placed, Algorithm.SHA3_256, lambda *f: told.append(f))
            assert await whole(pieces) == LONG
    assert {node for node, _ in told} == set(range(len(liars)))


async def test_who_stops_early_leaves_nothing() -> None:
    """Who does not want the rest ends the connection."""
    held = {str(placed_of(LONG).checksum): LONG}
    before = asyncio.all_tasks()
    async with linked(PAIR, NodeDouble(PAIR.public, held)) as (_, [link]):
        pieces = retrieve([Source(0, link)], placed_of(LONG), Algorithm.SHA3_256, print)
        async with aclosing(pieces):
            assert LONG.startswith(await anext(pieces))
    assert asyncio.all_tasks() == before
