"""Small nodes, which prove who they are and hold nothing, and what they say to a server."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from hashserver_aio.nodes.keys import KeyPair, identity_text
from hashserver_aio.nodes.messages import Numbers, headers_for
from hashserver_aio.settings import NodeRules

from .conftest import Client, ClientFactory

LOCAL = NodeRules(allow=("127.0.0.0/8",))
"""Rules of a server whose nodes may be on this machine."""

GIB = 2**30

Answer = tuple[int, dict[str, Any]]


class SmallNode:
    """A node of one server; `url`: where it answers; `held`: until when it keeps who asks waiting."""

    def __init__(self, server_url: str, server_key: bytes, pair: KeyPair | None = None) -> None:
        self.pair = pair or KeyPair.make()
        self.id = self.pair.id
        self.url = ""
        self.asked = 0
        self.free = asyncio.Event()
        self.free.set()
        self.numbers = Numbers()
        self.server_url, self.server_key = server_url, server_key

    async def identity(self, request: web.Request) -> web.Response:
        """Prove who it is."""
        self.asked += 1
        await self.free.wait()
        proof = self.pair.sign(identity_text(self.server_key, bytes.fromhex(request.query["nonce"])))
        return web.json_response({"key": self.id, "proof": proof.hex()})

    def said(self, **changes: Any) -> dict[str, Any]:
        """Give what it says when it registers."""
        return {"url": self.url, "capacity": GIB, "payout_address": ""} | changes

    def signed(self, path: str, body: bytes, /, **changes: Any) -> dict[str, str]:
        """Sign a message; with what is changed of what is signed."""
        given: dict[str, Any] = {
            "pair": self.pair,
            "to": self.server_key,
            "method": "POST",
            "path": path,
            "query": "",
            "number": self.numbers.next(),
            "now_s": time.time(),
            "digest": hashlib.sha256(body).digest(),
        }
        return headers_for(**given | changes)

    async def say(
        self, call: str, said: Any, headers: dict[str, str] | None = None, **changes: Any
    ) -> Answer:
        """Say something to the server: status and JSON."""
        body, path = said if isinstance(said, bytes) else json.dumps(said).encode(), f"/api/nodes/{call}"
        headers = self.signed(path, body, **changes) if headers is None else headers
        async with (
            ClientSession() as session,
            session.post(f"{self.server_url}{path}", data=body, headers=headers) as answer,
        ):
            return answer.status, await answer.json()

    async def register(self, **changes: Any) -> Answer:
        """Register, as it is, or with something else said."""
        return await self.say("register", self.said(**changes))

    async def ping(self, capacity: int = GIB) -> Answer:
        """Say that it lives."""
        return await self.say("ping", {"capacity": capacity})


@asynccontextmanager
async def small_node(server_url: str, pair: KeyPair | None = None) -> AsyncIterator[SmallNode]:
    """Run a small node of the server at a URL; it has not registered."""
    async with ClientSession() as session, session.get(f"{server_url}/api/nodes/server") as answer:
        server_key = bytes.fromhex((await answer.json())["key"])
    node = SmallNode(server_url, server_key, pair)
    app = web.Application()
    app.router.add_get("/api/node/identity", node.identity)
    async with TestServer(app) as server:
        node.url = str(server.make_url("")).rstrip("/")
        yield node
        node.free.set()


async def asked(url: str, method: str = "GET", path: str = "/api/nodes", **more: Any) -> Answer:
    """Ask a server, as its operator: status and JSON."""
    async with ClientSession() as session, session.request(method, f"{url}{path}", **more) as answer:
        assert answer.headers["Cache-Control"] == "no-store"
        return answer.status, await answer.json()


def url_of(client: Client) -> str:
    """Name the URL of a server."""
    return str(client.make_url("")).rstrip("/")


async def listed(url: str) -> list[dict[str, Any]]:
    """List the nodes of a server."""
    status, told = await asked(url)
    assert status == 200
    return list(told["nodes"])


@pytest.fixture
async def url(start_client: ClientFactory) -> str:
    """The URL of a server whose nodes may be on this machine, where its operator is, too."""
    return url_of(await start_client(nodes=LOCAL, is_local=True))


@pytest.fixture
async def node(url: str) -> AsyncIterator[SmallNode]:
    """A node of it that has not registered."""
    async with small_node(url) as node:
        yield node
