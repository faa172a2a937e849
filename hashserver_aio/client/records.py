"""Streams of one JSON object a line, which say themselves that they are at their end.

A stream without `{"end": ..}` was cut, whatever HTTP thinks of it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from aiohttp import ClientResponse

from ..errors import BadAnswer, Busy, ServerUnreachable
from .refusals import told_error
from .retries import Again
from .transport import Transport

MAX_LINE_BYTES = 128 * 2**20
"""A record of 16 MiB, in which every byte takes six to be told, and some more."""

CONTENT_TYPE = "application/x-ndjson"

Query = Mapping[str, str]


async def records(transport: Transport, path: str, query: Query) -> AsyncGenerator[tuple[str, Any], None]:
    """Yield kind and value of each line of a stream, the last of them being its end.

    Raises: Again, where the stream is cut; what the server refuses or ends it with; BadAnswer.
    """
    async with transport.ask("GET", path, params=query) as response:
        if response.content_type != CONTENT_TYPE:
            raise BadAnswer("the server answered what is no stream of records: is this a hashserver?")
        async with aclosing(_lines(response)) as lines:
            async for line in lines:
                kind, value = _read(line)
                if kind == "error":
                    raise _told(value)
                yield kind, value
                if kind == "end":
                    return
        raise Again(ServerUnreachable(f"{transport.url} cut its answer short"))


async def items(transport: Transport, path: str, query: Query) -> AsyncGenerator[Any, None]:
    """Yield the items of a stream that is always the same: after a cut, those that are still missing.

    Raises: what the server refuses or ends it with; ServerUnreachable, BadAnswer.
    """
    patience, given = transport.patience(), 0
    while True:
        number = 0
        try:
            async with aclosing(records(transport, path, query)) as found:
                async for kind, value in found:
                    if kind != "item":
                        continue
                    number += 1
                    if number > given:
                        patience.progressed()
                        given = number
                        yield value
                return
        except Again as again:
            await patience.wait(again)


async def _lines(response: ClientResponse) -> AsyncGenerator[bytes, None]:
    """Yield whole lines. What comes after the last end of a line was cut."""
    begun: list[bytes] = []
    size = 0
    async for piece in response.content.iter_any():
        first, *others = piece.split(b"\n")
        begun.append(first)
        size += len(first)
        if size > MAX_LINE_BYTES:
            raise BadAnswer(f"a line of the server's answer is longer than {MAX_LINE_BYTES} bytes")
        if not others:
            continue
        yield b"".join(begun)
        for line in others[:-1]:
            yield line
        begun, size = [others[-1]], len(others[-1])


def _read(line: bytes) -> tuple[str, Any]:
    try:
        record = json.loads(line)
        ((kind, value),) = record.items()
    except (ValueError, AttributeError, RecursionError):
        raise BadAnswer("the server answered what is no stream of records: is this a hashserver?") from None
    return kind, value


def _told(value: object) -> Exception:
    if not isinstance(value, dict):
        return BadAnswer("the server ended its answer with an error that it does not name")
    error = told_error(value)
    return Again(error) if isinstance(error, Busy) else error
