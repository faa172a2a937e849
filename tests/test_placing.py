"""How buffers get to nodes, one look at a time, with nodes that do as they are told."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from hashserver_aio.catalogue.nodes import Node, NodeState
from hashserver_aio.catalogue.placements import Placed, PlacementState, Verdict
from hashserver_aio.checksums import Checksum
from hashserver_aio.errors import BufferCorrupt
from hashserver_aio.fleet import Links, placing
from hashserver_aio.fleet.nodes_now import NodesNow
from hashserver_aio.fleet.placing import AT_ONCE_A_NODE, LOST_RETRIES, SOON_MS, Placing
from hashserver_aio.fleet.timing import Timing
from hashserver_aio.nodes.messages import Numbers
from hashserver_aio.server.keys import BUFFERS, MANIFESTS
from hashserver_aio.settings import NodeRules

from .clients import name, sha256
from .held_nodes import LISTED, NodeDouble, telling
from .rescues import PAIR, Server, double, serving

BODY, OTHER = b"a buffer" * 20_000, b"another one" * 20_000

GOOD, DEAD, SURPLUS = PlacementState


@dataclass
class Scene:
    """A server, and what places its buffers."""

    server: Server
    placing: Placing
    now: NodesNow
    timing: Timing

    async def put(self, body: bytes, replicas: int = 1) -> None:
        """Store a buffer that is to be on nodes."""
        await self.server.client.put("/" + name(body), data=io.BytesIO(body))
        await self.server.rows.want(Checksum(name(body)), len(body), replicas, self.timing.now_ms)

    def placed(self, body: bytes) -> Placed:
        """What is to be on nodes of a buffer."""
        placed = self.server.rows.placed(Checksum(name(body)))
        assert placed is not None
        return placed

    async def look(self, body: bytes) -> Placed:
        """Look after a buffer as it is now: what is to be of it then."""
        self.now.renew(await self.server.rows.all())
        await self.placing.look_after(self.placed(body))
        return self.placed(body)

    def node(self, which: int) -> Node:
        """One of the nodes."""
        node = self.server.rows.get(self.server.nodes[which].pair.public)
        assert node is not None
        return node

    def on(self, body: bytes) -> dict[int, PlacementState]:
        """Tell on which nodes a buffer is, and how."""
        seqs = {self.node(which).seq: which for which in range(len(self.server.nodes))}
        placements = self.server.rows.placements(Checksum(name(body)))
        return {seqs[each.node]: each.state for each in placements}

    def pushed(self, which: int) -> int:
        """How often a node was sent a buffer."""
        return sum(asked.startswith("PUT") for asked in self.server.nodes[which].asked)


@asynccontextmanager
async def scene(directory: Path, *nodes: NodeDouble, **settings: Any) -> AsyncIterator[Scene]:
    """Have a server with nodes, whose buffers are placed when they are looked at."""
    async with serving(directory, *nodes, **settings) as server:
        links, timing = Links(PAIR, LISTED, Numbers()), Timing(NodeRules(online_s=900))
        now = NodesNow(timing.online_ms, b"")
        works = Placing(server.app[BUFFERS], server.app[MANIFESTS], links, now, timing)
        try:
            yield Scene(server, works, now, timing)
        finally:
            for node in nodes:
                node.go_on.set()
            await links.close()


async def test_placed(directory: Path) -> None:
    """A buffer that lacks replicas gets them, and is known by its root and its SHA-256 from then on."""
    async with scene(directory, double(), double()) as at:
        await at.put(BODY, 2)
        placed = await at.look(BODY)
        assert at.on(BODY) == {0: GOOD, 1: GOOD} and placed.due_ms is None
        assert placed.root is not None and placed.sha256 == bytes.fromhex(sha256(BODY))


async def test_refused_for_what_it_is(directory: Path) -> None:
    """A node that refuses one buffer, as it is too large, is given others in the same moment."""
    async with scene(directory, double(instead=telling(413, message="too large"))) as at:
        await at.put(BODY)
        await at.put(OTHER)
        assert (await at.look(BODY)).due_ms is not None
        at.server.nodes[0].instead = None
        await at.look(OTHER)
        assert at.on(OTHER) == {0: GOOD}


async def test_fault_of_the_server(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that can't be read here is not held against the node that it was for."""

    async def broken(blob: object) -> AsyncIterator[bytes]:
        raise BufferCorrupt("it became shorter")
        yield b""

    async with scene(directory, double()) as at:
        await at.put(BODY)
        await at.put(OTHER)
        with monkeypatch.context() as patched:
            patched.setattr(placing, "_pieces", broken)
            assert (await at.look(BODY)).due_ms is not None
        await at.look(OTHER)
        assert at.on(OTHER) == {0: GOOD}


