"""A buffer from nodes, of which none is trusted: checked leaf by leaf before a byte of it goes further.

What is trusted is the root that the server kept. A node first tells what the leaves hash to, which has to
lead to that root; from then on every leaf is known by its hash, whoever sends it, so that another node can go
on behind the last one that was right.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import NamedTuple, Protocol

from ..blocks import DIGEST_BYTES, LEAF_BYTES, Root, leaf_hash
from ..catalogue.placements import Placed
from ..checksums import Algorithm, Checksum, new_hash
from ..errors import BadAnswer, BufferNotFound, NodeLate, ServerTrouble, ServerUnreachable
from ..nodes.record import Failure
from .answers import failure_of

PIECE_LEAVES = 16
"""1 MiB: worth a hop to a thread, and what a node may have to send again."""

PIECE_S = 10.0
"""A node that takes longer for a piece is left for another one, and asked again once that one fails."""

INLINE_LEAVES = 256
"""To hash so many hashes takes a fraction of a millisecond."""

PASSING = frozenset({Failure.LATE, Failure.UNREACHABLE})
"""What may go better later, with a node that has sent something good."""


class Sender(Protocol):
    """What leaves and bytes are asked of: a link, or what stands for one."""

    async def leaves(self, checksum: Checksum, size: int) -> bytes:
        """Ask what the leaves hash to. Raises: ServerTrouble."""

    def read(self, checksum: Checksum, first: int, length: int) -> AsyncGenerator[bytes, None]:
        """Yield bytes. Raises: ServerTrouble."""


class Source(NamedTuple):
    """A node that has a buffer: its number, and the way to it."""

    node: int
    link: Sender


Tell = Callable[[int, Failure], object]
"""Is told which node failed, and how."""


async def retrieve(
    sources: Sequence[Source], placed: Placed, algorithm: Algorithm, tell: Tell, first: int = 0
) -> AsyncGenerator[bytes, None]:
    """Yield a buffer's bytes from `first` on, in pieces; each was checked.

    `sources`: the best one first. Memory is a piece, and 32 bytes for each 64 KiB of the buffer.
    Raises: BufferNotFound, once no source is left.
    """
    retrieval = _Retrieval(placed, algorithm, first // LEAF_BYTES * LEAF_BYTES)
    skip = first - retrieval.at
    left = deque(sources)
    while retrieval.at < placed.size:
        if not left:
            raise BufferNotFound(placed.checksum)
        source = left.popleft()
        before = retrieval.progress
        try:
            async with aclosing(retrieval.pieces_of(source.link)) as pieces:
                async for piece in pieces:
                    yield piece[skip:] if skip else piece
                    skip = 0
        except ServerTrouble as error:
            failure = failure_of(error)
            tell(source.node, failure)
            if failure in PASSING and retrieval.progress > before:
                left.append(source)


class _Retrieval:
    """How far a buffer is retrieved: `at`, a boundary of leaves, is behind the last byte that was checked."""

    def __init__(self, placed: Placed, algorithm: Algorithm, at: int) -> None:
        self.at = at
        self._placed = placed
        self._new = new_hash(algorithm)
        self._leaves: bytes | None = None

    @property
    def progress(self) -> tuple[bool, int]:
        """What was achieved; it only grows."""
        return self._leaves is not None, self.at

    async def pieces_of(self, link: Sender) -> AsyncGenerator[bytes, None]:
        """Yield what is missing, as far as a node sends it rightly. Raises: ServerTrouble."""
        placed = self._placed
        if self._leaves is None:
            self._leaves = await self._checked_leaves(link)
        length = placed.size - self.at
        async with aclosing(link.read(placed.checksum, self.at, length)) as arriving:
            gathering = _Gathering(arriving)
            while self.at < placed.size:
                wanted = min(PIECE_LEAVES * LEAF_BYTES, placed.size - self.at)
                piece, trouble = await gathering.take(wanted)
                good = await self._good(piece)
                if good:
                    self.at += len(good)
                    yield good
                if trouble is not None:
                    raise trouble
                if len(good) < wanted:
                    raise BadAnswer("a node sent bytes that are not the buffer's")

    async def _checked_leaves(self, link: Sender) -> bytes:
        leaves = await link.leaves(self._placed.checksum, self._placed.size)
        inline = len(leaves) <= INLINE_LEAVES * DIGEST_BYTES
        root = self._root(leaves) if inline else await asyncio.to_thread(self._root, leaves)
        if root != self._placed.root:
            raise BadAnswer("a node told what the leaves of another buffer hash to")
        return leaves

    def _root(self, leaves: bytes) -> bytes:
        root = Root(self._new)
        for at in range(0, len(leaves), DIGEST_BYTES):
            root.add(leaves[at : at + DIGEST_BYTES])
        return root.digest()

    async def _good(self, piece: bytes) -> bytes:
        """Give the leaves at the beginning of a piece that are whole and right."""
        inline = len(piece) <= LEAF_BYTES
        count = self._count_good(piece) if inline else await asyncio.to_thread(self._count_good, piece)
        return piece[:count]

    def _count_good(self, piece: bytes) -> int:
        """Tell how many bytes, of whole leaves from the beginning on, are right."""
        assert self._leaves is not None
        view, at, end = memoryview(piece), 0, self._placed.size - self.at
        while at < len(piece):
            leaf = view[at : at + LEAF_BYTES]
            number = (self.at + at) // LEAF_BYTES
            told = self._leaves[number * DIGEST_BYTES : (number + 1) * DIGEST_BYTES]
            if len(leaf) < min(LEAF_BYTES, end - at) or leaf_hash(self._new, leaf) != told:
                break
            at += len(leaf)
        return at


class _Gathering:
    """Puts together, in pieces of the lengths that are wanted, what a node sends in pieces of its own."""

    def __init__(self, arriving: AsyncGenerator[bytes, None]) -> None:
        self._arriving = arriving
        self._held = bytearray()

    async def take(self, wanted: int) -> tuple[bytes, ServerTrouble | None]:
        """Give so many bytes; fewer only together with the reason."""
        trouble: ServerTrouble | None = None
        try:
            async with asyncio.timeout(PIECE_S):
                while len(self._held) < wanted:
                    self._held += await anext(self._arriving)
        except TimeoutError:
            trouble = NodeLate("a node takes too long for a piece of a buffer")
        except StopAsyncIteration:
            trouble = ServerUnreachable("a node sent less of a buffer than it was asked for")
        except ServerTrouble as error:
            trouble = error
        piece = bytes(memoryview(self._held)[:wanted])
        del self._held[:wanted]
        return piece, trouble
