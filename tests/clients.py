"""What tests of the client share: servers that misbehave, and how often they were asked."""

from __future__ import annotations

import hashlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from hashserver_aio import Client

from .fetches import target

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]

LONG = random.Random(5).randbytes(3_000_001)


def name(body: bytes) -> str:
    """Name a buffer as the store does."""
    return hashlib.sha3_256(body).hexdigest()


def sha256(body: bytes) -> str:
    """Name a buffer as the axon does."""
    return hashlib.sha256(body).hexdigest()


def files_in(folder: Path) -> list[str]:
    """Name all that is in a folder."""
    return sorted(path.name for path in folder.iterdir())


class Liar:
    """A server that answers each request with the next of its answers; the last one for ever."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[web.Request] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer a request."""
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await answer(request)


def shorten_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let nobody pause before trying again: the longest that each pause might have been."""
    drawn: list[float] = []

    def uniform(low: float, high: float) -> float:
        drawn.append(high)
        return low

    monkeypatch.setattr(random, "uniform", uniform)
    return drawn


@asynccontextmanager
async def lying(*answers: Answer, **options: Any) -> AsyncIterator[tuple[Liar, Client]]:
    """Run a server that misbehaves, and a client of it."""
    liar = Liar(*answers)
    async with target({"/{path:.*}": liar.answer}) as liar.url:
        async with Client(liar.url, algorithm="sha3-256", **options) as client:
            yield liar, client


def says(status: int, body: bytes = b"", **headers: str) -> Answer:
    """Make an answer."""
    more = {key.replace("_", "-"): value for key, value in headers.items()}

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=body, headers=more)

    return answer


async def dies(request: web.Request) -> web.StreamResponse:
    """Hang up without a word."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def cuts(body: bytes, at: int, etag: str = "") -> Answer:
    """Make an answer that is cut after so many bytes of what was asked for."""

    async def answer(request: web.Request) -> web.StreamResponse:
        begin = request.http_range.start or 0
        response = web.StreamResponse(status=206 if begin else 200)
        response.content_length = len(body) - begin
        if etag:
            response.headers["ETag"] = etag
        if begin:
            response.headers["Content-Range"] = f"bytes {begin}-{len(body) - 1}/{len(body)}"
        await response.prepare(request)
        end = min(len(body), begin + at)
        await response.write(body[begin:end])
        if end < len(body):
            assert request.transport is not None
            request.transport.close()
        return response

    return answer
