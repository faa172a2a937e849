"""What a node says to its server, and asks of it.

Whatever a server does, that takes so long at most, and so much memory.
"""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any, NamedTuple

import aiohttp
from aiohttp import ClientSession, ClientTimeout, hdrs
from yarl import URL

from ..client.transport import worded
from ..errors import BadAnswer, BadArgument, ServerUnreachable
from ..nodes.keys import KeyPair
from ..nodes.messages import Numbers, headers_for
from ..version import __version__
from .pinned import Server, read_server

BASE = "/api/nodes"

TIMEOUT = ClientTimeout(total=60, sock_connect=10)
"""Before it takes a node in, a server asks it something."""

MAX_ANSWER_BYTES = 64 * 1024

SHOWN = 300
"""So much of what a server says is logged."""


class Answer(NamedTuple):
    """What a server answered: its status, and its JSON object, {} if it sent none."""

    status: int
    said: dict[str, Any]

    @property
    def message(self) -> str:
        """Its status and its sentence, fit for a log."""
        sentence = str(self.said.get("message", ""))[:SHOWN]
        shown = "".join(letter if letter.isprintable() else "?" for letter in sentence)
        return f"{self.status} {shown}".strip()


async def about(url: str) -> Server:
    """Ask who a server is. Raises: ServerUnreachable, BadAnswer."""
    answer = await _ask(url, hdrs.METH_GET, f"{BASE}/server", b"", {})
    if answer.status != 200:
        raise BadAnswer(
            f"{url} answers {answer.message}: is it a server with nodes, started with --replicas?"
        )
    try:
        return read_server(answer.said)
    except BadArgument as error:
        raise BadAnswer(f"{url} does not say who it is: {error}") from None


class Calls:
    """Speaks to a server at a URL as the node that has a key."""

    def __init__(self, url: str, pair: KeyPair, server: Server) -> None:
        self.url = url
        self.pair = pair
        self.server = server
        self._numbers = Numbers(time.time)

    async def register(self, public_url: str, capacity: int, payout_address: str) -> Answer:
        """Say where this node is. Raises: ServerUnreachable, BadAnswer."""
        said = {"url": public_url, "capacity": capacity, "payout_address": payout_address}
        return await self._say("register", said)

    async def ping(self, capacity: int) -> Answer:
        """Say that this node lives. Raises: ServerUnreachable, BadAnswer."""
        return await self._say("ping", {"capacity": capacity})

    async def _say(self, what: str, said: dict[str, object]) -> Answer:
        path, body = f"{BASE}/{what}", json.dumps(said).encode()
        digest = hashlib.sha256(body).digest()
        to, number = self.server.key, self._numbers.next()
        headers = headers_for(self.pair, to, hdrs.METH_POST, path, "", number, time.time(), digest)
        headers[hdrs.CONTENT_TYPE] = "application/json"
        return await _ask(self.url, hdrs.METH_POST, path, body, headers)


async def _ask(url: str, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
    """Ask once, on a connection of its own: it is once a minute."""
    headers |= {hdrs.USER_AGENT: f"hashserver-aio/{__version__}", hdrs.ACCEPT_ENCODING: "identity"}
    content = bytearray()
    try:
        async with (
            ClientSession(
                timeout=TIMEOUT, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
            ) as session,
            session.request(
                method, URL(url + path), data=body or None, headers=headers, allow_redirects=False
            ) as response,
        ):
            async for piece in response.content.iter_any():
                content += piece
                if len(content) > MAX_ANSWER_BYTES:
                    raise BadAnswer(f"{url} answers with more than belongs there")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise ServerUnreachable(f"{url} can't be reached: {worded(error)}") from None
    return Answer(response.status, _object_in(content))


def _object_in(content: bytearray) -> dict[str, Any]:
    try:
        said = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
