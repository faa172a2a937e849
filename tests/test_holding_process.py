"""A node as its operator starts it: a process of its own, beside a server."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from hashserver_aio.nodes.keys import KeyPair, identity_text, is_signed

from .conftest import ServerFactory
from .nodes import Asker, Overseer, overseeing
from .routes import BODY, NAME, NODE_BUFFER
from .servers import COMMAND, RunningServer, environment, refused


@pytest.fixture
async def overseer() -> AsyncIterator[Overseer]:
    """A server of nodes."""
    async with overseeing(Overseer()) as overseer:
        yield overseer


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """Connections to nodes."""
    async with aiohttp.ClientSession() as session:
        yield session


async def started(start: ServerFactory, overseer: Overseer, directory: Path, *options: str) -> RunningServer:
    """Start a node."""
    given = ("--server", overseer.url, *options)
    return await asyncio.to_thread(start, directory, *given, verb="node")


async def why_refused(overseer: Overseer, directory: Path, *options: str) -> str:
    """Start a node that refuses to: what it says."""
    given = ("--dir", str(directory), "--server", overseer.url, *options)
    return await asyncio.to_thread(refused, *given, verb="node")


async def test_life(
    overseer: Overseer, start_server: ServerFactory, directory: Path, session: aiohttp.ClientSession
) -> None:
    """A node registers where it listens, holds what it is given, ends when told to, and is the same again."""
    keys: list[bytes] = []
    for number in range(2):
        server = await started(start_server, overseer, directory, "--capacity", "1M")
        told = await overseer.hears("register")
        assert (told["url"], told["capacity"], told["payout_address"]) == (server.url, 2**20, "")
        await overseer.hears("ping")
        keys.append(told["by"])
        asker = Asker(overseer, told["by"], server.url, session)
        nonce = os.urandom(16)
        _, body = await asker.ask("GET", f"/api/node/identity?nonce={nonce.hex()}")
        proof = bytes.fromhex(json.loads(body)["proof"])
        assert is_signed(keys[0], proof, identity_text(overseer.pair.public, nonce))
        assert (await asker.ask("PUT", NODE_BUFFER, BODY))[0].status == (200, 201)[number]
        assert (await asker.ask("GET", NODE_BUFFER))[1] == BODY
        assert "a node of " + overseer.url in "".join(server.lines)
        assert await asyncio.to_thread(server.stop) == 0
    assert keys[0] == keys[1]
    key = directory / ".hashserver-aio" / "node-key.pem"
    assert key.stat().st_mode & 0o777 == 0o600
    ordinary = await asyncio.to_thread(start_server, directory)
    async with session.get(f"{ordinary.url}/{NAME}") as answer:
        assert await answer.read() == BODY
    async with session.get(f"{ordinary.url}/.hashserver-aio/node-key.pem") as answer:
        assert answer.status == 404


async def test_refused(overseer: Overseer, start_server: ServerFactory, directory: Path) -> None:
    """What can be no node is said in a sentence that tells what to do."""
    assert "--public-url" in await why_refused(overseer, directory, "--host", "0.0.0.0")
    assert "is not a directory" in await why_refused(overseer, directory / "none")
    server = await started(start_server, overseer, directory, "--public-url", "http://node.example:1")
    assert (await overseer.hears("register"))["url"] == "http://node.example:1"
    assert "another node runs" in await why_refused(overseer, directory)
    assert await asyncio.to_thread(server.stop) == 0
    overseer.pair = KeyPair.make()
    told = await why_refused(overseer, directory)
    assert "has another key" in told and "node-server" in told
    overseer.algorithm = "sha-256"
    (directory / ".hashserver-aio" / "node-server").unlink()
    (directory / ".hashserver-aio" / "format").write_text(
        '{"version": 1, "algorithm": "sha3-256", "layout": "prefix"}'
    )
    assert "give this node another directory" in await why_refused(overseer, directory)


@pytest.mark.parametrize(
    "options",
    [(), ("--server", "http://h/path"), ("--server", "h"), ("--server", "http://h", "--workers", "2"),
     ("--server", "http://h", "--public-url", "http://h/path"),
     ("--server", "http://h", "--payout-address", "x"), ("--server", "http://h", "--capacity", "0")],
)  # fmt: skip
def test_usage(directory: Path, options: tuple[str, ...]) -> None:
    """Options that make no sense are refused before anything is asked or made; a node is one process."""
    command = [*COMMAND, "node", "--dir", str(directory), "--port", "0", *options]
    ended = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=20)
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    assert not list(directory.iterdir())
