"""What a server asks of a node: signed, to where it may, and with bounds on whatever comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from aiohttp import web

from hashserver_aio.checksums import Algorithm, Checksum
from hashserver_aio.errors import (
    BadAnswer,
    BadArgument,
    NodeRefused,
    ServerUnreachable,
)
from hashserver_aio.fetching import guard, parse_allowed
from hashserver_aio.fleet import Links, links
from hashserver_aio.nodes.audits import is_passed, make_challenge
from hashserver_aio.nodes.keys import KeyPair
from hashserver_aio.nodes.messages import Numbers

from .clients import LONG, name
from .fetches import Names, listening
from .held_nodes import (
    NodeDouble,
    digest_of,
    hashes_of,
    linked,
    placed_of,
    running,
    saying,
    telling,
    whole,
)

PAIR = KeyPair.make()
SHORT = b"some bytes"
NAME = Checksum(name(LONG))


def node(**more: object) -> NodeDouble:
    """Make a node that has a buffer."""
    return NodeDouble(PAIR.public, held={name(LONG): LONG}, **more)  # type: ignore[arg-type]


async def pieces(body: bytes, size: int = 100_000) -> AsyncGenerator[bytes, None]:
    """Give a body in pieces."""
    for at in range(0, len(body), size):
        yield body[at : at + size]


async def push(link: links.Link, body: bytes) -> bytes:
    """Push a whole body."""
    return await link.push(Checksum(name(body)), len(body), digest_of(body), pieces(body))


async def test_all_calls() -> None:
    """An honest node does what it is asked for; every request is signed, with a number of its own."""
    held = node()
    async with linked(PAIR, held) as (_, [link]):
        await link.identify()
        assert await push(link, SHORT) == placed_of(SHORT).root
        assert await push(link, LONG + SHORT) == placed_of(LONG + SHORT).root
        assert held.held[name(LONG + SHORT)] == LONG + SHORT
        assert await link.leaves(NAME, len(LONG)) == hashes_of(LONG)
        assert await whole(link.read(NAME, 0, len(LONG))) == LONG
        assert await whole(link.read(NAME, 65536, 70_000)) == LONG[65536:135_536]
        assert await whole(link.read(NAME, 5, 0)) == b""
        challenge = make_challenge(NAME, len(LONG))
        answer = await link.prove(challenge, 60)
        assert is_passed(challenge, Algorithm.SHA3_256, placed_of(LONG).root or b"", answer)
        await link.remove(Checksum(name(SHORT)))
        await link.remove(Checksum(name(SHORT)))
        assert name(SHORT) not in held.held
    assert len({signed.number for signed in held.signed}) == len(held.asked) == 9


async def test_empty_buffer() -> None:
    """A buffer without a byte can be placed, too."""
    held = node()
    async with linked(PAIR, held) as (_, [link]):
        assert await push(link, b"") == placed_of(b"").root
        assert await link.leaves(Checksum(name(b"")), 0) == b""


@pytest.mark.parametrize("allowed", [(), ("10.0.0.0/8",), ("node.example",)])
async def test_only_where_it_may(allowed: tuple[str, ...]) -> None:
    """A node at an address that is neither public nor listed is not connected to, by whatever name."""
    async with listening("127.0.0.1") as there:
        names = Names({"elsewhere.example": ["127.0.0.1"], "localhost": ["127.0.0.1"]})
        linking = Links(PAIR, parse_allowed(allowed, "--node-allow"), Numbers(), names)
        try:
            for host in ("127.0.0.1", "localhost", "elsewhere.example", "0x7f.1", "[::ffff:127.0.0.1]"):
                with pytest.raises(ServerUnreachable, match="--node-allow"):
                    await linking.to(PAIR.public, f"http://{host}:{there.port}").identify()
        finally:
            await linking.close()
        assert there.connections == 0


async def test_kept_connection_is_judged_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections are kept open, and whoever gets one that was kept is asked anew where it goes."""
    held = node()
    met: list[object] = []

    async def noting(request: web.Request) -> web.StreamResponse:
        met.append(request.transport)
        return web.Response(body=hashes_of(LONG))

    held.instead = noting
    async with linked(PAIR, held) as (_, [link]):
        await link.leaves(NAME, len(LONG))
        await link.leaves(NAME, len(LONG))
        assert len(met) == 2 and met[0] is met[1]
        monkeypatch.setattr(guard.Judge, "may_reach", lambda self, host: False)
        with pytest.raises(ServerUnreachable, match="--node-allow"):
            await link.leaves(NAME, len(LONG))
    assert len(met) == 2


