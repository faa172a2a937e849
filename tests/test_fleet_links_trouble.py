"""Links to nodes that are slow, broken, or gone: nothing is waited for without end, and all is told apart."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable

import pytest
from aiohttp import web

from hashserver_aio.checksums import Checksum
from hashserver_aio.errors import (
    BadAnswer,
    BufferCorrupt,
    NodeLate,
    NodeRefused,
    ServerTrouble,
    ServerUnreachable,
    UploadCut,
)
from hashserver_aio.fleet import Link, failure_of, haste, links
from hashserver_aio.nodes.audits import make_challenge
from hashserver_aio.nodes.keys import KeyPair
from hashserver_aio.nodes.record import Failure

from .clients import LONG, name
from .held_nodes import Answer, NodeDouble, cut_at, digest_of, linked, saying, telling, whole

PAIR = KeyPair.make()
NAME = Checksum(name(LONG))
BIG = LONG * 4

Ask = Callable[[Link], Awaitable[object]]


def node(**more: object) -> NodeDouble:
    """Make a node that has a buffer."""
    return NodeDouble(PAIR.public, held={name(LONG): LONG}, **more)  # type: ignore[arg-type]


async def pieces(body: bytes) -> AsyncGenerator[bytes, None]:
    """Give a body in pieces."""
    for at in range(0, len(body), 2**18):
        yield body[at : at + 2**18]


def push(link: Link, body: bytes = LONG) -> Awaitable[bytes]:
    """Push a body."""
    return link.push(Checksum(name(body)), len(body), digest_of(body), pieces(body))


ASKED: list[Ask] = [
    lambda link: link.identify(),
    lambda link: link.leaves(NAME, len(LONG)),
    lambda link: whole(link.read(NAME, 0, len(LONG))),
    lambda link: link.prove(make_challenge(NAME, len(LONG)), 60),
    lambda link: link.remove(NAME),
    push,
]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for nothing long."""
    monkeypatch.setattr(haste, "SILENCE_S", 0.2)
    monkeypatch.setattr(haste, "GRACE_S", 0.3)
    for room in (haste, links):
        monkeypatch.setattr(room, "BEGIN_S", 0.4)


async def silent(request: web.Request) -> web.StreamResponse:
    """Take what is sent, and never answer."""
    await request.read()
    await asyncio.Event().wait()
    raise AssertionError


async def deaf(request: web.Request) -> web.StreamResponse:
    """Take nothing, and never answer."""
    await asyncio.Event().wait()
    raise AssertionError


async def trickling(request: web.Request) -> web.StreamResponse:
    """Send a byte now and then, for ever."""
    length = len(LONG)
    headers = {"Content-Range": f"bytes 0-{length - 1}/{length}"}
    response = web.StreamResponse(status=206, headers=headers)
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("ask", ASKED)
@pytest.mark.parametrize("instead", [silent, deaf, trickling])
@pytest.mark.usefixtures("impatient")
async def test_too_slow(ask: Ask, instead: Answer) -> None:
    """A node that is silent, takes nothing, or sends a byte now and then is given up, whatever is asked."""
    async with linked(PAIR, node(instead=instead)) as (_, [link]):
        with pytest.raises(NodeLate) as late:
            await asyncio.wait_for(asyncio.ensure_future(ask(link)), 60)
    assert failure_of(late.value) is Failure.LATE


@pytest.mark.usefixtures("impatient")
async def test_takes_a_byte_now_and_then() -> None:
    """A push to a node that takes a byte now and then ends."""

    async def sipping(request: web.Request) -> web.StreamResponse:
        while True:
            assert await request.content.read(1)
            await asyncio.sleep(0.02)

    async with linked(PAIR, node(instead=sipping)) as (_, [link]):
        with pytest.raises(NodeLate):
            await asyncio.wait_for(asyncio.ensure_future(push(link, BIG)), 60)


async def test_our_own_time_is_not_the_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long we take to give bytes of a push, or to take those of a read, the node is not blamed."""
    for limit in ("SILENCE_S", "GRACE_S"):
        monkeypatch.setattr(haste, limit, 1.0)

    async def slowly(body: bytes) -> AsyncGenerator[bytes, None]:
        yield body[: 2**20]
        await asyncio.sleep(1.5)
        yield body[2**20 :]

    async with linked(PAIR, node()) as (_, [link]):
        await link.push(NAME, len(LONG), digest_of(LONG), slowly(LONG))
        found = bytearray()
        async for piece in link.read(NAME, 0, len(LONG)):
            if not found:
                await asyncio.sleep(1.5)
            found += piece
    assert found == LONG


async def test_deadline_of_a_proof() -> None:
    """A proof has a deadline, which is the caller's."""
    async with linked(PAIR, node(instead=silent)) as (_, [link]):
        with pytest.raises(NodeLate):
            await link.prove(make_challenge(NAME, len(LONG)), 0.1)