async def test_full(directory: Path) -> None:
    """Who has no room is believed less, unless it has to remove something first."""
    async with scene(directory, double(instead=telling(507, message="full")), double()) as at:
        other = at.node(0).seq
        for body, record in ((BODY, 0.5), (OTHER, 0.375)):
            await at.put(body, 2)
            if body == BODY:
                await at.server.rows.place(Checksum("a" * 64), other, 1, 1)  # wanted by nobody
            await at.look(body)
            assert at.node(0).record == record and at.on(body) == {1: GOOD}
            await at.server.rows.forget(Checksum("a" * 64), other)
            await at.server.rows.take_for_full(other, record, 0)
            at.now._shunned_until_ms.clear()


async def test_nothing_goes_where_it_is_removed(directory: Path) -> None:
    """What a node is to remove is not sent there until it has; then it is at once."""
    async with scene(directory, double()) as at:
        await at.put(BODY)
        await at.look(BODY)
        await at.server.rows.unwant(Checksum(name(BODY)), at.timing.now_ms)
        await at.put(BODY)
        assert (await at.look(BODY)).due_ms is not None and at.on(BODY) == {0: SURPLUS}
        assert at.pushed(0) == 1
        await at.server.rows.forget(Checksum(name(BODY)), at.node(0).seq)
        assert at.placed(BODY).due_ms == 0
        await at.look(BODY)
        assert at.on(BODY) == {0: GOOD}


async def test_wanted_anew_during_a_push(directory: Path) -> None:
    """A buffer that is deleted and comes again during a push has a root in the end, or no audit could be."""
    async with scene(directory, double()) as at:
        await at.put(BODY)
        await at.server.rows.place(Checksum(name(BODY)), at.node(0).seq, 1, 1)
        placed = await at.look(BODY)
        assert placed.root is not None and placed.due_ms is None and at.pushed(0) == 0


async def test_lost_after_it_was_wanted_anew(directory: Path) -> None:
    """A buffer that is deleted and comes again during a push comes back if it is lost in the next moment."""
    async with scene(directory, double()) as at:
        checksum, node = Checksum(name(BODY)), at.server.nodes[0]

        async def wanted_anew(request: web.Request) -> web.StreamResponse:
            await at.server.rows.unwant(checksum, at.timing.now_ms)
            await at.server.rows.want(checksum, len(BODY), 1, at.timing.now_ms)
            node.instead = None
            return await node._store(checksum, request)

        await at.put(BODY)
        await at.placing._known(at.placed(BODY))
        node.instead = wanted_anew
        await at.look(BODY)
        assert at.on(BODY) == {0: GOOD}
        at.server.path_of(BODY).unlink()
        assert await (await at.server.client.get("/" + checksum)).read() == BODY


async def test_others_die_during_a_push(directory: Path) -> None:
    """A node that is drained keeps what lacks replicas by the time that a push has ended."""
    async with scene(directory, double(), double(), double()) as at:
        rows, checksum = at.server.rows, Checksum(name(BODY))
        await at.put(BODY, 2)
        await at.look(BODY)
        (last,) = {0, 1, 2} - at.on(BODY).keys()
        drained, dying = at.on(BODY)
        honest = at.server.nodes[last]

        async def dies_meanwhile(request: web.Request) -> web.StreamResponse:
            (before,) = [each for each in rows.placements(checksum) if each.node == at.node(dying).seq]
            await rows.judge(Verdict(before, 1, "wrong", 0.1, 4, DEAD, 10**15))
            return await honest._store(name(BODY), request)

        await rows.set_state(at.node(drained).key, NodeState.DRAINING, at.timing.now_ms)
        honest.instead = dies_meanwhile
        assert (await at.look(BODY)).due_ms is not None
        assert at.on(BODY) == {drained: GOOD, dying: DEAD, last: GOOD}


