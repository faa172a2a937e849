"""Sending a buffer, or a file: GET and HEAD, whole or in ranges, conditional, for every face.

A file is sent by the kernel (sendfile); what is small goes out with its headers in one write.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

from aiohttp import web

from ..blobs import Blob, Streamed
from ..buffers import Buffers
from ..checksums import Checksum
from ..counting import BYTES_OUT
from ..errors import BufferCorrupt, HashserverError
from .access import is_public
from .codings import accepted_forms
from .conditions import failed, range_holds
from .fast_path import SMALL_BYTES
from .headers import etag_of, representation_headers, shared_headers
from .keys import COUNTS, FAST_PATH
from .ranges import ByteRange, Unsatisfiable, parse_ranges
from .representation import Representation
from .sendfile import SLICE_S, check_sent, send_slice
from .watched import watch

PIECE_BYTES = 256 * 1024

log = logging.getLogger(__name__)


async def send(
    request: web.Request,
    buffers: Buffers,
    checksum: Checksum,
    *,
    negotiates: bool = True,
    more: dict[str, str] | None = None,
) -> web.StreamResponse:
    """Answer with a buffer, or with as much of it as is asked for.

    It is always the plain bytes, unless the face `negotiates`; `more` headers replace those of its own.
    Raises: what `Buffers.open` raises; ConnectionError, when the client or the file went away.
    """
    ranged = "Range" in request.headers and request.method == "GET"
    encodings = "" if ranged or not negotiates else ",".join(request.headers.getall("Accept-Encoding", ()))
    accepted = accepted_forms(encodings)
    blob = await buffers.open_or_stream(checksum, accepted, seekable=ranged)
    try:
        return await answer(request, _of_blob(blob, more or {}, is_public=is_public(request)))
    finally:
        blob.close()
        if blob.pieces is not None:
            await blob.pieces.aclose()


def _of_blob(blob: Blob | Streamed, more: dict[str, str], *, is_public: bool) -> Representation:
    return Representation(
        etag=etag_of(blob),
        modified_s=blob.modified_s,
        size=blob.size,
        file=blob.file,
        pieces=blob.pieces,
        shared=shared_headers(blob, is_public=is_public),
        headers=representation_headers(blob) | more,
        changed=lambda: BufferCorrupt(f"File corruption: {blob.checksum} became shorter while it was read."),
        is_buffer=True,
    )


async def answer(request: web.Request, sent: Representation) -> web.StreamResponse:
    """Answer with what is there, or with as much of it as is asked for."""
    status = failed(request, sent.etag, sent.modified_s)
    if status is HTTPStatus.NOT_MODIFIED:
        return web.Response(status=status, headers=sent.shared)
    if status is not None:
        return web.Response(status=status, headers={"Cache-Control": "no-store"})
    try:
        ranges = _ranges(request, sent)
    except Unsatisfiable:
        headers = {"Content-Range": f"bytes */{sent.size}", "Cache-Control": "no-store"}
        headers["Accept-Ranges"] = "bytes"
        return web.Response(status=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers=headers)
    headers = sent.shared | sent.headers
    if ranges is None:
        if sent.is_buffer:
            watch(request, request.app[FAST_PATH])
        return await _send_part(request, sent, headers, HTTPStatus.OK, ByteRange(0, sent.size))
    if len(ranges) == 1:
        headers["Content-Range"] = ranges[0].content_range(sent.size)
        return await _send_part(request, sent, headers, HTTPStatus.PARTIAL_CONTENT, ranges[0])
    return await _send_parts(request, sent, headers, ranges)


def _ranges(request: web.Request, sent: Representation) -> list[ByteRange] | None:
    header = request.headers.get("Range")
    if header is None or sent.file is None or request.method != "GET":
        return None
    return parse_ranges(header, sent.size) if range_holds(request, sent.etag, sent.modified_s) else None


async def _send_part(
    request: web.Request, sent: Representation, headers: dict[str, str], status: HTTPStatus, part: ByteRange
) -> web.StreamResponse:
    if sent.file is not None and part.length <= SMALL_BYTES and request.method == "GET":
        body = os.pread(sent.file.fileno(), part.length, part.first)
        if len(body) != part.length or not sent.is_still():
            raise sent.changed()
        return web.Response(status=status, headers=headers, body=body)
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = part.length
    async with begun(request, response):
        if request.method == "GET":
            await _write(request, response, sent, part)
        await response.write_eof()
    return response


async def _send_parts(
    request: web.Request, sent: Representation, headers: dict[str, str], ranges: list[ByteRange]
) -> web.StreamResponse:
    """Send several ranges as multipart/byteranges (RFC 9110 section 14.6)."""
    boundary = secrets.token_hex(16)
    heads = [_part_head(boundary, part, sent) for part in ranges]
    end = f"\r\n--{boundary}--\r\n".encode()
    headers["Content-Type"] = f"multipart/byteranges; boundary={boundary}"
    response = web.StreamResponse(status=HTTPStatus.PARTIAL_CONTENT, headers=headers)
    total = sum(map(len, heads)) + sum(part.length for part in ranges) + len(end)
    response.content_length = total
    async with begun(request, response):
        for head, part in zip(heads, ranges, strict=True):
            await write_piece(response, head)
            _count(request, len(head))
            await _write(request, response, sent, part)
        await response.write_eof(end)
        _count(request, len(end))
    return response


def _part_head(boundary: str, part: ByteRange, sent: Representation) -> bytes:
    return (
        f"\r\n--{boundary}\r\nContent-Type: {sent.headers['Content-Type']}\r\n"
        f"Content-Range: {part.content_range(sent.size)}\r\n\r\n"
    ).encode()


@asynccontextmanager
async def begun(request: web.Request, response: web.StreamResponse) -> AsyncIterator[None]:
    """Begin an answer. What goes wrong from then on can only be told by hanging up."""
    await response.prepare(request)
    try:
        yield
    except (ConnectionError, TimeoutError, RuntimeError) as error:  # the client went away, or sleeps
        if isinstance(error, RuntimeError) and not _is_closing(request):
            raise
        log.debug("%s hung up on: %r", request.rel_url.raw_path, error)
        hang_up(request)
    except (HashserverError, OSError) as error:
        log.error("%s can't be sent to its end: %s", request.rel_url.raw_path, error)
        hang_up(request)


def _is_closing(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


def hang_up(request: web.Request) -> None:
    """Close the connection at once, whatever the client has not taken yet."""
    if request.transport is not None:
        request.transport.abort()


async def _write(
    request: web.Request, response: web.StreamResponse, sent: Representation, part: ByteRange
) -> None:
    """Send bytes; headers are out, so whatever goes wrong ends the connection."""
    if sent.pieces is not None:
        count = 0
        async for piece in sent.pieces:
            await write_piece(response, piece)
            _count(request, len(piece))
            count += len(piece)
        check_sent(count, part.length)
    elif sent.is_buffer and part.length > SMALL_BYTES:
        await _sendfile(request, response, sent, part)
    else:
        # The end is read before it is asked whether the file has changed, and sent after that: whoever
        # got all of it got it of one file.
        begin = max(0, part.length - SMALL_BYTES)
        await _sendfile(request, response, sent, ByteRange(part.first, begin))
        await _copy(request, response, sent, ByteRange(part.first + begin, part.length - begin))


def _count(request: web.Request, size: int) -> None:
    """Count bytes of a body as they go out: one that takes an hour is not one of its last moment."""
    request.app[COUNTS].row[BYTES_OUT] += size


async def write_piece(response: web.StreamResponse, piece: bytes) -> None:
    async with asyncio.timeout(SLICE_S):
        await response.write(piece)


async def _sendfile(
    request: web.Request, response: web.StreamResponse, sent: Representation, part: ByteRange
) -> None:
    assert sent.file is not None
    offset, end = part.first, part.first + part.length
    while offset < end:
        if request.transport is None:
            raise ConnectionResetError("the client is gone")
        begin = offset
        try:
            offset = await send_slice(request.transport, sent.file, begin, end)
        except (NotImplementedError, asyncio.SendfileNotAvailableError):
            return await _copy(request, response, sent, ByteRange(offset, end - offset))
        _count(request, offset - begin)
        if not sent.is_still():
            raise sent.changed()


async def _copy(
    request: web.Request, response: web.StreamResponse, sent: Representation, part: ByteRange
) -> None:
    assert sent.file is not None
    offset, end = part.first, part.first + part.length
    while offset < end:
        count = min(PIECE_BYTES, end - offset)
        piece = await asyncio.to_thread(os.pread, sent.file.fileno(), count, offset)
        check_sent(len(piece), count)
        if not sent.is_still():
            raise sent.changed()
        await write_piece(response, piece)
        _count(request, len(piece))
        offset += len(piece)
