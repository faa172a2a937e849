"""A line that is not to be relied on: a proxy that spoils some of the answers, as drawn from a seed.

What becomes of the nth answer with a body depends on the seed alone; which request gets it does not.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import aiohttp
from aiohttp import hdrs, web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

OF_ONE_HOP = (hdrs.CONNECTION, hdrs.KEEP_ALIVE, hdrs.TRANSFER_ENCODING, hdrs.HOST, hdrs.EXPECT)


class Kind(StrEnum):
    """What may happen to an answer."""

    CUT_EARLY = "reset before its head"
    CUT = "reset within its body"
    ENDED = "closed within its body, as if that were all"
    LATE = "held back before its head"
    STALLED = "held back within its body"
    CORRUPTED = "a bit of its body is another"
    FAILED = "500 instead of it"
    BUSY = "503 with Retry-After instead of it"
    WHOLE = "200 with all of it, instead of the part that was asked for"
    MISRANGED = "the right bytes, called others by Content-Range"


CUTS = frozenset({Kind.CUT_EARLY, Kind.CUT, Kind.ENDED})
DELAYS = frozenset({Kind.LATE, Kind.STALLED})
REFUSALS = frozenset({Kind.FAILED, Kind.BUSY})
OF_PARTS = frozenset({Kind.WHOLE, Kind.MISRANGED})
"""What can only happen to a part."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one answer; `place` says where in its body, from 0 to below 1."""

    kind: Kind
    place: float

    def at(self, size: int) -> int:
        """Say which byte it happens at: not the first, where there are others."""
        return int(self.place * size) or min(1, size - 1)


class Plan:
    """What happens to answers, one after the other."""

    def __init__(self, rate: float, seed: int, kinds: Collection[Kind] = tuple(Kind)) -> None:
        self._random = random.Random(seed)
        self._rate = rate
        self._kinds = sorted(kinds)

    def draw(self, *, is_part: bool) -> Fault | None:
        """Draw what happens to the next answer; what this one is changes nothing for those behind it."""
        chance, lot, place = (self._random.random() for _ in range(3))
        kinds = [kind for kind in self._kinds if is_part or kind not in OF_PARTS]
        if chance >= self._rate or not kinds:
            return None
        return Fault(kinds[int(lot * len(kinds))], place)


class _Cut(Exception):
    """The connection breaks here."""


