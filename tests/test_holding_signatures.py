"""Nobody but its server gets anything from a node, and that with each message once."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hashserver_aio.nodes.keys import KeyPair
from hashserver_aio.server.holding import guard

from .conftest import Client, ClientFactory
from .nodes import Asker, Overseer, asker_of, overseeing
from .routes import BODY, NODE_BUFFER, NODE_ROUTES
from .wire import Wire

OTHER = KeyPair.make()


@pytest.fixture
async def overseer() -> AsyncIterator[Overseer]:
    """A server of nodes."""
    async with overseeing(Overseer()) as overseer:
        yield overseer


@pytest.fixture
async def node(overseer: Overseer, start_client: ClientFactory, directory: Path) -> tuple[Asker, Client]:
    """A node that holds a buffer, and a client as anybody has one."""
    asker, client = await asker_of(overseer, start_client, directory)
    assert (await asker.ask("PUT", NODE_BUFFER, BODY))[0].status == 200
    return asker, client


@pytest.fixture
def asker(node: tuple[Asker, Client]) -> Asker:
    """The server of that node."""
    return node[0]


def body_for(method: str) -> bytes | None:
    """Tell what is sent with a method."""
    return BODY if method == "PUT" else None


async def refused(asker: Asker, method: str, path: str, headers: dict[str, str]) -> str:
    """Send what is refused for its signature: why."""
    answer, told = await asker.send(method, path, body_for(method), headers)
    said = json.loads(told)
    assert (answer.status, said["error"]) == (401, "BadSignature"), said
    assert answer.headers["Cache-Control"] == "no-store"
    return str(said["message"])


routes = pytest.mark.parametrize(("method", "path"), NODE_ROUTES)


@routes
async def test_unsigned(asker: Asker, method: str, path: str) -> None:
    """What is not signed is refused, whatever is asked for; a part of a signature is none."""
    assert "not signed" in await refused(asker, method, path, {})
    whole = asker.overseer.headers(asker.node, method, path, body_for(method))
    for name in whole:
        less = {other: value for other, value in whole.items() if other != name}
        await refused(asker, method, path, less)
    assert (await asker.ask(method, path, body_for(method)))[0].status in (200, 201)


@routes
async def test_other_key(asker: Asker, method: str, path: str) -> None:
    """A good signature of somebody else is of no use: there is one server that a node listens to."""
    headers = asker.overseer.headers(asker.node, method, path, body_for(method), pair=OTHER)
    assert "another server" in await refused(asker, method, path, headers)
    headers["Signature-Input"] += f', more=();keyid="{asker.overseer.pair.id}"'
    await refused(asker, method, path, headers)


@routes
async def test_replayed(asker: Asker, method: str, path: str) -> None:
    """A message is heeded once, whoever sends it again."""
    headers = asker.overseer.headers(asker.node, method, path, body_for(method))
    answer, _ = await asker.send(method, path, body_for(method), headers)
    assert answer.status in (200, 201)
    assert "before" in await refused(asker, method, path, headers)


@routes
async def test_for_another_node(asker: Asker, method: str, path: str) -> None:
    """What the server says to one node can't be told to another."""
    headers = asker.overseer.headers(OTHER.public, method, path, body_for(method))
    assert asker.node.hex() in await refused(asker, method, path, headers)


@routes
async def test_signed_before_the_start(asker: Asker, method: str, path: str) -> None:
    """What changes something, and may have been heeded by the process before this one, is not heeded again;
    who only reads is answered, as the server's clock may be behind.
    """
    headers = asker.overseer.headers(asker.node, method, path, body_for(method), now_s=time.time() - 50)
    if method == "GET":
        assert (await asker.send(method, path, None, headers))[0].status == 200
    assert "before" in await refused(asker, method, path, headers)


@routes
@pytest.mark.parametrize("off_s", [-90, 90])
async def test_wrong_clock(asker: Asker, method: str, path: str, off_s: int) -> None:
    """What was not signed now is refused, and whose clock is off learns by how much."""
    headers = asker.overseer.headers(asker.node, method, path, body_for(method), now_s=time.time() + off_s)
    assert "clock" in await refused(asker, method, path, headers)


