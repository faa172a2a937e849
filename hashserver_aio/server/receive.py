"""Receiving a buffer: what can be refused is refused before the body is asked for, for every face.

A client that sends `Expect: 100-continue` is told to go on only when its body is really wanted.
"""

from __future__ import annotations

import asyncio

from aiohttp import ClientPayloadError, HttpVersion11, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler

from ..buffers import Buffers
from ..checksums import Checksum, Hashset
from ..counting import BYTES_IN
from ..errors import AlreadyHeld, BufferTooLarge, NotPermitted, ReadOnly, UploadCut
from ..store import Form
from .codings import sent_form
from .cors import refuse_foreign_origin
from .digests import stated_digests
from .keys import BUFFERS, COUNTS, FAST_PATH, SETTINGS

STALL_S = 60.0
"""A body of which nothing has come for so long is given up."""

LINGER_S = 1.0
"""A refused body is read and thrown away for so long, so that its sender gets to see the answer."""

RECEIVED: web.RequestKey[int] = web.RequestKey("RECEIVED", int)
"""How many bytes of a request's body were counted as they came."""

_AWAITS: web.RequestKey[bool] = web.RequestKey("AWAITS", bool)
"""Whether a client still waits to be told to send its body."""

BROKEN = (ConnectionError, ClientPayloadError, HttpProcessingError, web.RequestPayloadError)


class RequestBody:
    """The body of a request, as it arrives."""

    def __init__(self, request: web.Request) -> None:
        self._content = request.content
        self._request = request
        self._row = request.app[COUNTS].row

    @property
    def has_arrived(self) -> bool:
        """Whether nothing of it has to be waited for."""
        return self._content.is_eof()

    async def read(self) -> bytes:
        """Give some more bytes; b"" at the end.

        Raises: UploadCut.
        """
        try:
            chunk = self._content.read_nowait()
            if not chunk and not self.has_arrived:  # else no timer is needed
                async with asyncio.timeout(STALL_S):
                    chunk = await self._content.readany()
        except TimeoutError:
            raise UploadCut(f"nothing more of the body has come for {STALL_S:.0f} s") from None
        except BROKEN:
            raise UploadCut("the body was cut short, or its chunks are broken") from None
        self._row[BYTES_IN] += len(chunk)
        self._request[RECEIVED] = self._request.get(RECEIVED, 0) + len(chunk)
        return chunk


async def read_whole(request: web.Request, limit_bytes: int) -> bytes:
    """Read a request's body into memory.

    Raises: BufferTooLarge, UploadCut.
    """
    body, whole = RequestBody(request), bytearray()
    while len(whole) <= limit_bytes and (request.content_length or 0) <= limit_bytes:
        chunk = await body.read()
        if not chunk:
            return bytes(whole)
        whole += chunk
    raise BufferTooLarge(f"a request of this kind may have {limit_bytes} bytes at most")


async def receive(request: web.Request, checksum: Checksum) -> bool:
    """Store the buffer that a request brings; False if it was held already.

    Raises: ReadOnly, ForeignOrigin; what `Buffers.put` raises; and what the early checks say.
    """
    buffers = request.app[BUFFERS]
    refuse_writing(request)
    _refuse_expectation(request)
    async with buffers.intake.arriving(checksum):
        form = sent_form(request)
        claims = stated_digests(request)
        if request.headers.get(hdrs.IF_NONE_MATCH, "").strip() == "*":
            await _refuse_held(buffers, checksum)
        if await buffers.intake.is_held(checksum, form):
            return False
        buffers.intake.refuse_size(checksum, form, request.content_length or 0)
        await _continue(request)
        await buffers.intake.put(checksum, RequestBody(request), form, claims)
    return True


async def receive_unnamed(request: web.Request) -> Hashset:
    """Store the bytes that a request brings, as they are: what they are called.

    Raises: ReadOnly, ForeignOrigin, BadDigest; what `Intake.add` raises.
    """
    claims = stated_digests(request)
    await admit(request, request.content_length or 0)
    return await request.app[BUFFERS].intake.add(RequestBody(request), claims)


async def admit(request: web.Request, size: int = 0) -> None:
    """Let a client send a body of which nothing but its size, in bytes, is known.

    Raises: ReadOnly, ForeignOrigin, BufferTooLarge, LimitReached, NoSpace.
    """
    refuse_writing(request)
    _refuse_expectation(request)
    request.app[BUFFERS].intake.refuse_size(None, Form.PLAIN, size)
    await _continue(request)


def _refuse_expectation(request: web.Request) -> None:
    if request.headers.get(hdrs.EXPECT, "100-continue").lower() != "100-continue":
        raise web.HTTPExpectationFailed(reason="Only 100-continue can be expected")


def refuse_writing(request: web.Request) -> None:
    """Refuse what would change the store, if nobody or not this sender may.

    Raises: ReadOnly, ForeignOrigin.
    """
    if not request.app[BUFFERS].store.writable:
        raise ReadOnly("this server is read-only; start it with --writable")
    refuse_foreign_origin(request)


def refuse_deleting(request: web.Request) -> None:
    """Refuse to delete, if nobody or not this sender may.

    Raises: NotPermitted, ReadOnly, ForeignOrigin.
    """
    if not request.app[SETTINGS].allow_delete:
        raise NotPermitted("this server deletes nothing; start it with --allow-delete")
    refuse_writing(request)


async def remove(request: web.Request, checksum: Checksum) -> bool:
    """Remove a buffer; False if there is none.

    Raises: what `Buffers.remove` raises.
    """
    try:
        return await request.app[BUFFERS].remove(checksum)
    finally:
        request.app[FAST_PATH].forget(checksum)


async def _refuse_held(buffers: Buffers, checksum: Checksum) -> None:
    if await buffers.is_good(checksum):
        raise AlreadyHeld(f"{checksum} is held, and If-None-Match allows a new buffer only")


async def _continue(request: web.Request) -> None:
    if request.get(_AWAITS, False):
        request[_AWAITS] = False
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer itself has not begun


async def expect_later(request: web.Request) -> None:
    """Leave it to `receive` to answer an expectation; stands in for aiohttp's early answer."""
    expect = request.headers.get(hdrs.EXPECT, "").lower()
    request[_AWAITS] = expect == "100-continue" and request.version >= HttpVersion11


@web.middleware
async def hang_up_after_refusal(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Close a connection whose client was not told to send its body: nobody knows if it will."""
    response = await handler(request)
    if request.get(_AWAITS, False) and not response.prepared:
        response.force_close()
    return response
