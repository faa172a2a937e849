"""A node and its server, both real and each in a process of its own: each does what the other one expects."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hashserver_aio.checksums import Algorithm, Checksum
from hashserver_aio.errors import NodeRefused
from hashserver_aio.fetching import parse_allowed
from hashserver_aio.fleet.links import Link, Links
from hashserver_aio.nodes.audits import is_passed, make_challenge
from hashserver_aio.nodes.keys import KeyPair
from hashserver_aio.nodes.messages import Numbers

from .conftest import ServerFactory
from .peers import until
from .servers import RunningServer

LONG = os.urandom(3 * 2**20 + 77)
ALLOWED = parse_allowed(("127.0.0.1",))


@pytest.fixture
async def fleet(start_server: ServerFactory, tmp_path: Path) -> tuple[RunningServer, RunningServer]:
    """A server, and a node of it that has begun to live."""
    folders = [tmp_path / "server", tmp_path / "node"]
    for folder in folders:
        folder.mkdir()
    options = ("--writable", "--replicas", "0", "--node-allow", "127.0.0.1")
    server = await asyncio.to_thread(start_server, folders[0], *options)
    more: dict[str, Any] = {"verb": "node"}
    node = await asyncio.to_thread(
        start_server, folders[1], "--server", server.url, "--capacity", "5M", **more
    )
    return server, node


async def told_by(server: RunningServer) -> list[dict[str, Any]]:
    """Ask a server for its nodes."""
    async with aiohttp.ClientSession() as session, session.get(f"{server.url}/api/nodes") as answer:
        nodes: list[dict[str, Any]] = (await answer.json())["nodes"]
        return nodes


@asynccontextmanager
async def linked(server: RunningServer, node: RunningServer, directory: Path) -> AsyncIterator[Link]:
    """Speak to a node as its server does, with the server's own key."""

    async def is_there() -> bool:
        return bool(await told_by(server))

    await until(is_there, 20)
    (told,) = await told_by(server)
    assert (told["url"], told["capacity"], told["online"]) == (node.url, 5 * 2**20, True)
    pair = KeyPair.load_or_make(directory / ".hashserver-aio" / "server-key.pem")
    links = Links(pair, ALLOWED, Numbers(time.time))
    try:
        yield links.to(bytes.fromhex(told["id"]), node.url)
    finally:
        await links.close()


async def pieces(body: bytes) -> AsyncIterator[bytes]:
    """Give a body in pieces."""
    for at in range(0, len(body), 100_000):
        yield body[at : at + 100_000]


async def push(link: Link, body: bytes) -> tuple[Checksum, bytes]:
    """Place a buffer: its name, and its root."""
    name = Checksum(hashlib.sha3_256(body).hexdigest())
    return name, await link.push(name, len(body), hashlib.sha256(body).digest(), pieces(body))


async def test_all_that_a_server_asks(fleet: tuple[RunningServer, RunningServer], tmp_path: Path) -> None:
    """A server places, reads, audits and removes at a real node, and finds each answer right."""
    async with linked(*fleet, tmp_path / "server") as link:
        await link.identify()
        for body in (LONG, b"small", b""):
            name, root = await push(link, body)
            assert await push(link, body) == (name, root)
            challenge = make_challenge(name, len(body))
            answer = await link.prove(challenge, 20)
            assert is_passed(challenge, Algorithm.SHA3_256, root, answer)
            assert len(await link.leaves(name, len(body))) == -(-len(body) // 65536) * 32
            read = [piece async for piece in link.read(name, 3, max(0, len(body) - 5))]
            assert b"".join(read) == body[3 : len(body) - 2] if body else not read
            await link.remove(name)
            with pytest.raises(NodeRefused) as refused:
                await link.leaves(name, len(body))
            assert refused.value.status == 404
        with pytest.raises(NodeRefused) as refused:
            await push(link, LONG * 2)
        assert refused.value.status == 507


async def test_removed(fleet: tuple[RunningServer, RunningServer], tmp_path: Path) -> None:
    """A node that its server has removed goes on, and says what it is told."""
    server, node = fleet
    async with linked(server, node, tmp_path / "server"):
        (told,) = await told_by(server)
    async with aiohttp.ClientSession() as session:
        async with session.delete(f"{server.url}/api/nodes/{told['id']}") as answer:
            assert answer.status == 200
    assert await asyncio.to_thread(node.stop) == 0
    again = RunningServer(tmp_path / "node", "--server", server.url, verb="node")
    try:
        await until(lambda: any("does not register this node: 403" in line for line in again.lines), 20)
    finally:
        assert await asyncio.to_thread(again.stop) == 0
