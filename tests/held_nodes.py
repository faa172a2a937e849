"""Nodes for tests: real servers on loopback that hold buffers, honestly, or as a test has them lie."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from hashserver_aio.blocks import LEAF_BYTES, Proof
from hashserver_aio.catalogue.placements import Placed
from hashserver_aio.checksums import Checksum
from hashserver_aio.fetching import Allowed, parse_allowed
from hashserver_aio.fleet import Link, Links
from hashserver_aio.nodes.audits import packed
from hashserver_aio.nodes.keys import KeyPair, identity_text
from hashserver_aio.nodes.messages import Message, Numbers, Replays, Signed, check

from .clients import name
from .fetches import LOOPBACK, target
from .trees import leaves_of, mth, path, sha3

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]

Spoil = Callable[[int, bytes], bytes | None]
"""Is given the number of a leaf and its bytes, and gives what is sent; None: the connection is cut."""

LISTED = parse_allowed(LOOPBACK, "--node-allow")


def honest(number: int, leaf: bytes) -> bytes:
    """Spoil nothing."""
    return leaf


def flipped_at(*numbers: int) -> Spoil:
    """Have a bit wrong in some leaves."""
    return lambda number, leaf: bytes([leaf[0] ^ 1]) + leaf[1:] if number in numbers else leaf


def cut_at(at: int) -> Spoil:
    """Hang up before a leaf."""
    return lambda number, leaf: None if number == at else leaf


@dataclass
class NodeDouble:
    """A node of the server with a key.

    `told`: of what the leaves are told, if not of what is held. `hold_at`: the leaf before which it waits for
    `go_on`. `instead`: answers whatever it is asked.
    """

    server: bytes
    held: dict[str, bytes] = field(default_factory=dict)
    spoil: Spoil = honest
    told: dict[str, bytes] = field(default_factory=dict)
    instead: Answer | None = None
    hold_at: int | None = None
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    held_up: asyncio.Event = field(default_factory=asyncio.Event)
    pair: KeyPair = field(default_factory=KeyPair.make)
    asked: list[str] = field(default_factory=list)
    signed: list[Signed] = field(default_factory=list)
    replays: Replays = field(default_factory=lambda: Replays(time.time() - 1))
    url: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer what is signed; a request with a wrong signature fails, and the test with it."""
        target, _, query = request.raw_path.partition("?")
        self.asked.append(f"{request.method} {target}")
        message = Message(request.method, target, query, request.headers)
        self.signed.append(check(message, self.pair.public, time.time(), has_body=request.method == "PUT"))
        self.replays.take(self.signed[-1], time.time())
        assert self.signed[-1].key == self.server
        if self.instead is not None:
            return await self.instead(request)
        if target == "/api/node/identity":
            return self._identity(bytes.fromhex(request.query["nonce"]))
        checksum, _, what = target.removeprefix("/api/node/buffers/").partition("/")
        if request.method == "PUT":
            return await self._store(checksum, request)
        if request.method == "DELETE":
            self.held.pop(checksum, None)
            return web.Response()
        if checksum not in self.held:
            return web.json_response({"error": "BufferNotFound", "message": "no such buffer"}, status=404)
        if what == "leaves":
            return web.Response(body=hashes_of(self.told.get(checksum, self.held[checksum])))
        return self._proofs(checksum, request) if what else await self._send(self.held[checksum], request)

    def _identity(self, nonce: bytes) -> web.Response:
        proof = self.pair.sign(identity_text(self.server, nonce))
        return web.json_response({"key": self.pair.id, "proof": proof.hex()})

    async def _store(self, checksum: str, request: web.Request) -> web.Response:
        body = await request.read()
        if name(body) != checksum:
            return web.json_response({"message": "wrong bytes"}, status=400)
        self.held[checksum] = body
        return web.json_response({"root": mth(leaves_of(body)).hex(), "size": len(body)})

    def _proofs(self, checksum: str, request: web.Request) -> web.Response:
        body = self.held[checksum]
        proofs = [
            Proof(i, body[i * LEAF_BYTES : (i + 1) * LEAF_BYTES], path(i, leaves_of(body)))
            for i in map(int, request.query["leaves"].split(","))
        ]
        return web.Response(body=packed(proofs), content_type="application/msgpack")

    async def _send(self, body: bytes, request: web.Request) -> web.StreamResponse:
        wanted = request.http_range
        first, end = wanted.start or 0, min(len(body), wanted.stop or len(body))
        answer = web.StreamResponse(status=206)
        answer.content_length = end - first
        answer.headers["Content-Range"] = f"bytes {first}-{end - 1}/{len(body)}"
        await answer.prepare(request)
        while first < end:
            number = first // LEAF_BYTES
            stop = min(end, (number + 1) * LEAF_BYTES)
            if number == self.hold_at:
                self.held_up.set()
                await self.go_on.wait()
            leaf = self.spoil(number, body[first:stop])
            if leaf is None:
                assert request.transport is not None
                request.transport.abort()
                return answer
            await answer.write(leaf)
            first = stop
        return answer


def hashes_of(body: bytes) -> bytes:
    """Tell what the leaves of a buffer hash to, packed."""
    return b"".join(sha3(b"\0" + leaf) for leaf in leaves_of(body))


def placed_of(body: bytes, replicas: int = 1) -> Placed:
    """Word what a server keeps of a buffer that it has placed."""
    return Placed(Checksum(name(body)), len(body), mth(leaves_of(body)), replicas, None)


def saying(body: bytes, status: int = 200, **headers: str) -> Answer:
    """Answer always the same."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, status=status, headers=headers)

    return answer


def telling(status: int = 200, **told: object) -> Answer:
    """Answer always the same JSON."""
    return saying(json.dumps(told).encode(), status)


@asynccontextmanager
async def running(*nodes: NodeDouble) -> AsyncIterator[None]:
    """Run nodes."""
    if not nodes:
        yield
        return
    node, *others = nodes
    async with target({"/{path:.*}": node.answer}) as node.url, running(*others):
        yield


@asynccontextmanager
async def linked(
    pair: KeyPair, *nodes: NodeDouble, allowed: Allowed = LISTED
) -> AsyncIterator[tuple[Links, list[Link]]]:
    """Run nodes, and link to them."""
    links = Links(pair, allowed, Numbers())
    try:
        async with running(*nodes):
            try:
                yield links, [links.to(node.pair.public, node.url) for node in nodes]
            finally:
                await links.close()
    finally:
        for node in nodes:
            node.go_on.set()


def digest_of(body: bytes) -> bytes:
    """Hash a body as its sender states it."""
    return hashlib.sha256(body).digest()


async def whole(pieces: AsyncIterator[bytes]) -> bytes:
    """Put pieces together."""
    return b"".join([piece async for piece in pieces])
