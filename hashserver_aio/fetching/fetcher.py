"""Fetching and sending, on behalf of a client, by HTTP.

Whatever goes wrong on the way is told in the result, as the Axon's API has it; what is wrong with the
question raises. A body is never held: it goes from one socket to the store, or back, in pieces.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import partial
from typing import Protocol

from aiohttp import (
    ClientError,
    ClientPayloadError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    Payload,
    hdrs,
)
from aiohttp.abc import AbstractResolver

from ..bodies import Body
from ..checksums import Hashset
from ..errors import BadArgument, Busy, HashserverError
from .addresses import Allowed
from .answers import Answer
from .guard import GuardedConnector, Proxy
from .lookups import Lookups
from .manners import MAX_HEADER_LINE_BYTES, MAX_HEADERS, Manners
from .payloads import FormField, Source, buffer_payload, form, read_fields, read_sha256
from .proxies import chosen
from .requests import FetchRequest
from .results import FetchInfo, answered, as_text, failed, stored, traced, wording
from .texts import read_body
from .tls import DEFAULT_TLS, TlsOptions, make_context

MAX_FETCHES = 64
"""Each has a socket, and up to a few hundred KiB on their way."""

MAX_ANSWER_BYTES = 4 * 2**20
"""What a form is answered with is held, and given back whole."""

TLS_THREADS = 2
"""They read and parse certificates, which takes milliseconds."""

CONNECT_S = 30.0
STALL_S = 300.0
"""A server that has sent nothing for so long, though it was its turn, is given up."""

FAILURES = (HashserverError, ClientError, OSError)
"""What a URL, its server, or the way there can come to; anything else is a bug of ours."""


Send = Callable[..., AbstractAsyncContextManager[ClientResponse]]

Word = Callable[[HashserverError], tuple[str, dict[str, str]]]


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
        word: Word = lambda error: (type(error).__name__, {"mesg": str(error)}),
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._buffers = buffers
        self._allowed = allowed
        self._proxy = proxy
        self._word = word
        self._threads = ThreadPoolExecutor(TLS_THREADS, "fetch-tls")
        self._resolver = resolver or Lookups()
        self._usual_tls: ssl.SSLContext | None = None
        self._making_tls = asyncio.Lock()
        self._under_way = 0

    def close(self) -> None:
        """Let the threads end; what they still do is nobody's business any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def wget(self, request: FetchRequest, *, json: object = None, body: object = None) -> FetchInfo:
        """Store what a URL answers with, whatever its status.

        Raises: BadArgument, Busy.
        """
        payload = read_body(json, body)
        with self._place():
            return await self._told(self._wget(request, payload))

    async def _wget(self, request: FetchRequest, payload: Payload | None) -> FetchInfo:
        async with self._session(request) as send, send(data=payload) as response:
            info, answer = traced(response), Answer(response)
            return info | stored(await self._buffers.store(answer, answer.announced_bytes))

    async def wput(self, sha256: object, request: FetchRequest) -> FetchInfo:
        """Send a buffer as the body of a request.

        Raises: BadArgument, Busy.
        """
        name = read_sha256(sha256)
        with self._place():
            return await self._told(self._wput(name, request))

    async def _wput(self, sha256: str, request: FetchRequest) -> FetchInfo:
        payload = await buffer_payload(self._buffers, sha256)
        async with self._session(request) as send, send(data=payload) as response:
            return answered(response)

    async def postfiles(self, fields: object, request: FetchRequest) -> FetchInfo:
        """Send buffers and values as a form (multipart/form-data).

        Raises: BadArgument, Busy.
        """
        read = read_fields(fields)
        with self._place():
            info = await self._told(self._postfiles(read, request))
        if not info["ok"]:
            info |= {"url": as_text(request.url), "body": b"", "headers": {}}
            del info["mesg"]
        return info

    async def _postfiles(self, fields: list[FormField], request: FetchRequest) -> FetchInfo:
        payload = await form(self._buffers, fields)
        async with self._session(request) as send, send(data=payload) as response:
            return answered(response) | {"body": await _whole(Answer(response))}

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._under_way >= MAX_FETCHES:
            raise Busy(f"{MAX_FETCHES} fetches are under way; try again")
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    async def _told(self, fetch: Awaitable[FetchInfo]) -> FetchInfo:
        """Tell what a fetch came to; where a buffer could not be sent, that is why the connection was cut.

        Raises: BadArgument.
        """
        try:
            return await fetch
        except BadArgument:
            raise
        except FAILURES as raised:
            error = raised.__cause__ if isinstance(raised.__cause__, HashserverError) else raised
            if isinstance(error, HashserverError):
                return failed(*self._word(error))
            return failed(type(error).__name__, {"mesg": wording(error)})

    @asynccontextmanager
    async def _session(self, request: FetchRequest) -> AsyncIterator[Send]:
        """Hold a session of its own for a request: no cookie or connection is shared between callers.

        Raises: BadArgument, TimeoutError.
        """
        proxy = chosen(request.proxy, self._proxy)
        deadline_s = asyncio.get_running_loop().time() + request.timeout_s
        async with asyncio.timeout_at(deadline_s):
            tls = await self._tls(request.tls)
        left_s = max(deadline_s - asyncio.get_running_loop().time(), 0.001)
        manners = Manners(request.headers, proxy, shows_certificate=request.tls.client_cert is not None)
        async with ClientSession(
            connector=GuardedConnector(self._allowed, self._resolver, proxy),
            timeout=ClientTimeout(total=left_s, sock_connect=CONNECT_S, sock_read=STALL_S),
            headers={hdrs.ACCEPT_ENCODING: "identity"},
            auto_decompress=False,
            max_line_size=MAX_HEADER_LINE_BYTES,
            max_field_size=MAX_HEADER_LINE_BYTES,
            max_headers=MAX_HEADERS,
            middlewares=[manners],
        ) as session:
            yield partial(
                session.request,
                request.method,
                request.url,
                params=request.params,
                headers=manners.shared,
                ssl=tls,
                proxy=proxy.url if proxy else None,
                proxy_headers=proxy.headers if proxy else None,
            )

    async def _tls(self, options: TlsOptions) -> ssl.SSLContext:
        """Make a context; the usual one is made once. Raises: BadArgument."""
        loop = asyncio.get_running_loop()
        if options != DEFAULT_TLS:
            return await loop.run_in_executor(self._threads, make_context, options)
        async with self._making_tls:
            if self._usual_tls is None:
                self._usual_tls = await loop.run_in_executor(self._threads, make_context, options)
        return self._usual_tls


async def _whole(answer: Answer) -> bytes:
    """Read an answer that is short enough to be held."""
    body = bytearray()
    while piece := await answer.read():
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            raise ClientPayloadError(f"the answer is longer than {MAX_ANSWER_BYTES} bytes")
    return bytes(body)