async def test_taken_from_who_has_strikes(directory: Path) -> None:
    """What is too much is taken from who failed the last audit, whatever its record."""
    async with scene(directory, double(), double()) as at:
        await at.put(BODY, 2)
        await at.look(BODY)
        (before,) = [
            each for each in at.server.rows.placements(Checksum(name(BODY))) if each.node == at.node(0).seq
        ]
        await at.server.rows.judge(Verdict(before, 1, "late", 0.9, 1, GOOD, 10**15))
        await at.server.rows.want(before.checksum, len(BODY), 1, at.timing.now_ms)
        await at.look(BODY)
        assert at.on(BODY) == {0: SURPLUS, 1: GOOD}


async def test_slow_node(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that takes its time is given so much at once, and the rest goes elsewhere, or a little later."""
    monkeypatch.setattr(placing, "TURN_S", 0.01)
    slow = double()

    async def hold(request: web.Request) -> web.StreamResponse:
        await slow.go_on.wait()
        return web.json_response({"message": "too late"}, status=400)

    slow.instead = hold
    bodies = [b"%d" % number for number in range(AT_ONCE_A_NODE + 1)]
    async with scene(directory, slow, double()) as at:
        for body in bodies:
            await at.put(body, 2)
        looking = [asyncio.create_task(at.look(body)) for body in bodies[:-1]]
        while at.pushed(0) < AT_ONCE_A_NODE:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)
        began_ms = at.timing.now_ms
        placed = await at.look(bodies[-1])
        assert at.on(bodies[-1]) == {1: GOOD}
        assert placed.due_ms is not None and began_ms < placed.due_ms <= at.timing.now_ms + SOON_MS
        slow.go_on.set()
        await asyncio.gather(*looking)


async def test_lost(directory: Path) -> None:
    """What nobody has is asked for now and then, not all the time: who comes back with it says so itself."""
    async with scene(directory, double(), double()) as at:
        await at.put(BODY, 2)
        await at.look(BODY)
        at.server.path_of(BODY).unlink()
        for node in at.server.nodes:
            node.held.clear()
        await at.server.rows.forget(Checksum(name(BODY)), at.node(0).seq)
        began_ms = at.timing.now_ms
        due_ms = (await at.look(BODY)).due_ms
        assert due_ms is not None and due_ms - began_ms >= LOST_RETRIES * at.timing.retry_ms


async def test_from_node_to_node(directory: Path) -> None:
    """What the server lost, and has no room for, gets another replica from a node that has it."""
    async with scene(directory, double(), double()) as at:
        await at.put(BODY)
        await at.look(BODY)
        (first,) = at.on(BODY)
        at.server.path_of(BODY).unlink()
        at.server.app[BUFFERS].intake._limit_bytes = 1
        await at.server.rows.want(Checksum(name(BODY)), len(BODY), 2, at.timing.now_ms)
        assert (await at.look(BODY)).due_ms is None
        assert at.on(BODY) == {0: GOOD, 1: GOOD} and not at.server.path_of(BODY).exists()
        assert at.server.nodes[1 - first].held[name(BODY)] == BODY


async def test_deleted_before_it_was_placed(directory: Path) -> None:
    """What was deleted before it got anywhere is wanted no more; what came again in that moment is."""
    async with scene(directory, double()) as at:
        await at.put(BODY)
        seen = at.placed(BODY)
        at.server.path_of(BODY).unlink()
        at.now.renew(await at.server.rows.all())
        await at.placing.look_after(seen)
        assert at.server.rows.placed(seen.checksum) is None

        await at.put(BODY)
        at.server.path_of(BODY).write_bytes(b"corrupt, and too young to be moved")
        seen = at.placed(BODY)
        assert (await at.look(BODY)).due_ms != seen.due_ms and at.on(BODY) == {}
