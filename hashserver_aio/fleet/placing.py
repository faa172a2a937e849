"""Placing: every buffer that is to be on nodes gets there, and again when a node loses it.

A buffer is due when something of it may have changed. Looked at, it is brought nearer to what is wanted by
what it lacks: pushed to further nodes, or taken from some. Whatever goes wrong, it stays due.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import aclosing, closing
from typing import NamedTuple

from ..blobs import Blob
from ..buffers import Buffers
from ..catalogue.nodes import Node, Nodes, Placed, Placement, PlacementState
from ..checksums import Algorithm
from ..errors import BadAnswer, BufferCorrupt, BufferNotFound, HashserverError, NodeRefused, NotYet
from ..manifests import Manifests
from ..nodes.choosing import choose
from ..nodes.record import after_refusing_room
from .links import Links
from .nodes_now import NodesNow, host_of
from .timing import Timing

log = logging.getLogger(__name__)

AT_ONCE = 8
"""Buffers that are looked after at a time; each push holds a piece of one in memory."""

PIECE_BYTES = 256 * 1024

FULL_S = 3600.0
"""For so long a node is full that had no room though it said so, or until it says otherwise."""

DIGESTING_MS = 1000
"""How soon a buffer is looked at again that is being digested."""

NO_ROOM = 507

TRUSTED = 0.1
"""A node with a lower record is not given again what it lost, though there be no other."""


class _Lacking(NamedTuple):
    """A buffer that lacks replicas, and by what its bytes are known."""

    placed: Placed
    root: bytes
    sha256: bytes


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

    async def look_after(self, placed: Placed) -> None:
        """Bring a buffer nearer to what is wanted of it. Raises: StoreFailed, Busy."""
        retry_ms: int | None = self._timing.retry_ms
        try:
            if not await self._look_after(placed):
                retry_ms = None
        except (BufferNotFound, BufferCorrupt) as error:
            if await self._is_deleted(placed):
                return
            log.error("%s is lost here, and no node gives it: %s", placed.checksum, error)
        except NotYet:
            retry_ms = DIGESTING_MS
        except HashserverError as error:
            log.warning("%s can't be placed now: %s", placed.checksum, error)
        due_ms = None if retry_ms is None else self._timing.now_ms + retry_ms
        await self._rows.settle(placed, due_ms)

    async def _is_deleted(self, placed: Placed) -> bool:
        """Forget a buffer that went before it was ever placed: nobody could bring it back."""
        if placed.root is not None:
            return False
        await self._rows.unwant(placed.checksum, self._timing.now_ms)
        return True

    async def _look_after(self, placed: Placed) -> bool:
        """Do what can be done now; tell whether replicas are lacking still."""
        placements = self._rows.placements(placed.checksum)
        good = [each for each in placements if each.state is PlacementState.GOOD]
        counted = [each for each in good if self._now.counts(each.node)]
        lacking = placed.replicas - len(counted)
        if lacking > 0:
            lacking -= await self._push(placed, placements, lacking)
        elif lacking < 0:
            await self._take_from(sorted(counted, key=self._worth)[:-lacking])
        if lacking <= 0:
            await self._take_from([each for each in good if each not in counted])
        return lacking > 0

    def _worth(self, placement: Placement) -> tuple[bool, float]:
        node = self._now.get(placement.node)
        assert node is not None
        return self._now.is_online(node, self._timing.now_ms), node.record

    async def _take_from(self, placements: list[Placement]) -> None:
        for each in placements:
            await self._rows.make_surplus(each.checksum, each.node, self._timing.now_ms)

    # -- pushing -----------------------------------------------------------------------------------------

    async def _push(self, placed: Placed, placements: list[Placement], count: int) -> int:
        """Push a buffer to as many nodes more, one after the other; tell how many took it."""
        tried = {each.node for each in placements if each.state is PlacementState.GOOD}
        before = {each.node for each in placements} - tried
        nodes = [self._now.get(each.node) for each in placements if each.state is PlacementState.GOOD]
        hosts = {host_of(node) for node in nodes if node is not None}
        lacking: _Lacking | None = None
        done = 0
        while done < count:
            candidates = self._now.candidates(placed.size, self._timing.now_ms, tried | before, hosts)
            if not candidates:  # who lost it, and was good else, may have it again
                candidates = self._now.candidates(placed.size, self._timing.now_ms, tried, hosts, TRUSTED)
            chosen = choose(placed.checksum, candidates, 1)
            node = self._now.get(chosen[0].node) if chosen else None
            if node is None:
                return done
            lacking = lacking or await self._known(placed)
            tried.add(node.seq)
            if await self._push_to(node, lacking):
                hosts.add(host_of(node))
                done += 1
        return done

    async def _known(self, placed: Placed) -> _Lacking:
        """Tell by what the bytes of a buffer are known, which are read for it if need be.

        Raises: what `Buffers.open` raises, NotYet.
        """
        with closing(await self._buffers.open(placed.checksum)) as blob:  # which brings back a lost one
            sha256 = blob.sha256
        if self._buffers.store.format.algorithm is Algorithm.SHA_256:
            sha256 = bytes.fromhex(placed.checksum)
        sha256 = sha256 or (await self._buffers.hashset(placed.checksum)).sha256
        root = placed.root
        if root is None:
            root = (await self._manifests.get(placed.checksum)).root
            await self._rows.keep_root(placed.checksum, root)
        return _Lacking(placed, root, sha256)

    async def _push_to(self, node: Node, lacking: _Lacking) -> bool:
        """Push a buffer to a node; whether it took it."""
        checksum, size = lacking.placed.checksum, lacking.placed.size
        self._now.promise(node.seq, size)
        try:
            with closing(await self._buffers.open(checksum)) as blob:
                link = self._links.to(node.key, node.url)
                root = await link.push(checksum, size, lacking.sha256, _pieces(blob))
            if root != lacking.root:
                raise BadAnswer("it says that the buffer has another root")
            await self._note(node, lacking)
        except (NodeRefused, BadAnswer) as error:
            await self._refused(node, error)
            return False
        except HashserverError as error:
            log.info("node %s can't be given a buffer: %s", node.key.hex()[:8], error)
            self._now.shun(node.seq, self._timing.now_ms)
            return False
        finally:
            self._now.promise(node.seq, -size)
        return True

    async def _note(self, node: Node, lacking: _Lacking) -> None:
        now_ms = self._timing.now_ms
        due_ms = now_ms + self._timing.next_audit_ms(node.record, 0)
        await self._rows.place(lacking.placed.checksum, node.seq, now_ms, due_ms)
        known = self._now.get(node.seq) or node
        self._now.put(known._replace(used=known.used + lacking.placed.size))
        self._timing.pushed()

    async def _refused(self, node: Node, error: HashserverError) -> None:
        """Shun a node that does not take what it said it would; who said it has room is believed less."""
        now_ms = self._timing.now_ms
        self._now.shun(node.seq, now_ms)
        log.info("node %s refuses a buffer: %s", node.key.hex()[:8], error)
        if isinstance(error, NodeRefused) and error.status == NO_ROOM:
            record, until_ms = after_refusing_room(node.record), now_ms + int(FULL_S * 1000)
            self._now.put(node._replace(record=record, full_until_ms=until_ms))
            await self._rows.take_for_full(node.seq, record, until_ms)


async def _pieces(blob: Blob) -> AsyncIterator[bytes]:
    """Read the plain bytes of a blob."""
    if blob.pieces is not None:
        async with aclosing(blob.pieces) as pieces:
            async for piece in pieces:
                yield piece
        return
    assert blob.file is not None
    at = 0
    while at < blob.size:
        piece = await asyncio.to_thread(os.pread, blob.file.fileno(), min(PIECE_BYTES, blob.size - at), at)
        if not piece:
            raise BufferCorrupt(f"{blob.checksum} became shorter while it was read")
        at += len(piece)
        yield piece
