"""Requests to one server: sent, answered or refused, and sent again where that may help.

Credentials are in the session's requests only: nothing here shows them, no error has them in it.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import ClientResponse, ClientTimeout, hdrs
from yarl import URL

from ..errors import BadAnswer, BadArgument, ServerUnreachable
from ..version import __version__
from .bodies import Body, BodyPayload, Progress
from .refusals import PASSING, refusal
from .retries import Again, Patience, retry_after_s
from .sessions import Sessions

Auth = tuple[str, str] | str
"""A user and a password, or a key."""

MAX_ANSWER_BYTES = 64 * 2**20
"""Answers that are read whole; the longest are lists of names, and forms in base64."""

MAX_REFUSAL_BYTES = 64 * 1024

EXPECT_BYTES = 2**20
"""A longer body is sent once the server wants it: what is held costs nothing, and a refusal little."""

BROKEN = (aiohttp.ClientError, TimeoutError, ConnectionError)
FOR_GOOD = (aiohttp.ClientSSLError, aiohttp.InvalidURL, aiohttp.TooManyRedirects)
"""What is broken and stays so: a certificate that is wrong is wrong again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conduct:
    """How to treat a server; what the fields are for, `Client` says."""

    transfers: int = 8
    retries: int = 5
    connect_s: float = 10.0
    stall_s: float = 60.0


class Transport:
    """The way to one server, for as long as it is open."""

    def __init__(
        self,
        url: str,
        auth: Auth | None,
        sessions: Sessions,
        tls: ssl.SSLContext | None,
        conduct: Conduct,
    ) -> None:
        """Raises: BadArgument."""
        try:
            parsed = URL(url)
        except ValueError:
            parsed = URL()
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise BadArgument("the URL of a server begins with http:// or https:// and names a host")
        if parsed.user is not None and auth is None:
            auth = (parsed.user, parsed.password or "")
        self.url = parsed.with_user(None).with_query(None).with_fragment(None)
        self.conduct = conduct
        self.downloads = asyncio.Semaphore(conduct.transfers)
        self.uploads = asyncio.Semaphore(conduct.transfers)
        self._headers = {hdrs.USER_AGENT: f"hashserver-aio/{__version__}", hdrs.ACCEPT_ENCODING: "identity"}
        if auth is not None:
            self._headers[hdrs.AUTHORIZATION] = _credentials(auth)
        self._sessions = sessions
        self._tls = tls

    def patience(self) -> Patience:
        """Begin an operation that may fail a few times."""
        return Patience(self.conduct.retries)

    def to(self, url: str) -> Transport:
        """Reach another URL in the same way; as the same user only if it is of the same server.

        Raises: BadArgument.
        """
        other = Transport(url, None, self._sessions, self._tls, self.conduct)
        if other.url.origin() == self.url.origin():
            other._headers = self._headers
        return other

    async def close(self) -> None:
        """Let go of the connections, unless they are somebody else's."""
        await self._sessions.close()

    async def call(
        self,
        method: str,
        path: str,
        *,
        is_safe: bool = True,
        accepts: tuple[int, ...] = (),
        limit_bytes: int = MAX_ANSWER_BYTES,
        **more: Any,
    ) -> Reply:
        """Ask for an answer that is short enough to be held.

        `is_safe`: whether it does no harm if the server gets the request twice; `accepts`: statuses that
        are no error here. Raises: what the server refuses with, ServerUnreachable, BadAnswer.
        """
        patience = self.patience()
        while True:
            try:
                async with self.ask(method, path, accepts=accepts, **more) as response:
                    body = await read_whole(response, limit_bytes)
                    return Reply(response.status, response.headers, body)
            except Again as again:
                if again.was_sent and not is_safe:
                    raise again.error from None
                await patience.wait(again)

    @asynccontextmanager
    async def ask(
        self, method: str, path: str, *, accepts: tuple[int, ...] = (), **more: Any
    ) -> AsyncIterator[ClientResponse]:
        """Send a request once; give its answer, if that is a good one, to be read.

        Raises: Again, also where reading fails; what the server refuses with.
        """
        try:
            response = await self._send(method, path, **more)
            async with response:
                if not 200 <= response.status < 300 and response.status not in accepts:
                    raise await _refused(response)
                yield response
        except FOR_GOOD as error:
            raise ServerUnreachable(f"{self.url} can't be used: {worded(error)}") from None
        except BROKEN as error:
            unreachable = ServerUnreachable(f"{self.url} can't be reached: {worded(error)}")
            was_sent = not isinstance(error, aiohttp.ClientConnectorError)
            raise Again(unreachable, was_sent=was_sent) from None

    async def _send(
        self,
        method: str,
        path: str,
        *,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        progress: Progress | None = None,
        stall_s: float | None = None,
        **more: Any,
    ) -> ClientResponse:
        """Send a request, as long as something of its body goes out now and then."""
        stall_s = self.conduct.stall_s if stall_s is None else stall_s
        more |= {
            "headers": self._headers | dict(headers or {}),
            "timeout": ClientTimeout(sock_connect=self.conduct.connect_s, sock_read=stall_s),
            "allow_redirects": method in (hdrs.METH_GET, hdrs.METH_HEAD),
        }
        if self._tls is not None:
            more["ssl"] = self._tls
        session, url = self._sessions.opened(), self._at(path)
        if body is None:
            return await session.request(method, url, **more)
        async with asyncio.timeout(stall_s) as deadline:
            watch = _Watch(deadline, stall_s, body.size, progress)
            payload = BodyPayload(body, watch.moved)
            expects = body.size is None or body.size > EXPECT_BYTES
            try:
                return await session.request(method, url, data=payload, expect100=expects, **more)
            except BROKEN:
                if payload.failure is not None:
                    raise payload.failure from None
                raise
            finally:
                watch.is_over = True

    def _at(self, path: str) -> URL:
        return URL(str(self.url).rstrip("/") + path, encoded=True)


