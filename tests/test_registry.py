"""What the registry lets nodes say, with clocks that are held."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hashserver_aio.catalogue.farmers import Farmer, Submission
from hashserver_aio.catalogue.memory_farmers import MemoryFarmers
from hashserver_aio.errors import (
    AlreadyAudited,
    AlreadyRegistered,
    BadAddress,
    BadArgument,
    HashserverError,
    HeightTooLarge,
    NodeNotFound,
    NotSigned,
    TooManyRequests,
)
from hashserver_aio.farmers import Call, Registry
from hashserver_aio.farmers import registry as registry_room
from hashserver_aio.settings import FarmerRules

from .farmer_keys import PAYOUT, NodeKey

NOW_S = 1_795_309_200.0
ONE, OTHER = NodeKey(1), NodeKey(2)


class Office:
    """A registry, and the clocks it goes by."""

    def __init__(self, **rules: float) -> None:
        self.now_s = NOW_S
        self.ticks_s = 0.0
        self.rows = MemoryFarmers()
        rules_ = replace(FarmerRules(), **rules)  # type: ignore[arg-type]  # some are numbers without a point
        self.registry = Registry(self.rows, rules_, clock=lambda: self.now_s, ticks=lambda: self.ticks_s)

    def call(self, key: NodeKey, *, client: str = "192.0.2.1", by: NodeKey | None = None) -> Call:
        """Word a call about a node, signed by it, or by another one."""
        headers = (by or key).headers(self.now_s)
        return Call(key.address, client, headers["Date"], headers["Authorization"])

    def node(self, key: NodeKey = ONE) -> Farmer:
        """Tell what is kept of a node."""
        node = self.rows.get(key.address)
        assert node is not None
        return node

    def pass_s(self, seconds: float) -> None:
        """Let time pass; if it goes back, that is somebody who sets the clock."""
        self.now_s += seconds
        self.ticks_s += max(0, seconds)


@pytest.fixture
async def office() -> Office:
    """A registry with one node."""
    office = Office()
    await office.registry.register(office.call(ONE))
    return office


async def test_register() -> None:
    """A node is paid at the address it names, or at its own, and registers once."""
    office = Office()
    registry = office.registry
    one = await registry.register(office.call(ONE), PAYOUT)
    assert one == Farmer(1, ONE.address, PAYOUT, int(NOW_S * 1000), int(NOW_S * 1000), 0, 0)
    assert (await registry.register(office.call(OTHER))).payout_address == OTHER.address
    for payout in (PAYOUT, None, OTHER.address):
        with pytest.raises(AlreadyRegistered):
            await registry.register(office.call(ONE), payout)
    assert office.node() == one


async def test_ping(office: Office) -> None:
    """A ping is heard, and written down once a minute at most."""
    for wait_s, seen_at_s in ((0, 0), (30, 0), (29.5, 0), (0.5, 60), (59, 60), (900, 1019)):
        office.pass_s(wait_s)
        await office.registry.ping(office.call(ONE))
        assert office.node().last_seen_ms == (NOW_S + seen_at_s) * 1000


async def test_clock_set_back(office: Office) -> None:
    """Who was seen by a clock that was ahead is seen anew at once, and not only when that time has come."""
    office.pass_s(86_400 * 365)
    await office.registry.ping(office.call(ONE))
    office.pass_s(-86_400 * 365 + 30)
    for wait_s, seen_at_s in ((0, 30), (59, 30), (1, 90)):
        office.pass_s(wait_s)
        await office.registry.ping(office.call(ONE))
        assert office.node().last_seen_ms == (NOW_S + seen_at_s) * 1000
        assert office.registry.uptime_percent(office.node()) == 100.0


async def test_height(office: Office) -> None:
    """A height is kept at once, whenever it comes, and is a sign of life; it has a limit."""
    for height in (5, 199_999, 0):
        office.pass_s(1)
        await office.registry.set_height(office.call(ONE), height)
        assert (office.node().height, office.node().last_seen_ms) == (height, office.now_s * 1000)
    for height in (200_000, 10**30):
        with pytest.raises(HeightTooLarge):
            await office.registry.set_height(office.call(ONE), height)
    assert office.node().height == 0


async def test_audit(office: Office) -> None:
    """What a node answers to a block is kept, once, and is no sign of life."""
    office.pass_s(100)
    await office.registry.submit_audit(office.call(ONE), 7, "aB" * 32)
    for response in ("ab" * 32, "cd" * 32):
        with pytest.raises(AlreadyAudited):
            await office.registry.submit_audit(office.call(ONE), 7, response)
    for response in ("", "ab" * 31, "ab" * 33, "g" * 64, "é" * 64, "٣" * 64):
        with pytest.raises(BadArgument):
            await office.registry.submit_audit(office.call(ONE), 8, response)
    kept = Submission(7, b"\xab" * 32, int(office.now_s * 1000))
    assert office.rows.submissions(ONE.address) == [kept]
    assert office.node().last_seen_ms == NOW_S * 1000


async def refused(office: Office, call: Call, *, height: int = 1, payout: str | None = None) -> list[str]:
    """Make every call about a node: what each is refused with."""
    registry, names = office.registry, []
    for coroutine in (
        registry.register(call, payout),
        registry.ping(call),
        registry.set_height(call, height),
        registry.submit_audit(call, 1, "no digest"),
    ):
        try:
            await coroutine
            names.append("")
        except HashserverError as error:
            names.append(type(error).__name__)
    return names


async def test_order_of_checks(office: Office) -> None:
    """Of several faults the first one counts: address, signature, height, payout, and then who is known."""
    unsigned = Call("no address", "192.0.2.1", None, None)
    assert await refused(office, unsigned, height=10**9, payout="no address") == ["BadAddress"] * 4
    foreign = office.call(OTHER, by=ONE)
    assert await refused(office, foreign, height=10**9, payout="no address") == ["NotSigned"] * 4
    assert await refused(office, office.call(OTHER), height=10**9, payout="no address") == [
        "BadAddress",
        "NodeNotFound",
        "HeightTooLarge",
        "NodeNotFound",
    ]
    with pytest.raises(BadAddress):  # and not that it is registered
        await office.registry.register(office.call(ONE), "no address")


@pytest.mark.parametrize("skew_s", [-20, -19.9, 0, 19.9, 20])
async def test_clocks_differ(office: Office, skew_s: float) -> None:
    """A node's clock may be off by less than twenty seconds."""
    call = office.call(ONE)
    office.pass_s(skew_s)
    if abs(skew_s) < 20:
        await office.registry.ping(call)
    else:
        with pytest.raises(NotSigned):
            await office.registry.ping(call)