@routes
async def test_changed(asker: Asker, method: str, path: str) -> None:
    """A signature is of one method, one path and one query, and can't be used for others."""
    headers = asker.overseer.headers(asker.node, method, path, body_for(method))
    for changed in (f"{path.partition('?')[0]}?more=1", f"{path}{'&' if '?' in path else '?'}more=1"):
        await refused(asker, method, changed, headers)
    for elsewhere in {known for other, known in NODE_ROUTES if other == method} - {path}:
        await refused(asker, method, elsewhere, headers)
    if path == NODE_BUFFER:
        for other in {"GET", "PUT", "DELETE"} - {method}:
            await refused(asker, other, path, headers)


async def test_changed_body(asker: Asker) -> None:
    """A body that is not the one that was signed is not taken, whatever digest goes with it."""
    await asker.ask("DELETE", NODE_BUFFER)
    headers = asker.overseer.headers(asker.node, "PUT", NODE_BUFFER, b"other")
    answer, told = await asker.send("PUT", NODE_BUFFER, BODY, headers)
    assert (answer.status, json.loads(told)["error"]) == (400, "DigestMismatch")
    wanted = asker.overseer.headers(asker.node, "PUT", NODE_BUFFER, BODY)["Content-Digest"]
    headers = asker.overseer.headers(asker.node, "PUT", NODE_BUFFER, b"other") | {"Content-Digest": wanted}
    await refused(asker, "PUT", NODE_BUFFER, headers)
    assert (await asker.ask("GET", NODE_BUFFER))[0].status == 404


async def test_body_unasked_for(asker: Asker) -> None:
    """A body whose digest is not signed makes any message a wrong one."""
    assert "Content-Digest" in await refused(
        asker, "PUT", NODE_BUFFER, asker.overseer.headers(asker.node, "PUT", NODE_BUFFER)
    )
    headers = asker.overseer.headers(asker.node, "DELETE", NODE_BUFFER)
    answer, told = await asker.send("DELETE", NODE_BUFFER, b"body", headers)
    assert (answer.status, json.loads(told)["error"]) == (401, "BadSignature")
    assert (await asker.ask("GET", NODE_BUFFER))[1] == BODY


async def test_before_the_body(node: tuple[Asker, Client]) -> None:
    """Nobody is told to send a body but the server; whoever is not is hung up on."""
    asker, client = node
    asking = (
        f"PUT {NODE_BUFFER} HTTP/1.1\r\nHost: t\r\nContent-Length: {len(BODY)}\r\nExpect: 100-continue\r\n"
    )
    wire = await Wire.to(client)
    await wire.send(asking.encode() + b"\r\n")
    told = await wire.rest()
    assert told.startswith(b"HTTP/1.1 401 ") and b"BadSignature" in told and b"left open" not in told
    await asker.ask("DELETE", NODE_BUFFER)
    lines = asker.overseer.headers(asker.node, "PUT", NODE_BUFFER, BODY).items()
    wire = await Wire.to(client)
    await wire.send((asking + "".join(f"{name}: {value}\r\n" for name, value in lines) + "\r\n").encode())
    assert await wire.answer() == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert (await wire.ask(BODY)).startswith(b"HTTP/1.1 200 ")
    wire.transport.close()


async def test_many_wrong_ones(
    overseer: Overseer, start_client: ClientFactory, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sends many wrong signatures is refused for a while, without their being looked at.

    What costs nothing to refuse is not counted: it may come through the same proxy as the server's.
    """
    monkeypatch.setattr(guard, "WRONG_BURST", 3.0)
    monkeypatch.setattr(guard, "WRONG_PER_S", 1e-3)
    asker, _ = await asker_of(overseer, start_client, directory)
    for _ in range(5):  # right ones cost nothing
        assert (await asker.ask("DELETE", NODE_BUFFER))[0].status == 200
    for _ in range(5):
        await refused(asker, "GET", NODE_BUFFER, {})
        await refused(asker, "GET", NODE_BUFFER, overseer.headers(asker.node, "GET", NODE_BUFFER, pair=OTHER))
    for _ in range(3):
        await refused(asker, "GET", NODE_BUFFER, overseer.headers(OTHER.public, "GET", NODE_BUFFER))
    monkeypatch.setattr(guard, "check", None)  # which would fail if it were called
    answer, told = await asker.ask("GET", NODE_BUFFER)
    assert (answer.status, json.loads(told)["error"]) == (429, "TooManyRequests")
    assert int(answer.headers["Retry-After"]) > 0