@pytest.mark.parametrize("ask", ASKED)
async def test_gone(ask: Ask) -> None:
    """A node that is not there can't be reached."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        held = node()
        async with linked(PAIR, held) as (linking, _):
            link = linking.to(held.pair.public, f"http://127.0.0.1:{free.getsockname()[1]}")
            with pytest.raises(ServerUnreachable) as gone:
                await ask(link)
    assert failure_of(gone.value) is Failure.UNREACHABLE


@pytest.mark.parametrize("ask", ASKED)
async def test_no_http(ask: Ask) -> None:
    """What answers anything else than HTTP makes no sense; who hangs up is not reached."""

    async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"220 mail.example ESMTP\r\n\r\n")
        writer.close()

    held = node()
    async with linked(PAIR, held) as (linking, _), await asyncio.start_server(met, "127.0.0.1") as server:
        link = linking.to(held.pair.public, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises((BadAnswer, ServerUnreachable)):
            await ask(link)


async def test_cut_in_the_middle() -> None:
    """What comes before a cut is given; then it is told that the connection broke."""
    found = bytearray()
    async with linked(PAIR, node(spoil=cut_at(3))) as (_, [link]):
        with pytest.raises(ServerUnreachable):
            async for piece in link.read(NAME, 0, len(LONG)):
                found += piece
    assert LONG.startswith(found) and len(found) <= 3 * 65536


@pytest.mark.parametrize(
    ("status", "told", "length"),
    [(206, "bytes 1-9/100", 9), (206, "", 9), (206, "bytes 0-8/*", 10), (200, "", 100), (200, "", 8)],
)
async def test_another_part(status: int, told: str, length: int) -> None:
    """A part that was not asked for is no answer."""
    headers = {"Content-Range": told} if told else {}
    async with linked(PAIR, node(instead=saying(bytes(length), status, **headers))) as (_, [link]):
        with pytest.raises(BadAnswer) as bad:
            await whole(link.read(NAME, 0, 9))
    assert failure_of(bad.value) is Failure.WRONG


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (404, Failure.MISSING),
        (500, Failure.REFUSED),
        *((status, Failure.LATE) for status in (401, 429, 503)),
    ],
)
async def test_refusals(status: int, failure: Failure) -> None:
    """A node that does not have a buffer is told from one that refuses it, and from one that can't now."""
    async with linked(PAIR, node(instead=telling(status, message="no"))) as (_, [link]):
        for ask in ASKED:
            with pytest.raises(NodeRefused) as refused:
                await ask(link)
            assert failure_of(refused.value) is failure


async def test_full_node_gets_no_body() -> None:
    """A node that has no room says so before it is sent a long body."""
    given: list[int] = []

    async def counted(body: bytes) -> AsyncGenerator[bytes, None]:
        async for piece in pieces(body):
            given.append(len(piece))
            yield piece

    async def full(request: web.Request) -> None:
        raise web.HTTPInsufficientStorage(text='{"message": "full"}')

    app = web.Application()
    app.router.add_put("/{path:.*}", node().answer, expect_handler=full)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with linked(PAIR) as (linking, _):
        link = linking.to(PAIR.public, f"http://127.0.0.1:{runner.addresses[0][1]}")
        with pytest.raises(NodeRefused) as refused:
            await link.push(NAME, len(LONG), digest_of(LONG), counted(LONG))
    await runner.cleanup()
    assert refused.value.status == 507 and given == []


@pytest.mark.parametrize("error", [BufferCorrupt("rotten"), OSError("disk")])
async def test_push_of_what_fails(error: Exception) -> None:
    """What goes wrong with the bytes that are pushed is raised as it is: no fault of the node."""

    async def failing() -> AsyncGenerator[bytes, None]:
        yield LONG[: 2**16]
        raise error

    held = node()
    async with linked(PAIR, held) as (_, [link]):
        with pytest.raises(type(error)) as raised:
            await link.push(Checksum(name(BIG)), len(BIG), digest_of(BIG), failing())
    assert raised.value is error and name(BIG) not in held.held


@pytest.mark.parametrize("body", [LONG[:-1], LONG + b"x", b""])
async def test_push_of_another_length(body: bytes) -> None:
    """What is not of the length that was announced is not pushed."""
    held = node()
    async with linked(PAIR, held) as (_, [link]):
        with pytest.raises(UploadCut):
            await link.push(NAME, len(LONG), digest_of(LONG), pieces(body))


async def test_nothing_is_left(impatient: None) -> None:
    """Whatever went wrong, no task goes on."""
    before = asyncio.all_tasks()
    async with linked(PAIR, node(instead=deaf), node(spoil=cut_at(1))) as (_, connected):
        for link in connected:
            for ask in ASKED:
                try:
                    await ask(link)
                except ServerTrouble:
                    pass
    for _ in range(10):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
