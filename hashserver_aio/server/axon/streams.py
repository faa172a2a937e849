"""Answers of any length: one JSON object a line, and at the end a line that says that it is the end.

Whoever does not get that line knows that the answer was cut.

    {"feed-id": ..}   where the numbers belong to a feed
    {"item": ..}      each item
    {"error": ..}     `{"code": .., "mesg": ..}`; nothing follows
    {"end": ..}       what there is to say at the end; nothing follows
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from aiohttp import web

from ...errors import HashserverError
from ..send import begun, write_piece
from ..words import UNCACHED
from .words import error_of, worded

CONTENT_TYPE = "application/x-ndjson"

Lines = AsyncGenerator[Sequence[str] | bytes, None]
"""Lines in batches, each batch worth a write; one that is bytes may end anywhere."""

ITEM = ('{"item":', "}\n")
"""What stands before and after the JSON of an item."""


def line(kind: str, value: object) -> str:
    """Word a line."""
    return f"{worded({kind: value})}\n"


async def stream(
    request: web.Request, lines: Lines, end: Callable[[], dict[str, object]] = dict
) -> web.StreamResponse:
    """Answer with lines as they come; `end` is asked for what to say when there are no more.

    What goes wrong before the first batch is raised, and answered as an error. Where a line was begun and
    can't be ended, only hanging up tells.
    """
    async with aclosing(lines):
        batch = await anext(lines, b"")
        response = web.StreamResponse(headers=UNCACHED | {"Content-Type": CONTENT_TYPE})
        async with begun(request, response):
            await _write(response, batch)
            try:
                async for batch in lines:
                    await _write(response, batch)
                    await asyncio.sleep(0)  # writing waits only for who does not read
                last = line("end", end())
            except HashserverError as error:
                if isinstance(batch, bytes) and not batch.endswith(b"\n"):
                    raise
                last = line("error", error_of(request, error))
            await _write(response, [last])
            await response.write_eof()
        return response


async def _write(response: web.StreamResponse, batch: Sequence[str] | bytes) -> None:
    if batch:
        data = batch if isinstance(batch, bytes) else "".join(batch).encode(errors="surrogatepass")
        await write_piece(response, data)