class _Watch:
    """Moves the deadline of a request on as long as its body does."""

    def __init__(
        self, deadline: asyncio.Timeout, stall_s: float, size: int | None, progress: Progress | None
    ) -> None:
        self.is_over = False
        self._deadline = deadline
        self._stall_s = stall_s
        self._size = size
        self._progress = progress

    def moved(self, sent: int) -> None:
        """Take note that so many bytes are sent by now."""
        if not self.is_over:
            self._deadline.reschedule(asyncio.get_running_loop().time() + self._stall_s)
        if self._progress is not None:
            self._progress(sent, self._size)


@dataclass(frozen=True, slots=True)
class Reply:
    """A short answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Read JSON. Raises: BadAnswer."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise BadAnswer("the server answered what is no JSON: is this a hashserver?") from None

    def result(self) -> Any:
        """Read the result of an answer in the Axon's words. Raises: BadAnswer."""
        told = self.json()
        if not isinstance(told, dict) or told.get("status") != "ok" or "result" not in told:
            raise BadAnswer("the server answered without a result: is this a hashserver?")
        return told["result"]


async def read_whole(response: ClientResponse, limit_bytes: int) -> bytes:
    """Read an answer. Raises: BadAnswer, if it is longer than it may be."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > limit_bytes:
            raise BadAnswer(f"the server's answer is longer than {limit_bytes} bytes")
    return bytes(body)


async def _refused(response: ClientResponse) -> Exception:
    """Make the error of an answer that is no good one."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) >= MAX_REFUSAL_BYTES:
            break
    name = response.url.raw_path.rpartition("/")[2]
    error = refusal(response.status, bytes(body[:MAX_REFUSAL_BYTES]), name)
    if response.status in PASSING:
        return Again(error, retry_after_s(response.headers.get(hdrs.RETRY_AFTER)))
    return error


def _credentials(auth: Auth) -> str:
    """Word an Authorization header. Raises: BadArgument. Source: RFC 7617, RFC 6750."""
    if isinstance(auth, str):
        if not auth or not auth.isascii() or not auth.isprintable() or " " in auth:
            raise BadArgument("a key is ASCII, without blanks")
        return f"Bearer {auth}"
    user, password = auth
    if ":" in user:
        raise BadArgument("the name of a user has no colon")
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def worded(error: Exception) -> str:
    """Say what broke, without a word of the request."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return str(error.os_error.strerror or type(error.os_error).__name__)
    if isinstance(error, TimeoutError):
        return "nothing came or went for too long"
    if isinstance(error, aiohttp.ClientConnectionError | aiohttp.ClientPayloadError | OSError):
        return "the connection broke"
    return type(error).__name__
