"""Fetching and sending, on behalf of a client, by HTTP.

Whatever goes wrong on the way is told in the result, as the Axon's API has it; what is wrong with the
question raises. A body is never held: it goes from one socket to the store, or back, in pieces.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import partial
from typing import Any, Protocol

from aiohttp import ClientError, ClientPayloadError, ClientResponse, ClientSession, ClientTimeout, hdrs
from aiohttp.abc import AbstractResolver

from ..bodies import Body
from ..checksums import Hashset
from ..errors import Busy, HashserverError
from .addresses import Allowed
from .guard import GuardedConnector, Lookups, Proxy
from .manners import MAX_HEADER_LINE_BYTES, MAX_HEADERS, Manners
from .payloads import Source, buffer_payload, form, read_fields
from .proxies import chosen
from .requests import FetchRequest
from .results import FetchInfo, answered, as_text, failed, stored, traced, wording
from .tls import DEFAULT_TLS, TlsOptions, make_context

MAX_FETCHES = 64
"""Each has a socket, and up to a few hundred KiB on their way."""

MAX_ANSWER_BYTES = 4 * 2**20
"""What a form is answered with is held, and given back whole."""

THREADS = 8
"""They wait for name servers, and load certificates."""

CONNECT_S = 30.0
STALL_S = 300.0
"""A server that has sent nothing for so long, though it was its turn, is given up."""

FAILURES = (HashserverError, ClientError, OSError, TimeoutError, ValueError, TypeError)
"""What a URL, its server, or the way there can come to; anything else is a bug of ours."""


Send = Callable[..., AbstractAsyncContextManager[ClientResponse]]


class BufferAccess(Source, Protocol):
    """What fetching needs of the buffers."""

    async def store(self, body: Body, announced_bytes: int) -> Hashset:
        """Store a body whose name is not known before its end; nothing, if it raises.

        `announced_bytes`: how long its sender says that it is; 0 where that is not said.
        Raises: BufferTooLarge, LimitReached, NoSpace, StoreFailed, Busy.
        """


class Fetcher:
    """Fetches for one server. `word` gives name and message of an error of ours, as the protocol has them."""

    def __init__(
        self,
        buffers: BufferAccess,
        allowed: Allowed,
        proxy: Proxy | None = None,
        *,
        word: Callable[[HashserverError], tuple[str, str]] = lambda error: (type(error).__name__, str(error)),
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._buffers = buffers
        self._allowed = allowed
        self._proxy = proxy
        self._word = word
        self._threads = ThreadPoolExecutor(THREADS, "fetch")
        self._resolver = resolver or Lookups(self._threads)
        self._usual_tls: ssl.SSLContext | None = None
        self._under_way = 0

    def close(self) -> None:
        """Let the threads end; what they still wait for is nobody's business any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def wget(self, request: FetchRequest, *, json: object = None, body: Any = None) -> FetchInfo:
        """Store what a URL answers with, whatever its status.

        Raises: BadArgument, Busy.
        """
        async with self._session(request) as send:
            try:
                async with send(json=json, data=body) as response:
                    info = traced(response)
                    hashset = await self._buffers.store(_ResponseBody(response), _announced(response))
            except FAILURES as error:
                return self._failed(error)
            return info | stored(hashset)

    async def wput(self, sha256: str, request: FetchRequest) -> FetchInfo:
        """Send a buffer as the body of a request.

        Raises: BadArgument, Busy.
        """
        async with self._session(request) as send:
            try:
                payload = await buffer_payload(self._buffers, sha256)
                async with send(data=payload) as response:
                    return answered(response)
            except FAILURES as error:
                return self._failed(error)

    async def postfiles(self, fields: object, request: FetchRequest) -> FetchInfo:
        """Send buffers and values as a form (multipart/form-data).

        Raises: BadArgument, Busy.
        """
        async with self._session(request) as send:
            try:
                payload = await form(self._buffers, read_fields(fields))
                async with send(data=payload) as response:
                    return answered(response) | {"body": await _whole(response)}
            except FAILURES as error:
                more = {"url": as_text(request.url), "body": b"", "headers": {}}
                info = self._failed(error) | more
                del info["mesg"]
                return info

    @asynccontextmanager
    async def _session(self, request: FetchRequest) -> AsyncIterator[Send]:
        """Hold a session of its own for a request: no cookie or connection is shared between callers.

        Raises: BadArgument, Busy.
        """
        with self._place():
            proxy = chosen(request.proxy, self._proxy)
            tls = await self._tls(request.tls)
            timeout = ClientTimeout(total=request.timeout_s, sock_connect=CONNECT_S, sock_read=STALL_S)
            async with ClientSession(
                connector=GuardedConnector(self._allowed, self._resolver, proxy),
                timeout=timeout,
                headers={hdrs.ACCEPT_ENCODING: "gzip, deflate"},
                max_line_size=MAX_HEADER_LINE_BYTES,
                max_field_size=MAX_HEADER_LINE_BYTES,
                max_headers=MAX_HEADERS,
                middlewares=[Manners(proxy, shows_certificate=request.tls.client_cert is not None)],
            ) as session:
                yield partial(
                    session.request,
                    request.method,
                    request.url,
                    params=request.params,
                    headers=request.headers,
                    ssl=tls,
                    proxy=proxy.url if proxy else None,
                    proxy_headers=proxy.headers if proxy else None,
                )

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._under_way >= MAX_FETCHES:
            raise Busy(f"{MAX_FETCHES} fetches are under way; try again")
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    async def _tls(self, options: TlsOptions) -> ssl.SSLContext:
        """Make a context; the usual one is made once. Raises: BadArgument."""
        if options == DEFAULT_TLS and self._usual_tls is not None:
            return self._usual_tls
        loop = asyncio.get_running_loop()
        context = await loop.run_in_executor(self._threads, make_context, options)
        if options == DEFAULT_TLS:
            self._usual_tls = context
        return context

    def _failed(self, error: Exception) -> FetchInfo:
        """Tell of a failure; where a buffer could not be sent, that is why the connection was cut."""
        if isinstance(error.__cause__, HashserverError):
            error = error.__cause__
        if isinstance(error, HashserverError):
            return failed(*self._word(error))
        return failed(type(error).__name__, wording(error))


class _ResponseBody:
    """The body of an answer, as it arrives."""

    def __init__(self, response: ClientResponse) -> None:
        self._content = response.content

    @property
    def has_arrived(self) -> bool:
        """Whether nothing of it has to be waited for."""
        return self._content.is_eof()

    async def read(self) -> bytes:
        """Give some more bytes; b"" at the end. Raises: ClientError, TimeoutError."""
        return await self._content.readany()


def _announced(response: ClientResponse) -> int:
    """Tell how long a body is going to be, if its server says so."""
    return 0 if hdrs.CONTENT_ENCODING in response.headers else response.content_length or 0


async def _whole(response: ClientResponse) -> bytes:
    """Read an answer that is short enough to be held."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            raise ClientPayloadError(f"the answer is longer than {MAX_ANSWER_BYTES} bytes")
    return bytes(body)