async def test_many_at_a_time() -> None:
    """Requests that connect at the same time are each judged by what they themselves may reach."""
    held = node()
    async with running(held):
        port = held.url.rpartition(":")[2]
        names = Names({"good.example": ["127.0.0.1"], "bad.example": ["127.0.0.1"]})
        linking = Links(PAIR, parse_allowed(["good.example"], "--node-allow"), Numbers(), names)
        try:
            asked = [
                linking.to(held.pair.public, f"http://{host}.example:{port}") for host in ("good", "bad")
            ]
            found = await asyncio.gather(*(link.identify() for link in asked * 10), return_exceptions=True)
        finally:
            await linking.close()
    assert found[::2] == [None] * 10
    assert all(isinstance(error, ServerUnreachable) for error in found[1::2])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_lead_nowhere(status: int) -> None:
    """A node leads to no other place, allowed or not."""
    async with listening("127.0.0.1") as other:
        held = node(instead=saying(b"", status, Location=f"http://127.0.0.1:{other.port}/"))
        async with linked(PAIR, held) as (_, [link]):
            with pytest.raises(NodeRefused, match=str(status)) as refused:
                await link.identify()
            assert refused.value.status == status
        assert other.connections == 0


async def test_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment says of proxies, nodes are reached without one."""
    async with listening("127.0.0.1") as proxy:
        for variable in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
            monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.port}")
        async with linked(PAIR, node()) as (_, [link]):
            await link.identify()
        assert proxy.connections == 0


@pytest.mark.parametrize(
    "url", ["ftp://a", "http://", "a:80", "http://u@a", "http://a/?b", "http://a/#b", "http://[", ""]
)
async def test_bad_url(url: str) -> None:
    """What can't be the URL of a node is refused before anything is sent."""
    linking = Links(PAIR, parse_allowed([]), Numbers())
    with pytest.raises(BadArgument):
        linking.to(PAIR.public, url)
    await linking.close()


async def test_identity_of_another() -> None:
    """Who answers with another key, or can't prove to have the one that was announced, is not believed."""
    other, held = KeyPair.make(), node()
    nonsense = other.sign(b"anything else").hex()
    async with linked(PAIR, held) as (_, [link]):
        held.instead = telling(key=other.id, proof=nonsense)
        with pytest.raises(BadAnswer, match="is not the node"):
            await link.identify()
        held.instead = telling(key=held.pair.id, proof=nonsense)
        with pytest.raises(BadAnswer, match="does not prove"):
            await link.identify()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 4000,
        b'{"root": 5, "size": 10}',
        b'{"root": "ab", "size": 10}',
        b"x" * 10_000,
    ],
)
async def test_nonsense(body: bytes) -> None:
    """What makes no sense for an answer is a bad one, whatever was asked for."""
    async with linked(PAIR, node(instead=saying(body))) as (_, [link]):
        with pytest.raises(BadAnswer):
            await link.identify()
        with pytest.raises(BadAnswer):
            await push(link, SHORT)
        with pytest.raises(BadAnswer):
            await link.leaves(NAME, len(LONG))


async def endless(request: web.Request) -> web.StreamResponse:
    """Answer for ever."""
    response = web.StreamResponse(status=int(request.headers.get("Expected", 200)))
    await response.prepare(request)
    while True:
        await response.write(bytes(2**16))


async def refusing_for_ever(request: web.Request) -> web.StreamResponse:
    """Refuse for ever."""
    response = web.StreamResponse(status=500)
    await response.prepare(request)
    while True:
        await response.write(bytes(2**16))


async def test_endless() -> None:
    """No answer is read further than one can be."""
    challenge = make_challenge(NAME, len(LONG))
    async with linked(PAIR, node(instead=endless), node(instead=refusing_for_ever)) as (_, [link, other]):
        for asked in (link.identify(), link.leaves(NAME, len(LONG)), link.prove(challenge, 60)):
            with pytest.raises(BadAnswer, match="longer"):
                await asked
        with pytest.raises(BadAnswer):
            await whole(link.read(NAME, 0, 1000))
        with pytest.raises(NodeRefused):
            await other.leaves(NAME, len(LONG))


async def test_what_is_shown_of_a_refusal() -> None:
    """Of what a node says only a little is shown, and nothing that could garble a log."""
    refusal = telling(507, message="no\n\x1b[31mroom" + "x" * 1000)
    async with linked(PAIR, node(instead=refusal)) as (_, [link]):
        with pytest.raises(NodeRefused) as refused:
            await push(link, SHORT)
    assert refused.value.status == 507
    assert str(refused.value).isprintable() and "no[31mroom" in str(refused.value)
    assert len(str(refused.value)) < 300
