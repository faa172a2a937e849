"""The parts of a multipart body, each a buffer without a name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.http_exceptions import BadHttpMessage

from ...errors import BadBody, UploadCut
from ..receive import BROKEN, STALL_S

CHUNK_BYTES = 256 * 1024

_MALFORMED = (ValueError, RuntimeError, AssertionError, BadHttpMessage)
"""What aiohttp's reader raises where a body is not as its type says."""


class PartBody:
    """The body of one part, as it arrives."""

    has_arrived = False

    def __init__(self, part: BodyPartReader) -> None:
        self._part = part
        self._reading: asyncio.Task[bytes] | None = None

    async def read(self) -> bytes:
        """Give some more bytes; b"" at the end.

        Raises: UploadCut, BadBody.
        """
        while not self._part.at_eof() or self._reading is not None:
            chunk = await self._chunk()
            if chunk:
                return chunk
        return b""

    async def _chunk(self) -> bytes:
        """Read a chunk; one whose reader is cancelled goes to the next reader, or it would be lost."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._part.read_chunk(CHUNK_BYTES))
        try:
            async with asyncio.timeout(STALL_S):
                chunk = await asyncio.shield(self._reading)
        except TimeoutError:
            if self._reading.done():
                raise
            raise UploadCut(f"nothing more of the body has come for {STALL_S:.0f} s") from None
        except BROKEN:
            raise UploadCut("the body was cut short, or its chunks are broken") from None
        except _MALFORMED:
            raise BadBody("the parts of the body can't be told apart") from None
        self._reading = None
        return chunk

    async def close(self) -> None:
        """Read no more."""
        if self._reading is not None:
            self._reading.cancel()
            with suppress(asyncio.CancelledError, *BROKEN, *_MALFORMED):
                await self._reading


@asynccontextmanager
async def _held(part: BodyPartReader) -> AsyncIterator[PartBody]:
    body = PartBody(part)
    try:
        yield body
    finally:
        await body.close()


def refuse_no_parts(request: web.Request) -> None:
    """Refuse a body that is not said to have parts. Raises: BadBody."""
    if not request.content_type.startswith("multipart/"):
        raise BadBody("buffers are taken as parts of a multipart/form-data body")


async def parts_of(request: web.Request) -> AsyncIterator[PartBody]:
    """Yield the parts of a body; each is to be read to its end before the next.

    Raises: BadBody, UploadCut.
    """
    try:
        reader = await request.multipart()
    except _MALFORMED:
        raise BadBody("the body's Content-Type names no boundary") from None
    while (part := await _next(reader)) is not None:
        async with _held(part) as body:
            yield body


async def _next(reader: MultipartReader) -> BodyPartReader | None:
    try:
        async with asyncio.timeout(STALL_S):
            part = await reader.next()
    except TimeoutError:
        raise UploadCut(f"nothing more of the body has come for {STALL_S:.0f} s") from None
    except BROKEN:
        raise UploadCut("the body was cut short, or its chunks are broken") from None
    except _MALFORMED:
        raise BadBody("the parts of the body can't be told apart") from None
    if part is not None and not isinstance(part, BodyPartReader):
        raise BadBody("a part of the body is a multipart body itself")
    return part
