"""Downloads from servers that say nonsense, change their minds or their files, or have something else."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from hashserver_aio import Client
from hashserver_aio.client.download import telling
from hashserver_aio.errors import (
    BadAnswer,
    BadArgument,
    ChecksumMismatch,
    FileChanged,
    HashserverError,
    ServerUnreachable,
)

from .clients import LONG, files_in, name, sha256
from .fetches import target
from .shelves import BLOCK, Shelf, make_small, other_at, serving
from .test_download import COUNT, content, saved

HASH = f"#sha256={sha256(LONG)}"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little is enough to need many requests, and nobody pauses."""
    make_small(monkeypatch)


async def test_teller_ends(tmp_path: Path) -> None:
    """A server that says one thing that is wrong, and then no more, does not keep the right file away."""
    shelf, asked = Shelf(LONG, told=other_at(3)), 0
    tell = shelf.tell

    async def once(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        if asked > 1:
            raise web.HTTPNotFound
        return await tell(request)

    shelf.tell = once  # type: ignore[method-assign]
    async with serving(shelf), asyncio.timeout(20):
        await saved(shelf, path=tmp_path / "file")
    assert content(tmp_path / "file") == LONG


async def test_pending_again(tmp_path: Path) -> None:
    """What was told once counts, though the server, or another process of it, begins to digest anew."""
    shelf, asked = Shelf(LONG), 0
    tell = shelf.tell

    async def forgets(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        shelf.pending = COUNT // 2 if asked < 3 else COUNT if asked < 12 else 0
        return await tell(request)

    shelf.tell = forgets  # type: ignore[method-assign]
    async with serving(shelf), Client("http://127.0.0.1:1") as client, asyncio.timeout(20):
        await client.download(f"{shelf.url}/file", tmp_path / "file")
    assert content(tmp_path / "file") == LONG


async def test_pending_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block that is never digested is not waited for for ever: the whole tells, or nobody does."""
    monkeypatch.setattr(telling, "NEWS_S", 0.1)
    shelf = Shelf(LONG, pending=1)
    async with serving(shelf), Client(shelf.url) as client, asyncio.timeout(20):
        await client.download(name(LONG), tmp_path / "file")
        with pytest.raises(BadAnswer, match="last 1 blocks"):
            await client.download(f"{shelf.url}/file", tmp_path / "other")


async def test_three_versions(tmp_path: Path) -> None:
    """Servers that all have something else are asked once each; then it ends."""
    shelves = [Shelf(other_at(number)) for number in (1, 2, 3)]
    async with serving(*shelves), asyncio.timeout(30):
        with pytest.raises(ChecksumMismatch):
            await saved(*shelves, path=tmp_path / "file", wanted="ab" * 32)
    assert "file" not in files_in(tmp_path) and sum(shelf.sent for shelf in shelves) < 2 * len(LONG)


async def test_mirror_of_another_size(tmp_path: Path) -> None:
    """A mirror that answers first, and has a file of another size, does not keep the right one away."""
    right, wrong, answered = Shelf(LONG), Shelf(LONG + b"more"), False
    send = right.send

    async def late(request: web.Request) -> web.StreamResponse:
        nonlocal answered
        if not answered:
            answered = True
            return web.Response(status=503)
        return await send(request)

    right.send = late  # type: ignore[method-assign]
    async with serving(right, wrong), asyncio.timeout(20):
        await saved(right, wrong, path=tmp_path / "file")
    assert content(tmp_path / "file") == LONG


async def test_a_byte_at_a_time(tmp_path: Path) -> None:
    """A server that sends a byte and hangs up is given up on, and a mirror brings the file."""
    shelf, good, asked = Shelf(LONG), Shelf(LONG), 0

    async def drips(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        first, end = request.http_range.start or 0, request.http_range.stop
        answer = web.StreamResponse(
            status=206, headers={"Content-Range": f"bytes {first}-{end - 1}/{len(LONG)}"}
        )
        answer.content_length = end - first
        await answer.prepare(request)
        await answer.write(LONG[first:end] if asked == 1 else LONG[first : first + 1])
        if asked > 1:
            assert request.transport is not None
            request.transport.close()
        return answer

    shelf.send = drips  # type: ignore[method-assign]
    async with serving(shelf, good), asyncio.timeout(20):
        with pytest.raises(ServerUnreachable):
            await saved(shelf, path=tmp_path / "alone")
        assert asked < 60
        asked = 0
        await saved(shelf, good, path=tmp_path / "file")
    assert content(tmp_path / "file") == LONG


@pytest.mark.parametrize("size", [10**14, 10**18, 10**30])
async def test_huge_sizes(tmp_path: Path, size: int) -> None:
    """A size that no disk has is refused, and costs no memory."""

    async def boasts(request: web.Request) -> web.StreamResponse:
        return web.Response(
            status=206, body=LONG[:BLOCK], headers={"Content-Range": f"bytes 0-{BLOCK - 1}/{size}"}
        )

    async with target({"/{path:.*}": boasts}) as url, Client("http://127.0.0.1:1") as client:
        with pytest.raises(HashserverError):
            await client.download(f"{url}/file{HASH}", tmp_path / "file")
    assert files_in(tmp_path) == []


def listing(size: Any, *blocks: Any) -> bytes:
    """Word what a server may say of blocks."""
    return json.dumps({"ok": True, "file_size": size, "blocks": blocks}).encode()


SHA1 = "0" * 40


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"[" * 100_000,
        b"[]," * 30_000_000,
        b'{"ok": true}',
        listing(len(LONG)),
        listing(float(len(LONG)), [0, 0, len(LONG) - 1, SHA1]),
        listing(True, [0, 0, 0, SHA1]),
        listing(len(LONG), [0, 0, len(LONG) - 1.0, SHA1]),
        listing(len(LONG), *([number, number, number, SHA1] for number in range(100))),
        listing(len(LONG), [0, 0, len(LONG) - 1, "g" * 40]),
        listing(len(LONG), [0, 0, len(LONG) - 1, "00"]),
        listing(len(LONG), [0, -1, len(LONG) - 2, SHA1]),
        listing(10**400, [0, 0, 10**400 - 1, SHA1]),
    ],
    ids=range(13),
)
async def test_nonsense_of_blocks(tmp_path: Path, said: bytes) -> None:
    """Nonsense about the blocks is none of them, and is never taken for an error of the file."""
    shelf = Shelf(LONG)

    async def tells(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        answer.content_length = len(said)
        await answer.prepare(request)
        await answer.write(said)
        return answer

    shelf.tell = tells  # type: ignore[method-assign,assignment]
    async with serving(shelf), Client(shelf.url) as client, asyncio.timeout(30):
        await client.download(name(LONG), tmp_path / "file")
        with pytest.raises((BadAnswer, BadArgument)):
            await client.download(f"{shelf.url}/file", tmp_path / "other")
    assert content(tmp_path / "file") == LONG and files_in(tmp_path) == ["file"]


async def test_replaced_on_the_server(tmp_path: Path) -> None:
    """A file that is replaced while it comes is told to have changed, whatever its size is now."""
    for body in (other_at(*range(COUNT)), LONG + b"more"):
        shelf, new = Shelf(LONG), body

        def replaces(number: int, block: bytes, shelf: Shelf = shelf, new: bytes = new) -> bytes:
            if number > COUNT // 2:
                shelf.body = new
            return block

        shelf.spoil = replaces
        async with serving(shelf), Client("http://127.0.0.1:1") as client, asyncio.timeout(30):
            with pytest.raises((FileChanged, ChecksumMismatch, BadAnswer), match="chang"):
                await client.download(f"{shelf.url}/file", tmp_path / "file")
            await client.download(f"{shelf.url}/file", tmp_path / "file")
        assert content(tmp_path / "file") == body


async def test_secrets_of_urls(tmp_path: Path) -> None:
    """Credentials and the query of a URL stand in no file and no error, and go to no mirror."""
    shelf, mirror, silent = Shelf(LONG, pending=1), Shelf(LONG), Shelf(LONG, has_digests=False)
    async with serving(shelf, mirror, silent), Client("http://127.0.0.1:1", mirrors=[mirror.url]) as client:
        secret = shelf.url.replace("http://", "http://me:s3cret@")
        saving = asyncio.create_task(client.download(f"{secret}/file", tmp_path / "file"))
        while not files_in(tmp_path)[1:]:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
        saving.cancel()
        await asyncio.gather(saving, return_exceptions=True)
        assert b"s3cret" not in content(tmp_path / "file.part.state")
        for wanted in (f"{silent.url}/file", f"{silent.url}/{'ab' * 32}?key=s3cret"):
            with pytest.raises(HashserverError) as failure:
                await client.download(wanted.replace("http://", "http://me:s3cret@"), tmp_path / "none")
            assert "s3cret" not in str(failure.value)
        await client.download(f"{silent.url}/file?key=s3cret{HASH}", tmp_path / "asked")
        assert not any("s3cret" in str(each) for each in mirror.headers) and mirror.sent
