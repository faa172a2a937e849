"""What audits do to placements and records, on a clock of its own and with nodes that do as they are told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from hashserver_aio.catalogue.memory_nodes import MemoryNodes
from hashserver_aio.catalogue.nodes import Announcement, Node
from hashserver_aio.catalogue.placements import Placement, PlacementState
from hashserver_aio.checksums import Algorithm, Checksum
from hashserver_aio.errors import BadAnswer, NodeLate, NodeRefused, ServerUnreachable
from hashserver_aio.fleet.auditing import AT_ONCE_A_NODE, SOON_MS, Auditing
from hashserver_aio.fleet.links import Links
from hashserver_aio.fleet.nodes_now import NodesNow
from hashserver_aio.fleet.timing import Timing
from hashserver_aio.nodes import audits
from hashserver_aio.nodes.audits import Challenge
from hashserver_aio.settings import NodeRules

from .clients import name

EMPTY = Checksum(name(b""))
ROOT = bytes.fromhex(name(b""))
RIGHT = audits.packed([])
INTERVAL_S = 4800.0


class Told:
    """Links to nodes that answer every challenge, or order, as they are told to."""

    def __init__(self) -> None:
        self.says: dict[bytes, bytes | Exception] = {}
        self.asked: list[bytes] = []

    def to(self, key: bytes, url: str) -> Told:
        """Reach a node."""
        self._key = key
        return self

    async def prove(self, challenge: Challenge, deadline_s: float) -> bytes:
        """Answer a challenge."""
        self.asked.append(self._key)
        said = self.says.get(self._key, RIGHT)
        if isinstance(said, Exception):
            raise said
        return said

    async def remove(self, checksum: Checksum) -> None:
        """Remove a buffer."""
        await self.prove(Challenge(checksum, 0, ()), 0)


class Scene:
    """Two nodes that have an empty buffer, and a clock."""

    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0
        self.rows = MemoryNodes(cast(Any, None))
        self.told = Told()
        self.results: list[str] = []
        rules = NodeRules(audit_interval_s=INTERVAL_S, online_s=900)
        self.timing = Timing(rules, clock=lambda: self.now_s, audited=self.results.append)
        self.now = NodesNow(self.timing.online_ms, b"")
        links = cast(Links, self.told)
        self.auditing = Auditing(self.rows, Algorithm.SHA3_256, links, self.now, self.timing)
        self.keys = (b"a" * 32, b"b" * 32)

    async def begin(self) -> None:
        """Register the nodes, and place the buffer on them."""
        await self.rows.want(EMPTY, 0, 2, self.timing.now_ms)
        await self.rows.keep_root(EMPTY, ROOT)
        for key in self.keys:
            url = f"http://{key[:1].decode()}:1"
            said = Announcement(key, url, "", 10**9, 1, self.timing.now_ms)
            node = await self.rows.register(said)
            assert node is not None
            await self.rows.place(EMPTY, node.seq, self.timing.now_ms, self.timing.now_ms)
        (placed,) = await self.rows.due(self.timing.now_ms)
        await self.rows.settle(placed, None)

    def node(self, which: int = 0) -> Node:
        """A node as it is now."""
        node = self.rows.get(self.keys[which])
        assert node is not None
        return node

    def placement(self, which: int = 0) -> Placement:
        """What is on a node."""
        seq = self.node(which).seq
        return next(each for each in self.rows.placements(EMPTY) if each.node == seq)

    async def audit(self, which: int = 0, *, pings: bool = True) -> None:
        """Audit a node when it is due next."""
        self.now_s = max(self.now_s, self.placement(which).due_ms / 1000 + 0.001)
        for number, key in enumerate(self.keys):
            if pings:
                await self.rows.see(key, 10**9, self.node(number).message + 1, self.timing.now_ms)
        self.now.renew(await self.rows.all())
        assert self.placement(which) in await self.rows.audits_due(self.timing.now_ms)
        await self.auditing.look_after(self.placement(which))


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    """A scene that has begun."""
    scene = Scene()
    await scene.begin()
    yield scene


async def test_passed(scene: Scene) -> None:
    """A right answer raises the record, and the next one is due within the interval."""
    await scene.audit()
    node, placement = scene.node(), scene.placement()
    assert (node.passed, node.failed, node.failure) == (1, 0, "") and node.record > 0.5
    assert placement.state is PlacementState.GOOD
    assert 0 < placement.due_ms - scene.timing.now_ms <= INTERVAL_S * 1000
    assert scene.results == ["passed"] and await scene.rows.due(scene.timing.now_ms) == []


@pytest.mark.parametrize(
    ("said", "failure", "times"),
    [
        (b"no answer", "wrong", 1),
        (BadAnswer("it sends too much"), "wrong", 1),
        (NodeRefused("it has nothing", 404), "missing", 2),
        (NodeRefused("it is ill", 500), "refused", 2),
        (NodeLate("it sleeps"), "late", 4),
        (ServerUnreachable("it is off"), "unreachable", 4),
    ],
)
async def test_failed(scene: Scene, said: bytes | Exception, failure: str, times: int) -> None:
    """After so many failures a placement is dead, soon, and its buffer is looked after; it may come back."""
    scene.told.says[scene.keys[0]] = said
    began_s = scene.now_s
    for number in range(times):
        assert scene.placement().state is PlacementState.GOOD
        assert await scene.rows.due(scene.timing.now_ms) == []
        await scene.audit()
        assert (scene.node().failed, scene.node().failure) == (number + 1, failure)
    assert scene.placement().state is PlacementState.DEAD and scene.node().record < 0.5
    assert scene.now_s - began_s <= times * INTERVAL_S / 8
    assert [placed.checksum for placed in await scene.rows.due(scene.timing.now_ms)] == [EMPTY]
    assert scene.node(1).failed == 0

    scene.told.says.clear()
    await scene.audit()
    assert scene.placement().state is PlacementState.GOOD and scene.node().passed == 1
    assert scene.results == [failure] * times + ["passed"]


async def test_once_is_forgiven(scene: Scene) -> None:
    """Failures count only together: one that was late now and then loses nothing but some of its record."""
    for _ in range(10):
        scene.told.says[scene.keys[0]] = NodeLate("it sleeps")
        await scene.audit()
        scene.told.says.clear()
        await scene.audit()
    assert scene.placement().state is PlacementState.GOOD and scene.node().failed == 10


async def test_silence_is_not_waited_for_again(scene: Scene) -> None:
    """Who was silent a moment ago is not asked for what else is due: it fails, and its record stays."""
    scene.told.says[scene.keys[0]] = NodeLate("it sleeps")
    await scene.audit()
    asked, record = len(scene.told.asked), scene.node().record
    await scene.rows.audit_at(EMPTY, scene.node().seq, scene.timing.now_ms)
    await scene.auditing.look_after(scene.placement())
    assert len(scene.told.asked) == asked and scene.node().record == record
    assert scene.placement().strikes == 2
    await scene.audit(1)
    assert scene.node(1).passed == 1


async def test_offline(scene: Scene) -> None:
    """Who pings no more fails without being asked; others show that the server is not cut off."""
    scene.now_s += 1000
    await scene.rows.see(scene.keys[1], 10**9, 2, scene.timing.now_ms)
    scene.now.renew(await scene.rows.all())
    await scene.auditing.look_after(scene.placement())
    assert scene.told.asked == [] and scene.node().failure == "unreachable"
    assert scene.placement().strikes == 1


async def test_cut_off(scene: Scene) -> None:
    """Where nobody is online it is the server that is cut off, or was asleep: nobody is blamed for it."""
    scene.now_s += 1000
    await scene.audit(pings=False)
    assert scene.node().failed == 0 and scene.placement().strikes == 0
    assert scene.placement().due_ms > scene.timing.now_ms


async def test_removing(scene: Scene) -> None:
    """What is too much is removed by its node, as soon as that can be told so."""
    seq = scene.node().seq
    await scene.rows.make_surplus(EMPTY, seq, scene.timing.now_ms)
    scene.told.says[scene.keys[0]] = ServerUnreachable("it is off")
    await scene.audit()
    assert scene.placement().due_ms > scene.timing.now_ms and scene.node().failed == 0
    scene.told.says.clear()
    await scene.audit()
    assert [each.node for each in scene.rows.placements(EMPTY)] == [scene.node(1).seq]


async def test_placed_again_meanwhile(scene: Scene) -> None:
    """What was surplus when it was seen, and counts by now, is not removed."""
    seq = scene.node().seq
    await scene.rows.make_surplus(EMPTY, seq, scene.timing.now_ms)
    seen = scene.placement()
    await scene.rows.place(EMPTY, seq, scene.timing.now_ms, scene.timing.now_ms + 1000)
    scene.now.renew(await scene.rows.all())
    await scene.auditing.look_after(seen)
    assert scene.told.asked == [] and scene.placement().state is PlacementState.GOOD


@pytest.mark.parametrize("failure", [NodeLate("it sleeps"), ServerUnreachable("it is off")])
async def test_just_awake(scene: Scene, failure: Exception) -> None:
    """A server that was not there to hear nodes blames none for silence, but for what it does answer."""
    scene.auditing._is_awake = lambda: False
    scene.told.says[scene.keys[0]] = failure
    await scene.audit()
    assert (scene.node().failed, scene.placement().strikes) == (0, 0)
    assert scene.placement().due_ms > scene.timing.now_ms
    await scene.rows.place(EMPTY, scene.node().seq, scene.timing.now_ms, scene.timing.now_ms)
    scene.auditing._failing.clear()
    scene.told.says[scene.keys[0]] = b"no answer"
    await scene.audit()
    assert scene.placement().state is PlacementState.DEAD


async def test_busy_node(scene: Scene) -> None:
    """Who has as many questions as it may have holds up nobody: what else is due comes a little later."""
    turns = scene.auditing._turns[scene.node().seq]
    for _ in range(AT_ONCE_A_NODE):
        await turns.acquire()
    await scene.audit()
    assert scene.told.asked == [] and scene.node().failed == 0
    assert 0 < scene.placement().due_ms - scene.timing.now_ms <= 2 * SOON_MS
    turns.release()
    await scene.audit()
    assert scene.node().passed == 1


async def test_interval_is_shorter(scene: Scene) -> None:
    """What is due after the interval, as that was longer or the clock ahead, is due within it."""
    others = scene.placement(1)
    far_ms = scene.timing.now_ms + 10**9
    await scene.rows.audit_at(EMPTY, scene.node().seq, far_ms)
    await scene.rows.hasten(scene.timing.now_ms, 5000)
    assert 0 <= scene.placement().due_ms - scene.timing.now_ms < 5000 and scene.placement(1) == others


async def test_nothing_to_check_by(scene: Scene) -> None:
    """What can't be audited yet, as no root is known, does not stay due."""
    await scene.rows.unwant(EMPTY, scene.timing.now_ms)
    await scene.rows.want(EMPTY, 0, 2, scene.timing.now_ms)
    await scene.rows.place(EMPTY, scene.node().seq, scene.timing.now_ms, scene.timing.now_ms)
    await scene.audit()
    assert scene.placement().due_ms > scene.timing.now_ms and scene.told.asked == []


async def test_not_wanted_any_more(scene: Scene) -> None:
    """What nobody wants on nodes any more is removed, whatever it was when it was seen."""
    seen = scene.placement()
    scene.now.renew(await scene.rows.all())
    await scene.rows.unwant(EMPTY, scene.timing.now_ms)
    await scene.auditing.look_after(seen)
    assert len(scene.told.asked) == 1 and len(scene.rows.placements(EMPTY)) == 1
    await scene.auditing.look_after(seen)
    assert len(scene.told.asked) == 1 and scene.node().failed == 0
