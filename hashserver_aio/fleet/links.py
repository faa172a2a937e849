"""What a server asks of a node, over HTTP, signed; and what it takes for an answer.

A node may be anybody's: its address is judged for each connection, it leads nowhere else, and what it answers
is bounded in bytes and in time.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import aiohttp
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, ClientSession, ClientTimeout, hdrs
from aiohttp.abc import AbstractResolver
from yarl import URL

from ..blocks import DIGEST_BYTES, LEAF_BYTES
from ..checksums import Checksum
from ..client.bodies import Body, BodyPayload
from ..client.transport import EXPECT_BYTES
from ..errors import (
    BadAnswer,
    BadArgument,
    ServerUnreachable,
)
from ..fetching import Allowed, GuardedConnector, Lookups
from ..nodes.audits import Challenge, max_answer_bytes
from ..nodes.keys import NONCE_BYTES, KeyPair, identity_text, is_signed
from ..nodes.messages import Numbers, headers_for
from ..version import __version__
from .answers import MAX_WORDS_BYTES, is_range, refusal, take_bytes, told_of, whole, words
from .haste import BEGIN_S, CONNECT_S, PushWatch, Reader

BASE = "/api/node"

MAX_CONNECTIONS = 256
"""Who comes when all are in use waits for one; each is bounded in time."""

MAX_HEADERS = 64

READ_BYTES = 256 * 1024

GOOD = frozenset({HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.PARTIAL_CONTENT})


class Links:
    """A server's connections to its nodes; `allowed`: where these may be besides the public Internet."""

    def __init__(
        self, pair: KeyPair, allowed: Allowed, numbers: Numbers, resolver: AbstractResolver | None = None
    ) -> None:
        self._pair = pair
        self._allowed = allowed
        self._numbers = numbers
        self._resolver = resolver or Lookups()
        self._session: ClientSession | None = None

    def to(self, key: bytes, url: str) -> Link:
        """Reach the node of a key at a URL; nothing is sent yet. Raises: BadArgument, of the URL."""
        signing = _Signing(self._pair, key, self._numbers)
        return Link(self._opened(), signing, self._pair.public, _parsed(url))

    async def close(self) -> None:
        """Let go of all connections."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    def _opened(self) -> ClientSession:
        if self._session is None:
            self._session = ClientSession(
                connector=GuardedConnector(self._allowed, self._resolver, limit=MAX_CONNECTIONS),
                # All other time is counted in `haste.py`, where it is known whose turn it is.
                timeout=ClientTimeout(sock_connect=CONNECT_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={hdrs.USER_AGENT: f"hashserver-aio/{__version__}", hdrs.ACCEPT_ENCODING: "identity"},
                auto_decompress=False,
                max_headers=MAX_HEADERS,
                read_bufsize=READ_BYTES,
            )
        return self._session


class _Signing:
    """A client middleware that signs each request as it is sent, as no number is heeded twice."""

    def __init__(self, pair: KeyPair, to: bytes, numbers: Numbers, digest: bytes | None = None) -> None:
        self.to = to
        self._pair = pair
        self._numbers = numbers
        self._digest = digest

    def of(self, digest: bytes) -> _Signing:
        """Sign requests with a body."""
        return _Signing(self._pair, self.to, self._numbers, digest)

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Sign a request, and send it; one with a body only once, as that can't be given again."""
        url = request.url
        signed = self._pair, self.to, request.method, url.raw_path, url.raw_query_string
        request.headers.update(headers_for(*signed, self._numbers.next(), time.time(), self._digest))
        try:
            return await handler(request)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            if self._digest is None:
                raise  # over a connection that turned out to be dead, aiohttp sends it once more
            raise aiohttp.ClientConnectionError(str(error)) from error


class _Pushed(BodyPayload):
    """A body that is pushed once, in time."""

    def __init__(self, size: int, body: AsyncIterator[bytes]) -> None:
        self._watch = PushWatch(size)
        super().__init__(Body(lambda: self._watch.passing(body), size), lambda sent: None)
        self.in_time = self._watch.limited