class Faulty:
    """The proxy: where it is, what it was asked, and what it did.

    `asked`: path and Range of each request; `answers`: those with a body; `faults`: how many of each kind;
    `body_bytes`: what was sent of bodies, wrong ones included. `plan` may be replaced at any time.
    """

    def __init__(self, server_url: str, plan: Plan, stall_s: float, retry_after_s: int) -> None:
        self.plan = plan
        self.asked: list[tuple[str, str]] = []
        self.answers = 0
        self.faults = Counter[Kind]()
        self.body_bytes = 0
        self.port = 0
        self._server_url = server_url.rstrip("/")
        self._stall_s = stall_s
        self._retry_after_s = retry_after_s
        self._peers: set[Any] = set()
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, handler_cancellation=True, access_log=None)
        self._site: web.TCPSite | None = None
        self._session = aiohttp.ClientSession(
            auto_decompress=False,
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
        )

    @property
    def url(self) -> str:
        """Where to ask instead of the server."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """How many connections requests came over."""
        return len(self._peers)

    async def revive(self) -> None:
        """Listen, on the port that it had before if it died."""
        if self._runner.server is None:
            await self._runner.setup()
        self._site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await self._site.start()
        self.port = self._runner.addresses[0][1]

    async def die(self) -> None:
        """Refuse connections, and reset those that there are."""
        assert self._site is not None and self._runner.server is not None
        await self._site.stop()
        for connection in self._runner.server.connections:
            _reset(connection.transport)

    async def close(self) -> None:
        """End it."""
        for connection in self._runner.server.connections if self._runner.server else ():
            _reset(connection.transport)  # nobody waits for answers that are held back
        await self._runner.cleanup()
        await self._session.close()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        self._peers.add(request.transport.get_extra_info("peername"))
        self.asked.append((request.path, request.headers.get(hdrs.RANGE, "")))
        try:
            async with self._ask(request) as answer:
                return await self._pass_on(request, answer)
        except (_Cut, aiohttp.ClientError):  # as the server's end is seen by the client
            _reset(request.transport)
            return web.Response()

    def _ask(self, request: web.Request, *, whole: bool = False) -> Any:
        """Ask the server the same, or for all of it."""
        headers = request.headers.copy()
        for name in (*OF_ONE_HOP, *((hdrs.RANGE, hdrs.IF_RANGE) if whole else ())):
            headers.popall(name, None)
        url = URL(self._server_url + request.raw_path, encoded=True)
        body = request.content if request.can_read_body else None
        return self._session.request(request.method, url, headers=headers, data=body, allow_redirects=False)

    async def _pass_on(self, request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        """Send the answer on, or what is to happen instead."""
        bodiless = request.method == hdrs.METH_HEAD or answer.status in (204, 304)
        if bodiless or answer.content_length == 0:
            return web.Response(status=answer.status, headers=_passed(answer.headers))
        self.answers += 1
        async with AsyncExitStack() as stack:
            fault = self.plan.draw(is_part=answer.status == 206)
            if fault is not None:
                self.faults[fault.kind] += 1
                if fault.kind is Kind.CUT_EARLY:
                    raise _Cut
                if fault.kind in REFUSALS:
                    return self._refuse(fault.kind)
                if fault.kind is Kind.LATE:
                    await asyncio.sleep(self._stall_s)
                if fault.kind is Kind.WHOLE:
                    answer = await stack.enter_async_context(self._ask(request, whole=True))
            return await self._send(request, answer, fault)

    def _refuse(self, kind: Kind) -> web.Response:
        headers = {hdrs.RETRY_AFTER: str(self._retry_after_s)}
        refusal = web.Response(status=500 if kind is Kind.FAILED else 503, text="faulty", headers=headers)
        self.body_bytes += len("faulty")
        return refusal

    async def _send(
        self, request: web.Request, answer: aiohttp.ClientResponse, fault: Fault | None
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers=_passed(answer.headers))
        pieces: AsyncIterable[bytes] = answer.content.iter_any()
        size = answer.content_length
        if size is None:
            body = await answer.read()  # these are short
            pieces, size = _one(body), len(body)
        if fault is not None and fault.kind is Kind.MISRANGED:
            response.headers[hdrs.CONTENT_RANGE] = _moved(response.headers[hdrs.CONTENT_RANGE])
        await response.prepare(request)
        if fault is not None and size:
            pieces = self._spoiled(pieces, fault, fault.at(size))
        async for piece in pieces:
            self.body_bytes += len(piece)
            await response.write(piece)
        if fault is not None and fault.kind is Kind.ENDED:
            assert request.transport is not None
            request.transport.close()
        return response

    async def _spoiled(self, pieces: AsyncIterable[bytes], fault: Fault, at: int) -> AsyncIterator[bytes]:
        """Yield the pieces until, and as, it happens."""
        passed = 0
        async for piece in pieces:
            here, passed = at - passed, passed + len(piece)
            if not 0 <= here < len(piece):
                yield piece
                continue
            match fault.kind:
                case Kind.CUT:
                    yield piece[:here]
                    raise _Cut
                case Kind.ENDED:
                    yield piece[:here]
                    return
                case Kind.STALLED:
                    yield piece[:here]
                    await asyncio.sleep(self._stall_s)
                    yield piece[here:]
                case Kind.CORRUPTED:
                    yield piece[:here] + bytes([piece[here] ^ 1]) + piece[here + 1 :]
                case _:
                    yield piece


@asynccontextmanager
async def faulty(
    server_url: str,
    *,
    rate: float = 0.01,
    seed: int = 7,
    kinds: Collection[Kind] = tuple(Kind),
    stall_s: float = 0.2,
    retry_after_s: int = 0,
) -> AsyncIterator[Faulty]:
    """Put a line before a server that spoils so many of its answers with a body, in ways of these kinds."""
    proxy = Faulty(server_url, Plan(rate, seed, kinds), stall_s, retry_after_s)
    try:
        await proxy.revive()
        yield proxy
    finally:
        await proxy.close()


def _passed(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    passed = headers.copy()
    for name in OF_ONE_HOP:
        passed.popall(name, None)
    return passed


def _moved(content_range: str) -> str:
    """Move a range by a byte, so that it stays as long as it is."""
    part, _, whole = content_range.removeprefix("bytes ").partition("/")
    first, last = map(int, part.split("-"))
    step = -1 if first else 1
    return f"bytes {first + step}-{last + step}/{whole}"


async def _one(body: bytes) -> AsyncIterator[bytes]:
    yield body


def _reset(transport: asyncio.BaseTransport | None) -> None:
    """Break a connection so that the other side sees a reset."""
    if isinstance(transport, asyncio.Transport) and not transport.is_closing():
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
