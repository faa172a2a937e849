"""Following a feed: nothing twice, nothing left out, and never on in another feed without a word."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from hashserver_aio import Client
from hashserver_aio.client import feed
from hashserver_aio.errors import BadAnswer, BadContent, FeedChanged, ServerUnreachable

from .clients import Answer, lying, sha256
from .conftest import ServerFactory
from .servers import RunningServer

NDJSON = "application/x-ndjson"


def tells(*records: object, cut: bytes = b"") -> Answer:
    """Make an answer of records; and perhaps of a part of another one."""

    async def answer(request: web.Request) -> web.StreamResponse:
        body = b"".join(json.dumps(record).encode() + b"\n" for record in records)
        return web.Response(body=body + cut, headers={"Content-Type": NDJSON})

    return answer


def item(index: int) -> dict[str, object]:
    """Word an item of the feed."""
    return {"item": [index, [sha256(b"%d" % index), 1]]}


FEED, OTHER = {"feed-id": "a" * 32}, {"feed-id": "b" * 32}


async def test_cut_streams() -> None:
    """A feed without its end was cut: it is gone on with behind what was told, under the same feed-id."""
    async with lying(
        tells(FEED, item(0), item(3), cut=b'{"item": [4'),
        tells(),
        tells({"error": {"code": "Busy", "mesg": "stopping"}}),
        tells(FEED, item(5), {"end": {"offset": 9}}),
    ) as (liar, client):
        assert [index async for index, _ in client.hashes()] == [0, 3, 5]
    asked = [dict(request.query) for request in liar.asked]
    assert asked == [{"offset": "0"}] + [{"offset": "4", "feed-id": "a" * 32}] * 3


async def test_cut_for_good() -> None:
    """A feed that is cut wherever it is asked for is an error, not an end."""
    async with lying(tells(FEED, item(0)), tells(FEED), retries=2) as (liar, client):
        with pytest.raises(ServerUnreachable, match="cut"):
            assert [index async for index, _ in client.hashes()]
        assert len(liar.asked) == 3


async def test_cut_readers() -> None:
    """Items of a buffer are the same each time, so that a reader goes on after a cut; an error ends it."""
    some = [{"item": number} for number in range(6)]
    async with lying(tells(*some[:2]), tells(*some[:5]), tells(*some, {"end": {}})) as (_, client):
        assert [each async for each in client.jsonlines(sha256(b""))] == [0, 1, 2, 3, 4, 5]
    async with lying(tells(some[0], {"error": {"code": "BadDataValu", "mesg": "why"}})) as (liar, client):
        with pytest.raises(BadContent, match="why"):
            assert [each async for each in client.jsonlines(sha256(b""))]
        assert len(liar.asked) == 1
    async with lying(tells(some[0])) as (_, client):
        with pytest.raises(BadAnswer):
            assert [each async for each in client.history(0)]


@pytest.mark.parametrize(
    "bad", [{"item": 7}, {"item": [0, ["x", 1]]}, {"end": {}}, [], {"a": 1, "b": 2}, {"error": "x"}], ids=str
)
async def test_nonsense(bad: object) -> None:
    """A line that makes no sense is told as that."""
    async with lying(tells(FEED, bad)) as (_, client):
        with pytest.raises(BadAnswer):
            assert [each async for each in client.hashes()]


@pytest.fixture
async def server(start_server: ServerFactory, directory: Path) -> AsyncIterator[RunningServer]:
    """A server in a process of its own."""
    yield await asyncio.to_thread(start_server, directory, "--writable")


async def test_follow_a_restart(
    server: RunningServer, start_server: ServerFactory, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A follower outlives its server, and the time that one connection waits: each arrival is told once."""
    monkeypatch.setattr(feed, "POLL_S", 0.3)
    async with Client(server.url, retries=20) as client:
        found: list[int] = []

        async def follow() -> None:
            async for arrival in client.feed(wait=True, timeout=4):
                found.append(arrival.size)

        following = asyncio.create_task(follow())
        for size in (1, 2):
            await client.put(bytes(size))
            await asyncio.sleep(0.7)
        await asyncio.to_thread(server.kill)
        port = ("--writable", "--port", str(server.port))
        await asyncio.to_thread(start_server, directory, *port)
        await client.put(bytes(3))
        await following
    assert found == [1, 2, 3]


async def test_idle(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits, waits for as long as was said after the last arrival, and no longer."""
    monkeypatch.setattr(feed, "POLL_S", 0.2)
    async with Client(server.url) as client:
        await client.put(b"one")
        began_s = asyncio.get_running_loop().time()
        assert len([each async for each in client.hashes(wait=True, timeout=0.7)]) == 1
        assert 0.7 <= asyncio.get_running_loop().time() - began_s < 2.5


@pytest.mark.parametrize("wait", [False, True])
async def test_another_feed(server: RunningServer, directory: Path, wait: bool) -> None:
    """A catalogue that was lost is another feed: who followed the old one is told, and goes no further."""
    async with Client(server.url) as client:
        await client.put(b"one")
        (first,) = [each async for each in client.feed()]
        following = client.feed(1, feed_id=first.feed_id, wait=wait, timeout=5)
        if wait:
            waiting = asyncio.create_task(anext(following))
            await asyncio.sleep(0.4)
        for path in (directory / ".hashserver-aio").glob("catalogue.sqlite*"):
            path.unlink()
        await client.put(b"two")
        with pytest.raises(FeedChanged):
            await (waiting if wait else anext(following))
        assert [each.size async for each in client.feed()] == [3]