async def test_one_signature_for_several_calls(office: Office) -> None:
    """A signature may be used again while it is good, as clients do within a second; then never."""
    call = office.call(ONE)
    for height in range(5):
        await office.registry.set_height(call, height)
        await office.registry.ping(call)
    office.pass_s(20)
    with pytest.raises(NotSigned):
        await office.registry.ping(call)


async def test_signed_for_another_server(office: Office) -> None:
    """What a node signed for one server is nothing to another."""
    other = Office(server_address=OTHER.address)  # type: ignore[arg-type]  # the only rule that is no number
    with pytest.raises(NotSigned):
        await other.registry.register(office.call(ONE))


async def test_clients_are_limited_before_signatures(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that asks too often costs no more arithmetic; others, and the node itself, go on."""
    checked = 0

    def check(*_: object) -> None:
        nonlocal checked
        checked += 1
        raise NotSigned()

    with monkeypatch.context() as patched:
        patched.setattr(registry_room, "check_signature", check)
        outcomes = [(await refused(office, office.call(ONE, client="198.51.100.9")))[1] for _ in range(300)]
    assert outcomes[0] == "NotSigned" and outcomes[-1] == "TooManyRequests"
    assert checked <= 500
    with pytest.raises(TooManyRequests):
        await office.registry.ping(office.call(ONE, client="198.51.100.9"))
    await office.registry.ping(office.call(ONE, client="198.51.100.10"))
    office.pass_s(0.02)
    await office.registry.ping(office.call(ONE, client="198.51.100.9"))


async def test_nobody_locks_out_a_node(office: Office) -> None:
    """Calls that a node has not signed are never counted as its own, wherever they come from."""
    forged = replace(office.call(ONE), authorization=OTHER.headers(office.now_s)["Authorization"])
    for number in range(300):
        with pytest.raises(NotSigned):
            await office.registry.ping(replace(forged, client=f"203.0.113.{number % 250}"))
    await office.registry.ping(office.call(ONE))


async def test_nodes_are_limited(office: Office) -> None:
    """A node that signs without end is refused wherever it calls from, and others are not."""
    for number in range(59):  # with the one that registered it, sixty
        await office.registry.ping(office.call(ONE, client=f"192.0.2.{number}"))
    with pytest.raises(TooManyRequests) as error:
        await office.registry.ping(office.call(ONE, client="203.0.113.1"))
    assert error.value.wait_s == pytest.approx(1)
    await office.registry.register(office.call(OTHER))
    office.pass_s(1)
    await office.registry.ping(office.call(ONE))


async def test_registering_costs_more() -> None:
    """Rows that stay are made a tenth as fast as calls come."""
    office = Office(calls_per_s=20)
    made = 0
    with pytest.raises(TooManyRequests):
        for number in range(100):
            await office.registry.register(office.call(NodeKey(number + 10)))
            made += 1
    assert made == 20
    office.pass_s(0.5)
    await office.registry.register(office.call(NodeKey(9)))


async def test_slow_rate_lets_register() -> None:
    """However small the rate, a node gets to register."""
    office = Office(calls_per_s=0.01)
    await office.registry.register(office.call(ONE))


async def test_online() -> None:
    """Online is who was seen within the minutes that make one so."""
    office = Office(online_s=120)
    for key in (ONE, OTHER):
        await office.registry.register(office.call(key))
    office.pass_s(100)
    await office.registry.set_height(office.call(OTHER), 4)

    async def online() -> list[str]:
        return [node.address async for page in office.registry.online() for node in page]

    assert await online() == [OTHER.address, ONE.address]
    office.pass_s(20)
    assert await online() == [OTHER.address]
    assert tuple(await office.registry.totals()) == (1, 4)
    office.pass_s(100)
    assert await online() == []
    assert tuple(await office.registry.totals()) == (0, 0)


async def test_uptime(office: Office) -> None:
    """Uptime is how much of the time since registering a node was online, as far as its pings tell."""
    percent = [office.registry.uptime_percent(office.node())]
    for wait_s in (900, 900, 1800):
        office.pass_s(wait_s)
        percent.append(office.registry.uptime_percent(office.node()))
        await office.registry.ping(office.call(ONE))
    assert percent == [100.0, 100.0, 100.0, 75.0]
    assert office.registry.last_seen_s(office.node()) == 0
    office.pass_s(3600)
    assert office.registry.uptime_percent(office.node()) == 50.0
    assert office.registry.last_seen_s(office.node()) == 3600
    office.pass_s(-99_999)
    assert office.registry.last_seen_s(office.node()) == 0
    with pytest.raises(NodeNotFound):
        await office.registry.ping(office.call(OTHER))
