"""What the leaves of a buffer hash to, and proofs that this node can read some of them.

Whatever is told here is checked by the server against the root that it keeps.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, closing

from aiohttp import web

from ...blocks.merkle import DIGEST_BYTES, LEAF_BYTES, leaf_hash
from ...checksums import NewHash, new_hash
from ...errors import BadArgument, Busy
from ...intake import finished
from ...nodes.audits import LEAVES_AGAIN, packed
from ...store import Store, StoredFile
from ..keys import BUFFERS, MANIFESTS
from ..send import begun, write_piece
from ..words import UNCACHED
from .calls import BUFFER, name_in
from .guard import signed

MAX_LEAVES = 2 * LEAVES_AGAIN
"""Asked for at once, twice what an audit takes at most: each is a block to read, and 64 KiB to send."""

TURN_LEAVES = 64
"""What a hop to a thread hashes: 4 MiB, in some ten milliseconds."""

AT_ONCE = 4
MAX_WAITING = 64
"""Who comes when so many wait is told to come again."""

_MAX_DIGITS = 18

LEAF_TURNS: web.AppKey[LeafTurns] = web.AppKey("LEAF_TURNS")

PROOF_TURNS: web.AppKey[LeafTurns] = web.AppKey("PROOF_TURNS")
"""Others than those of lists, which may take minutes: proofs have a deadline."""


class LeafTurns:
    """Lets a few answer with leaves at a time: each takes a core while it reads."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._askers = 0

    async def __aenter__(self) -> None:
        """Wait for a turn. Raises: Busy."""
        if self._askers >= AT_ONCE + MAX_WAITING:
            raise Busy("too many leaves are asked for at a time; try again")
        self._askers += 1
        try:
            await self._turns.acquire()
        except BaseException:
            self._askers -= 1
            raise

    async def __aexit__(self, *error: object) -> None:
        """End the turn."""
        self._askers -= 1
        self._turns.release()


def routes() -> list[web.RouteDef]:
    """Name the routes; each is for the server of this node only."""
    return [
        *signed(
            web.get(f"{BUFFER}/leaves", leaves, allow_head=False),
            web.get(f"{BUFFER}/proofs", proofs, allow_head=False),
        )
    ]


async def leaves(request: web.Request) -> web.StreamResponse:
    """Send the hashes of all leaves, packed, as the buffer is read."""
    buffers = request.app[BUFFERS]
    async with request.app[LEAF_TURNS]:
        with closing(await buffers.open(name_in(request))) as blob:
            response = web.StreamResponse(headers=UNCACHED | {"Content-Type": "application/octet-stream"})
            response.content_length = -(-blob.size // LEAF_BYTES) * DIGEST_BYTES
            new = new_hash(buffers.store.format.algorithm)
            async with begun(request, response):
                async for hashes in _hashes(buffers.store, blob.stored, new):
                    await write_piece(response, hashes)
                await response.write_eof()
            return response


async def proofs(request: web.Request) -> web.StreamResponse:
    """Answer a challenge: the leaves that are asked for, in that order, and their paths to the root."""
    checksum, numbers, manifests = name_in(request), _numbers(request), request.app[MANIFESTS]
    await manifests.get(checksum)  # an empty buffer has no leaves, and is there or not
    async with request.app[PROOF_TURNS]:  # until they are sent: eight megabytes, and a copy on the way
        found = packed([(await manifests.prove(checksum, number))[1] for number in numbers])
        response = web.StreamResponse(headers=UNCACHED | {"Content-Type": "application/msgpack"})
        response.content_length = len(found)
        async with begun(request, response):
            await write_piece(response, found)
            await response.write_eof()
        return response


def _numbers(request: web.Request) -> list[int]:
    text = request.query.get("leaves", "?")
    texts = text.split(",") if text else []
    are_numbers = all(text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS for text in texts)
    if not are_numbers or len(texts) > MAX_LEAVES:
        raise BadArgument(f"leaves: numbers with commas between them, {MAX_LEAVES} at most")
    return [int(text) for text in texts]


async def _hashes(store: Store, stored: StoredFile, new: NewHash) -> AsyncIterator[bytes]:
    """Hash the leaves of a buffer; memory is a turn, and a piece of what is read."""
    rest, turn_bytes = bytearray(), TURN_LEAVES * LEAF_BYTES
    async with aclosing(store.pieces(stored)) as pieces:
        async for piece in pieces:
            rest += piece
            while len(rest) >= turn_bytes:
                turn = bytes(memoryview(rest)[:turn_bytes])
                del rest[:turn_bytes]
                yield await finished(asyncio.to_thread(_hashed, turn, new))
    if rest:
        yield await finished(asyncio.to_thread(_hashed, bytes(rest), new))


def _hashed(turn: bytes, new: NewHash) -> bytes:
    view = memoryview(turn)
    return b"".join(leaf_hash(new, view[at : at + LEAF_BYTES]) for at in range(0, len(view), LEAF_BYTES))
