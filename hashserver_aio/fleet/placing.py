"""Placing: every buffer that is to be on nodes gets there, and again when a node loses it.

A buffer is due when something of it may have changed. Looked at, it is brought nearer to what is wanted by
what it lacks: pushed to further nodes, or taken from some. Whatever goes wrong, it stays due.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import aclosing, closing
from http import HTTPStatus
from typing import NamedTuple

from ..blobs import Blob, Streamed
from ..buffers import Buffers
from ..catalogue.nodes import Node, Nodes
from ..catalogue.placements import Placed, Placement, PlacementState
from ..checksums import Algorithm
from ..errors import (
    BadAnswer,
    BadArgument,
    BufferCorrupt,
    BufferNotFound,
    HashserverError,
    NodeRefused,
    NotYet,
    ServerTrouble,
)
from ..manifests import Manifests
from ..nodes.choosing import choose
from ..nodes.record import after_refusing_room
from ..store import Form
from .links import Links
from .nodes_now import NodesNow, host_of
from .timing import Timing

log = logging.getLogger(__name__)

AT_ONCE = 8
"""Buffers that are looked after at a time; each push holds a piece of one in memory."""

PIECE_BYTES = 256 * 1024

FULL_S = 3600.0
"""For so long a node is full that had no room though it said so, or until it says otherwise."""

AT_ONCE_A_NODE = 6
TURN_S = 1.0
"""One that is slow does not get all of them; what waits so long for its turn is looked at again later."""

SOON_MS = 1000
"""How soon a buffer is looked at again that waits for its turn, or is being digested."""

LOST_RETRIES = 12
"""What is lost is asked for that much less often: a node that comes back with it makes it due anyway."""

OF_THE_BUFFER = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE})
"""What a node refuses so says nothing of it: one huge buffer would else keep all nodes from all others."""

TRUSTED = 0.1
"""A node with a lower record is not given again what it lost, though there be no other."""


class _Lacking(NamedTuple):
    """A buffer that lacks replicas, and by what its bytes are known."""

    placed: Placed
    root: bytes
    sha256: bytes


class _AllBusy(Exception):
    """Nodes that could be given a buffer are being given others."""


class Placing:
    """Looks after the buffers that are due."""

    def __init__(
        self, buffers: Buffers, manifests: Manifests, links: Links, now: NodesNow, timing: Timing
    ) -> None:
        self._buffers = buffers
        self._manifests = manifests
        self._rows: Nodes = buffers.catalogue.nodes
        self._links = links
        self._now = now
        self._timing = timing
        self._turns = defaultdict[int, asyncio.Semaphore](lambda: asyncio.Semaphore(AT_ONCE_A_NODE))

    async def look_after(self, seen: Placed) -> None:
        """Bring a buffer nearer to what is wanted of it. Raises: StoreFailed, Busy."""
        placed = self._rows.placed(seen.checksum)
        if placed is None:  # nobody wants it by now
            return
        retry_ms = self._timing.retry_ms
        try:
            if await self._look_after(placed):
                await self._rows.settle(placed, None)
                return
        except (BufferNotFound, BufferCorrupt) as error:
            if await self._is_deleted(placed):
                return
            retry_ms *= LOST_RETRIES
            log.error("%s is lost here, and no node gives it: %s", placed.checksum, error)
        except (NotYet, _AllBusy):
            retry_ms = SOON_MS
        except HashserverError as error:
            log.warning("%s can't be placed now: %s", placed.checksum, error)
        await self._rows.settle(placed, self._timing.again_at_ms(retry_ms))

    async def _is_deleted(self, placed: Placed) -> bool:
        """Forget a buffer that went before it was ever placed: nobody could bring it back."""
        if placed.root is not None:
            return False
        now_ms = self._timing.now_ms
        await self._rows.unwant(placed.checksum, now_ms)
        held = self._buffers.catalogue.held(placed.checksum)
        if held is not None:  # it came again in this moment, or is here for whoever repairs it
            again_ms = self._timing.again_at_ms(self._timing.retry_ms)
            await self._rows.want(placed.checksum, held.size, placed.replicas, again_ms)
        return True

    async def _look_after(self, placed: Placed) -> bool:
        """Do what can be done now; tell whether nothing is left to do."""
        good, counted = self._good(placed)
        lacking = placed.replicas - len(counted)
        if lacking > 0:
            await self._push(placed, lacking)
            good, counted = self._good(placed)  # anew: a push may have taken hours
            lacking = placed.replicas - len(counted)
        if good and placed.root is None:
            await self._known(placed)  # or they could never be audited
        if lacking > 0:
            return False
        await self._take_from(sorted(counted, key=self._worth)[:-lacking])
        await self._take_from([each for each in good if each not in counted])
        return True

    def _good(self, placed: Placed) -> tuple[list[Placement], list[Placement]]:
        """Tell where a buffer is, and what of that counts."""
        placements = self._rows.placements(placed.checksum)
        good = [each for each in placements if each.state is PlacementState.GOOD]
        return good, [each for each in good if self._now.counts(each.node)]

    def _worth(self, placement: Placement) -> tuple[bool, bool, float]:
        node = self._now.get(placement.node)
        assert node is not None
        return not placement.strikes, self._now.is_online(node, self._timing.now_ms), node.record

    async def _take_from(self, placements: list[Placement]) -> None:
        for each in placements:
            await self._rows.make_surplus(each.checksum, each.node, self._timing.now_ms)

    # -- pushing -----------------------------------------------------------------------------------------

    async def _push(self, placed: Placed, count: int) -> None:
        """Push a buffer to as many nodes more, one after the other. Raises: _AllBusy."""
        placements = self._rows.placements(placed.checksum)
        before = {each.node for each in placements if each.state is PlacementState.DEAD}
        tried = {each.node for each in placements} - before  # what is surplus is to be removed there first
        nodes = [self._now.get(each.node) for each in placements if each.state is PlacementState.GOOD]
        hosts = {host_of(node) for node in nodes if node is not None}
        lacking: _Lacking | None = None
        is_busy = False
        while count:
            node = self._next(placed, tried, before, hosts)
            if node is None:
                break
            lacking = lacking or await self._known(placed)
            tried.add(node.seq)
            took = await self._push_in_turn(node, lacking)
            is_busy |= took is None
            if took:
                hosts.add(host_of(node))
                count -= 1
        if count and is_busy:
            raise _AllBusy

    def _next(self, placed: Placed, tried: set[int], before: set[int], hosts: set[str]) -> Node | None:
        """Choose a node; if there is no other, one that lost the buffer `before`, and was good else."""
        now_ms = self._timing.now_ms
        candidates = self._now.candidates(placed.size, now_ms, tried | before, hosts)
        if not candidates:
            candidates = self._now.candidates(placed.size, now_ms, tried, hosts, TRUSTED)
        chosen = choose(placed.checksum, candidates, 1)
        return self._now.get(chosen[0].node) if chosen else None

    async def _known(self, placed: Placed) -> _Lacking:
        """Tell by what the bytes of a buffer are known, which are read for it the first time.

        Raises: what `Buffers.open` raises, NotYet.
        """
        checksum, root, sha256 = placed.checksum, placed.root, placed.sha256
        if sha256 is None:
            with closing(await self._buffers.open(checksum)) as blob:
                sha256 = blob.sha256
            if self._buffers.store.format.algorithm is Algorithm.SHA_256:
                sha256 = bytes.fromhex(checksum)
            sha256 = sha256 or (await self._buffers.hashset(checksum)).sha256
        if root is None:
            root = (await self._manifests.get(checksum)).root
        if (root, sha256) != (placed.root, placed.sha256):
            await self._rows.keep_root(checksum, root, sha256)
        return _Lacking(placed, root, sha256)

    async def _push_in_turn(self, node: Node, lacking: _Lacking) -> bool | None:
        """Push a buffer to a node; whether it took it. None: others take all its turns."""
        turns = self._turns[node.seq]
        try:
            async with asyncio.timeout(TURN_S):
                await turns.acquire()
        except TimeoutError:
            return None
        self._now.promise(node.seq, lacking.placed.size)
        try:
            return await self._push_to(node, lacking)
        finally:
            self._now.promise(node.seq, -lacking.placed.size)
            turns.release()

    async def _push_to(self, node: Node, lacking: _Lacking) -> bool:
        """Push a buffer to a node; whether it took it. Raises: what is wrong here, and not there."""
        checksum, size = lacking.placed.checksum, lacking.placed.size
        blob = await self._buffers.open_or_stream(checksum, (Form.PLAIN,))
        try:
            link = self._links.to(node.key, node.url)
            root = await link.push(checksum, size, lacking.sha256, _pieces(blob))
            if root != lacking.root:
                raise BadAnswer("it says that the buffer has another root")
        except (ServerTrouble, BadArgument) as error:
            log.warning("node %s can't be given %s: %s", node.key.hex()[:8], checksum, error)
            await self._refused(node, error)
            return False
        finally:
            blob.close()
            if blob.pieces is not None:
                await blob.pieces.aclose()
        await self._note(node, lacking)
        return True

    async def _note(self, node: Node, lacking: _Lacking) -> None:
        now_ms = self._timing.now_ms
        due_ms = now_ms + self._timing.next_audit_ms(node.record, 0)
        checksum = lacking.placed.checksum
        await asyncio.gather(  # in one go: it may have been deleted, and be wanted anew, without a root
            self._rows.keep_root(checksum, lacking.root, lacking.sha256),
            self._rows.place(checksum, node.seq, now_ms, due_ms),
        )
        known = self._now.get(node.seq) or node
        self._now.put(known._replace(used=known.used + lacking.placed.size))
        self._timing.pushed()

    async def _refused(self, node: Node, error: HashserverError) -> None:
        """Shun a node that does not take what it said it would, unless it is for what the buffer is.

        Who said it has room is believed less, unless that is taken by what does not count any more.
        """
        now_ms, status = self._timing.now_ms, error.status if isinstance(error, NodeRefused) else 0
        if status in OF_THE_BUFFER:
            return
        self._now.shun(node.seq, now_ms)
        if status == HTTPStatus.INSUFFICIENT_STORAGE:
            node = self._now.get(node.seq) or node
            is_lie = not node.dead and not node.surplus
            record = after_refusing_room(node.record) if is_lie else node.record
            until_ms = now_ms + int(FULL_S * 1000)
            self._now.put(node._replace(record=record, full_until_ms=until_ms))
            await self._rows.take_for_full(node.seq, record, until_ms)


async def _pieces(blob: Blob | Streamed) -> AsyncIterator[bytes]:
    """Read the plain bytes of a blob."""
    if blob.pieces is not None:
        async with aclosing(blob.pieces) as pieces:
            async for piece in pieces:
                yield piece
        return
    assert isinstance(blob, Blob) and blob.file is not None
    at = 0
    while at < blob.size:
        piece = await asyncio.to_thread(os.pread, blob.file.fileno(), min(PIECE_BYTES, blob.size - at), at)
        if not piece:
            raise BufferCorrupt(f"{blob.checksum} became shorter while it was read")
        at += len(piece)
        yield piece
