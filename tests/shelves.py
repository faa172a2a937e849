"""A server of one file that sends it slowly, wrongly, or not at all, and tells what it was asked for."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from hashserver_aio.client.download import ranges, telling

from .clients import LONG, shorten_pauses
from .fetches import target

BLOCK = 65536

Spoil = Callable[[int, bytes], bytes | None]
"""Is given the number of a block and its bytes, and gives what is sent; None: the connection is cut."""


def honest(number: int, block: bytes) -> bytes:
    """Spoil nothing."""
    return block


def make_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let little be enough to need many requests, and nobody pause."""
    monkeypatch.setattr(ranges, "FIRST_BYTES", BLOCK)
    monkeypatch.setattr("hashserver_aio.client.download.blocks.STRETCH_BYTES", 4 * BLOCK)
    monkeypatch.setattr(telling, "PAUSE_S", 0.01)
    monkeypatch.setattr(telling, "MAX_PAUSE_S", 0.01)
    shorten_pauses(monkeypatch)


def other_at(*blocks: int) -> bytes:
    """Make another file, some blocks of which are others."""
    body = bytearray(LONG)
    for number in blocks:
        body[number * BLOCK] ^= 1
    return bytes(body)


@dataclass
class Shelf:
    """What is served, and how. `pending`: of so many blocks at the end it does not say what they hash to."""

    body: bytes
    spoil: Spoil = honest
    told: bytes | None = None
    pending: int = 0
    has_ranges: bool = True
    has_digests: bool = True
    hold: asyncio.Event | None = None
    ranges: list[tuple[int, int]] = field(default_factory=list)
    headers: list[Any] = field(default_factory=list)
    url: str = ""

    @property
    def sent(self) -> int:
        """How many bytes it was asked for."""
        return sum(end - first for first, end in self.ranges)

    async def send(self, request: web.Request) -> web.StreamResponse:
        """Send a part of the file, block by block."""
        self.headers.append(request.headers)
        wanted = request.http_range if self.has_ranges else slice(None)
        first = wanted.start or 0
        end = min(len(self.body), wanted.stop if wanted.stop is not None else len(self.body))
        if first >= end and self.has_ranges:
            return web.Response(status=416, headers={"Content-Range": f"bytes */{len(self.body)}"})
        self.ranges.append((first, end))
        answer = web.StreamResponse(status=206 if self.has_ranges else 200)
        answer.content_length = end - first
        if self.has_ranges:
            answer.headers["Content-Range"] = f"bytes {first}-{end - 1}/{len(self.body)}"
        await answer.prepare(request)
        while first < end:
            number = first // BLOCK
            stop = min(end, (number + 1) * BLOCK)
            piece = self.spoil(number, self.body[first:stop])
            if piece is None:
                assert request.transport is not None
                request.transport.abort()
                return answer
            if self.hold is not None:
                await self.hold.wait()
            await answer.write(piece)
            first = stop
        return answer

    async def tell(self, request: web.Request) -> web.Response:
        """Tell what the blocks hash to."""
        if not self.has_digests:
            raise web.HTTPNotFound
        body = self.body if self.told is None else self.told
        firsts = range(0, len(body), BLOCK)
        known = len(firsts) - self.pending
        blocks = [
            [number, at, min(at + BLOCK, len(body)) - 1, _sha1(body, at) if number < known else "pending"]
            for number, at in enumerate(firsts)
        ]
        told = {"ok": True, "file_size": len(body), "blocks": blocks}
        return web.json_response(told)


def _sha1(body: bytes, at: int) -> str:
    return hashlib.sha1(body[at : at + BLOCK], usedforsecurity=False).hexdigest()


@asynccontextmanager
async def serving(*shelves: Shelf) -> AsyncIterator[None]:
    """Run servers."""
    if not shelves:
        yield
        return
    shelf, *others = shelves
    routes = {"/rd/{path:.*}": shelf.tell, "/api/server": _about, "/{path:.*}": shelf.send}
    async with target(routes) as shelf.url, serving(*others):
        yield


async def _about(request: web.Request) -> web.Response:
    return web.json_response({"algorithm": "sha3-256"})
