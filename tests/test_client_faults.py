"""The client and servers that die, answer late, cut and lie: it never gives, nor keeps, what is wrong."""

from __future__ import annotations

import time
from email.utils import formatdate
from pathlib import Path

import pytest
from aiohttp import web

from hashserver_aio.errors import (
    BadAnswer,
    BufferTooLarge,
    Busy,
    ChecksumMismatch,
    HashserverError,
    ServerUnreachable,
)

from .clients import LONG, Answer, cuts, dies, files_in, lying, name, says, sha256, shorten_pauses

ETAG = f'"{name(LONG)}"'


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The longest that each pause might have been; they are cut short."""
    return shorten_pauses(monkeypatch)


@pytest.mark.parametrize("bad", [dies, *map(says, (429, 502, 503, 504))], ids=lambda bad: bad.__qualname__)
async def test_tried_again(bad: Answer, pauses: list[float]) -> None:
    """What may be over in a moment is tried again, after pauses that double and are drawn by lot."""
    async with lying(bad, bad, bad, says(200, b"hello")) as (liar, client):
        assert await client.get(name(b"hello")) == b"hello"
    assert (len(liar.asked), pauses) == (4, [0.2, 0.4, 0.8])


async def test_given_up(pauses: list[float]) -> None:
    """After five failures in a row it is told what the last one was."""
    for bad, kind in ((dies, ServerUnreachable), (says(503), Busy), (says(502), ServerUnreachable)):
        async with lying(bad) as (liar, client):
            with pytest.raises(kind):
                await client.has(name(b""))
            assert len(liar.asked) == 6
    async with lying(says(503), retries=0) as (liar, client):
        with pytest.raises(Busy):
            await client.put(b"hello")
        assert len(liar.asked) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 500, 507])
async def test_not_tried_again(status: int) -> None:
    """A refusal is a refusal: nobody asks again what was understood."""
    async with lying(says(status)) as (liar, client):
        with pytest.raises(HashserverError):
            await client.get(name(b"hello"))
        assert len(liar.asked) == 1


async def test_not_sent_twice() -> None:
    """What would do something else the second time is sent once."""
    async with lying(dies, says(200)) as (liar, client):
        for ask in (
            client.dels([sha256(b"")]),
            client.wget("http://127.0.0.1/"),
            client.postfiles([], "http://x"),
        ):
            with pytest.raises(ServerUnreachable):
                await ask
            liar.answers[:0] = [dies]
        upload = await client.upload()
        with pytest.raises(ServerUnreachable):
            await upload.write(b"hello")
            await upload.save()
        assert len(liar.asked) == 4


async def test_retry_after() -> None:
    """A server is left alone for as long as it wants; but nobody waits for hours."""

    async def later(request: web.Request) -> web.StreamResponse:
        moment = formatdate(time.time() + 3, usegmt=True)
        return web.Response(status=503, headers={"Retry-After": moment})

    for busy, least_s in (
        (says(503, Retry_After="1"), 1),
        (later, 1),
        (says(503, Retry_After="nonsense"), 0),
    ):
        async with lying(busy, says(200, b"hello")) as (_, client):
            began_s = time.monotonic()
            assert await client.get(name(b"hello")) == b"hello"
            assert time.monotonic() - began_s >= least_s
    async with lying(says(429, Retry_After="3600")) as (liar, client):
        with pytest.raises(Busy):
            await client.get(name(b"hello"))
        assert len(liar.asked) == 1


@pytest.mark.parametrize("etag", [ETAG, 'W/"weak"', ""])
async def test_cuts(etag: str) -> None:
    """A buffer that is cut is gone on with where it was; from a server without ranges it is read over."""
    step = 700_000
    cut = cuts(LONG, step, etag)
    whole = cuts(LONG, len(LONG), etag)
    async with lying(cut, cut, cut, whole) as (liar, client):
        assert b"".join([piece async for piece in client.stream(name(LONG))]) == LONG
    ranges = [request.headers.get("Range") for request in liar.asked]
    assert all(request.headers.get("If-Range") == etag for request in liar.asked[1:] if etag == ETAG)
    if etag != ETAG:
        assert ranges == [None] * 4
    else:
        begins = [int(each.removeprefix("bytes=").removesuffix("-")) for each in ranges[1:] if each]
        assert len(begins) == 3 and begins == sorted(begins) and begins[-1] > step


async def test_cut_for_ever(tmp_path: Path) -> None:
    """As long as there is progress nobody gives up; without any, after five attempts."""
    async with lying(cuts(LONG, 200_000, ETAG)) as (liar, client):
        assert await client.get(name(LONG)) == LONG
        assert len(liar.asked) >= 10
    async with lying(cuts(LONG, 200_000, ETAG), cuts(LONG, 0, ETAG)) as (liar, client):
        with pytest.raises(ServerUnreachable):
            await client.download(name(LONG), tmp_path / "file")
        assert len(liar.asked) == 6 and files_in(tmp_path) == []


@pytest.mark.parametrize("body", [LONG[:-1] + b"!", LONG[1:], LONG + b"!", b"", b"hello"])
async def test_wrong_bytes(tmp_path: Path, body: bytes) -> None:
    """Bytes that do not hash to their name are never given whole, and never saved."""
    async with lying(says(200, body)) as (_, client):
        with pytest.raises(ChecksumMismatch):
            await client.get(name(LONG))
        with pytest.raises((ChecksumMismatch, BadAnswer)):  # it does not send parts of files, either
            await client.download(name(LONG), tmp_path / "file")
        got = bytearray()
        with pytest.raises(ChecksumMismatch):
            async for piece in client.stream(name(LONG)):
                got += piece
        assert len(got) < len(body) or not body
    assert "file" not in files_in(tmp_path)


async def test_another_range() -> None:
    """A server that goes on elsewhere than it was asked to is not believed."""
    async with lying(
        cuts(LONG, 1_000_000, ETAG), says(206, LONG[5:], Content_Range=f"bytes 5-{len(LONG) - 1}/{len(LONG)}")
    ) as (_, client):
        with pytest.raises(BadAnswer):
            await client.get(name(LONG))


async def test_changed_meanwhile() -> None:
    """What is another representation by now is read from its beginning, and only what is missing is taken."""
    async with lying(cuts(LONG, 1_000_000, ETAG), says(200, LONG)) as (_, client):
        assert await client.get(name(LONG)) == LONG


async def test_endless() -> None:
    """A server that never ends is left as soon as there is more than was wanted."""

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(bytes(100_000))

    async with lying(endless) as (_, client):
        with pytest.raises(BufferTooLarge):
            await client.get(name(LONG), limit_bytes=10_000_000)
        with pytest.raises(BadAnswer):
            await client.promise(name(LONG))
