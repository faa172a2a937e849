"""Reading inside buffers: lines, rows, JSON, msgpack and structs.

All but a struct is answered as a stream, in memory that does not grow with the buffer.
"""

from __future__ import annotations

import asyncio
import csv
import os
from contextlib import aclosing
from functools import partial

from aiohttp import web

from ...blobs import Blob
from ...reading import MAX_RECORD_BYTES, JsonLines, Lines, Messages, Parameter, Reader, Rows, Struct
from ...reading.apart import Pieces
from ..keys import BUFFERS, READERS
from ..send import hang_up
from .names import SHA256, Right, allowed, checksum_of, sha256_in
from .queries import flag, number, only
from .streams import ITEM, stream
from .words import BASE, ok_worded

QUOTING = {name[6:].lower(): value for name, value in vars(csv).items() if name.startswith("QUOTE_")}
"""`minimal`, `all`, ..; numbers do as well."""

ERRORS, LIMIT, DIALECT, FMT, OFFS = "errors", "limit", "dialect", "fmt", "offs"
"""The parameters of queries; `csvrows` takes those of `csv.reader`, too."""


def routes() -> list[web.RouteDef]:
    """Name the routes."""
    handlers = {
        Lines.name: readlines,
        Rows.name: csvrows,
        JsonLines.name: jsonlines,
        Messages.name: messages,
        Struct.name: unpack,
    }
    return [
        route
        for name, handler in handlers.items()
        for route in allowed(Right.GET, web.get(f"{BASE}axon/{name}/{SHA256}", handler, allow_head=False))
    ]


async def readlines(request: web.Request) -> web.StreamResponse:
    """Give the lines of a text."""
    only(request, ERRORS, LIMIT)
    return await _read(request, Lines(_errors(request), _limit(request)))


async def csvrows(request: web.Request) -> web.StreamResponse:
    """Give the rows of comma-separated values."""
    dialect = request.query.get(DIALECT, "excel")
    return await _read(request, Rows(dialect, _errors(request), _parameters(request), _limit(request)))


async def jsonlines(request: web.Request) -> web.StreamResponse:
    """Give the values of lines of JSON."""
    only(request, ERRORS, LIMIT)
    return await _read(request, JsonLines(_errors(request), _limit(request)))


async def messages(request: web.Request) -> web.StreamResponse:
    """Give the values of concatenated msgpack."""
    only(request, LIMIT)
    return await _read(request, Messages(_limit(request)))


async def _read(request: web.Request, reader: Reader) -> web.StreamResponse:
    buffers = request.app[BUFFERS]
    blob = await buffers.open(checksum_of(request, sha256_in(request)))
    try:
        pieces = buffers.store.pieces(blob.stored)
        hanging_up = partial(hang_up, request)
        read = request.app[READERS].read(reader, pieces, blob.size, ITEM, hang_up=hanging_up)
        return await stream(request, read)
    finally:
        blob.close()


async def unpack(request: web.Request) -> web.Response:
    """Give what a struct format describes, at an offset."""
    only(request, FMT, OFFS)
    reader, offset = Struct(request.query.get(FMT, "")), number(request, OFFS, 0)
    buffers = request.app[BUFFERS]
    blob = await buffers.open(checksum_of(request, sha256_in(request)), seekable=True)
    try:
        size = max(0, min(reader.size, blob.size - offset))
        part = _part(blob, buffers.store.pieces(blob.stored), offset, size)
        read = request.app[READERS].read(reader, part, size, ("", ""), hang_up=partial(hang_up, request))
        async with aclosing(read) as batches:
            return ok_worded(b"".join([batch async for batch in batches]))
    finally:
        blob.close()


async def _part(blob: Blob, pieces: Pieces, offset: int, size: int) -> Pieces:
    """Read a part of a buffer; one that is compressed, and too big for a plain copy, from its start."""
    if blob.file is not None and size:
        yield await asyncio.to_thread(os.pread, blob.file.fileno(), size, offset)
    elif size:
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece[max(0, offset) : offset + size]
                offset -= len(piece)
                if offset + size <= 0:
                    return


def _errors(request: web.Request) -> str:
    return request.query.get(ERRORS, "ignore")


def _limit(request: web.Request) -> int:
    return number(request, LIMIT, MAX_RECORD_BYTES)


def _parameters(request: web.Request) -> dict[str, Parameter]:
    """Read what `csv.reader` is to be told; what it does not know, it refuses itself.

    Raises: BadArgument.
    """
    others = (name for name in request.query if name not in (DIALECT, ERRORS, LIMIT))
    return {name: _parameter(request, name) for name in others}


def _parameter(request: web.Request, name: str) -> Parameter:
    text = request.query[name]
    if name in ("doublequote", "skipinitialspace", "strict"):
        return flag(request, name)
    if name == "quoting":
        return QUOTING[text.lower()] if text.lower() in QUOTING else number(request, name, 0)
    return text or None