class Link:
    """The way to one node.

    What goes wrong there is raised as ServerUnreachable, NodeLate, NodeRefused, BadAnswer.
    """

    def __init__(self, session: ClientSession, signing: _Signing, server_key: bytes, url: str) -> None:
        self._session = session
        self._signing = signing
        self._server_key = server_key
        self._url = url

    async def identify(self) -> None:
        """Make sure that who answers there has the node's key."""
        key, nonce = self._signing.to, secrets.token_bytes(NONCE_BYTES)
        with told_of(self._url):
            async with self._ask("GET", f"/identity?nonce={nonce.hex()}") as response:
                told = await words(response)
        if take_bytes(told, "key") != key:
            raise BadAnswer(f"who answers at {self._url} is not the node {key.hex()}")
        if not is_signed(key, take_bytes(told, "proof"), identity_text(self._server_key, nonce)):
            raise BadAnswer(f"who answers at {self._url} does not prove to be the node {key.hex()}")

    async def push(self, checksum: Checksum, size: int, sha256: bytes, body: AsyncIterator[bytes]) -> bytes:
        """Store a buffer on the node: the root over its leaves, as the node says.

        Raises, too: what `body` raises; UploadCut, if it is not of that size.
        """
        payload = _Pushed(size, body)
        more: dict[str, Any] = {"data": payload, "headers": {hdrs.CONTENT_LENGTH: str(size)}}
        more |= {"middlewares": [self._signing.of(sha256)], "expect100": size > EXPECT_BYTES}
        try:
            with told_of(self._url):
                async with payload.in_time(), self._ask("PUT", f"/buffers/{checksum}", **more) as response:
                    told = await words(response)
        except ServerUnreachable:
            if payload.failure is not None:  # it is none of the node's
                raise payload.failure from None
            raise
        if told.get("size") != size:
            raise BadAnswer(f"{self._url} says that it stored something else than {size} bytes")
        return take_bytes(told, "root")

    async def leaves(self, checksum: Checksum, size: int) -> bytes:
        """Ask what the leaves of a buffer of some size hash to: packed, not checked yet."""
        length = -(-size // LEAF_BYTES) * DIGEST_BYTES
        with told_of(self._url):
            async with self._ask("GET", f"/buffers/{checksum}/leaves") as response:
                leaves = await whole(response, length)
        if len(leaves) != length:
            raise BadAnswer(f"{self._url} has another number of leaves than the buffer")
        return leaves

    async def read(self, checksum: Checksum, first: int, length: int) -> AsyncGenerator[bytes, None]:
        """Yield so many bytes of a buffer from `first` on, not checked yet."""
        if not length:
            return
        headers, left = {hdrs.RANGE: f"bytes={first}-{first + length - 1}"}, length
        with told_of(self._url):
            async with self._ask("GET", f"/buffers/{checksum}", headers=headers) as response:
                if not is_range(response, first, length):
                    raise BadAnswer(f"{self._url} sends another part of the buffer than it was asked for")
                reader = Reader(response.content)
                while left and (piece := await reader.read()):
                    left -= len(piece)
                    if left < 0:
                        raise BadAnswer(f"{self._url} sends more than it was asked for")
                    yield piece
        if left:
            raise ServerUnreachable(f"{self._url} has hung up in the middle of a buffer")

    async def prove(self, challenge: Challenge, deadline_s: float) -> bytes:
        """Have the node prove that it can deliver some leaves, within a time: its answer, not checked yet."""
        leaves = ",".join(map(str, challenge.leaves))
        with told_of(self._url):
            async with (
                asyncio.timeout(deadline_s),
                self._ask("GET", f"/buffers/{challenge.checksum}/proofs?leaves={leaves}") as response,
            ):
                return await whole(response, max_answer_bytes(challenge))

    async def remove(self, checksum: Checksum) -> None:
        """Have the node remove a buffer, if it has it."""
        with told_of(self._url):
            async with self._ask("DELETE", f"/buffers/{checksum}") as response:
                await whole(response, MAX_WORDS_BYTES)

    @asynccontextmanager
    async def _ask(self, method: str, target: str, **more: Any) -> AsyncIterator[ClientResponse]:
        """Send a request; give its answer, if that is a good one, to be read.

        Raises: AddressRefused, NodeRefused, TimeoutError, ClientError.
        """
        url = URL(self._url + BASE + target, encoded=True)
        more = {"middlewares": [self._signing], "allow_redirects": False, **more}
        # A push has a deadline of its own, which moves on.
        async with asyncio.timeout(None if "data" in more else BEGIN_S):
            response = await self._session.request(method, url, **more)
        async with response:
            if response.status not in GOOD:
                raise await refusal(self._url, response)
            yield response


def _parsed(url: str) -> str:
    """Check what a node says where it is. Raises: BadArgument."""
    try:
        parsed = URL(url)
    except ValueError:
        parsed = URL()
    if parsed.scheme not in ("http", "https") or not parsed.raw_host:
        raise BadArgument("the URL of a node begins with http:// or https:// and names a host")
    if parsed.user is not None or parsed.raw_query_string or parsed.raw_fragment:
        raise BadArgument("the URL of a node has no user, no query and no fragment")
    return str(parsed).rstrip("/")
