"""What is downloaded: names and URLs, of which servers, as whom; and what keeps a download from beginning."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from hashserver_aio import Client
from hashserver_aio.client.download import ranges
from hashserver_aio.client.downloads import filename_of
from hashserver_aio.errors import (
    BadAnswer,
    BadArgument,
    BadChecksum,
    BufferNotFound,
    BufferTooLarge,
    Busy,
    ChecksumMismatch,
    NoSpace,
)

from .clients import LONG, files_in, name, says, sha256, shorten_pauses
from .conftest import ClientFactory
from .fetches import target
from .shelves import BLOCK, Shelf, serving
from .test_download import content

NAME = name(LONG)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little is enough to need many requests, and nobody pauses."""
    monkeypatch.setattr(ranges, "FIRST_BYTES", BLOCK)
    shorten_pauses(monkeypatch)


@pytest.mark.parametrize("has_digests", [True, False])
@pytest.mark.parametrize("hashed", ["sha3-256", "sha256", "sha-256", "SHA256"])
async def test_url_with_digest(tmp_path: Path, hashed: str, *, has_digests: bool) -> None:
    """A URL that says what it hashes to is saved from any server that sends parts of files."""
    digest = sha256(LONG) if "256" in hashed and "3" not in hashed[:4] else NAME
    shelf = Shelf(LONG, has_digests=has_digests)
    async with serving(shelf), Client("http://127.0.0.1:1") as client:
        await client.download(f"{shelf.url}/a%20b.bin?x=1#{hashed}={digest}", tmp_path / "file")
        await client.download(f"{shelf.url}/a%20b.bin#{hashed}={digest}", tmp_path / "other")
        with pytest.raises(ChecksumMismatch):
            await client.download(f"{shelf.url}/a#{hashed}={'0' * 64}", tmp_path / "wrong")
    assert content(tmp_path / "file") == content(tmp_path / "other") == LONG
    assert files_in(tmp_path) == ["file", "other"]


async def test_url_without_digest(tmp_path: Path) -> None:
    """Of a URL alone the server has to say what its blocks hash to, or nothing is saved."""
    shelf, silent = Shelf(LONG), Shelf(LONG, has_digests=False)
    async with serving(shelf, silent), Client("http://127.0.0.1:1") as client:
        await client.download(f"{shelf.url}/file.bin", tmp_path / "file")
        for body in (LONG, b"short"):
            silent.body = body
            with pytest.raises(BadArgument, match="#sha256="):
                await client.download(f"{silent.url}/file.bin", tmp_path / "none")
    assert content(tmp_path / "file") == LONG and files_in(tmp_path) == ["file"]


async def test_rotten_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only blocks are known, all of them are read back from the disk before it is the file."""
    shelf, write, left = Shelf(LONG), os.pwrite, [1]

    def rots(file: int, data: Any, at: int) -> int:
        if at == 5 * BLOCK and left:
            left.pop()
            return write(file, bytes(len(data)), at)
        return write(file, data, at)

    monkeypatch.setattr(os, "pwrite", rots)
    async with serving(shelf), Client("http://127.0.0.1:1") as client:
        await client.download(f"{shelf.url}/file.bin", tmp_path / "file")
    assert content(tmp_path / "file") == LONG and not left


async def test_urls_of_buffers(start_client: ClientFactory, tmp_path: Path) -> None:
    """URLs of buffers say what they hash to, those by SHA-256 too."""
    server = await start_client(block_size=BLOCK)
    url = str(server.make_url("")).rstrip("/")
    async with Client(url) as client:
        await client.put(LONG)
    async with Client("http://127.0.0.1:1") as client:
        await client.download(f"{url}/{NAME.upper()}", tmp_path / "a")
        await client.download(f"{url}/api/v1/axon/files/by/sha256/{sha256(LONG)}", tmp_path / "b")
        with pytest.raises(BufferNotFound):
            await client.download(f"{url}/{'ab' * 32}", tmp_path / "c")
    async with Client(url) as client:
        await client.download(sha256(LONG), tmp_path / "d", algorithm="sha-256")
    assert {content(tmp_path / each) for each in "abd"} == {LONG} and files_in(tmp_path)[:2] == ["a", "b"]


async def test_url_of_unknown_hash(tmp_path: Path) -> None:
    """Of a server that does not say how it names buffers, the URL has to say it."""
    async with target({"/{path:.*}": says(404)}) as url, Client("http://127.0.0.1:1") as client:
        with pytest.raises(BadArgument, match="#sha3-256="):
            await client.download(f"{url}/{NAME}", tmp_path / "file")


@pytest.mark.parametrize(
    "wanted",
    [
        "http://",
        "http://host",
        "http://host/",
        "http://host/folder/",
        "ftp://host/file",
        "file:///etc/passwd",
        "http://[::1/x",
        "http://host/file#md5=" + "0" * 32,
        "http://host/file#sha256=12",
        "http://host/file#sha256=" + "g" * 64,
        "http://host/file#section",
        "http://host/%2e%2e",
    ],
)
async def test_bad_urls(tmp_path: Path, wanted: str) -> None:
    """What is no URL of a file is refused before anybody is asked."""
    async with Client("http://127.0.0.1:1") as client:
        with pytest.raises(BadArgument):
            await client.download(wanted, tmp_path / "file")
        with pytest.raises(BadChecksum):
            await client.download("nonsense", tmp_path / "file")


def test_filenames() -> None:
    """A file is called as its URL ends, and never leads out of a folder."""
    assert filename_of("http://host/a/b%20c.bin?x#sha256=" + "0" * 64) == "b c.bin"
    assert filename_of("http://host/%C3%BCber") == "über"
    assert filename_of("http://host/a/..%2f..%2fetc%2fpasswd") == ".._.._etc_passwd"
    assert filename_of("AB" * 32) == "ab" * 32


async def test_credentials_stay(tmp_path: Path) -> None:
    """Credentials go to the server that they are for; a mirror gets those in its own URL."""
    shelf, mirror = Shelf(LONG), Shelf(LONG)
    async with serving(shelf, mirror):
        theirs = mirror.url.replace("http://", "http://me:mine@")
        for url in (theirs, mirror.url):
            mirror.headers.clear()
            async with Client(shelf.url, auth="secret-key", mirrors=[url]) as client:
                for wanted in (NAME, f"{shelf.url}/file.bin", f"{mirror.url}/file.bin"):
                    await client.download(wanted, tmp_path / "file")
            assert all(each.get("Authorization") == "Bearer secret-key" for each in shelf.headers)
            assert not any("secret" in str(each) for each in mirror.headers)
            given = {each.get("Authorization") for each in mirror.headers}
            assert given <= {None, "Basic bWU6bWluZQ=="} and (None in given or url is theirs)


async def test_mirror_elsewhere(tmp_path: Path) -> None:
    """A mirror may be the URL of the same file at another place."""
    gone, mirror = Shelf(LONG), Shelf(LONG)
    async with serving(gone, mirror):
        gone.spoil = lambda number, block: None
        async with Client("http://127.0.0.1:1", mirrors=[f"{mirror.url}/other/place/f.bin"]) as client:
            await client.download(f"{gone.url}/f.bin#sha256={sha256(LONG)}", tmp_path / "file")
    assert content(tmp_path / "file") == LONG


async def test_no_parts(tmp_path: Path) -> None:
    """A server that can't send parts of a longer file is told of; a short one it sends."""
    shelf = Shelf(LONG, has_ranges=False)
    async with serving(shelf), Client(shelf.url) as client:
        with pytest.raises(BadAnswer, match="part"):
            await client.download(NAME, tmp_path / "file")
        shelf.body = b"short"
        assert await client.download(name(b"short"), tmp_path / "short") == 5


async def test_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit on the disk is not begun, and it is told how much it lacks."""
    real = os.fstatvfs

    def full(file: int) -> os.statvfs_result:
        told = list(real(file))
        told[4] = 1  # f_bavail
        return os.statvfs_result(told)

    monkeypatch.setattr(os, "fstatvfs", full)
    shelf = Shelf(LONG)
    async with serving(shelf), Client(shelf.url) as client:
        with pytest.raises(NoSpace, match=f"{len(LONG):,}"):
            await client.download(NAME, tmp_path / "file")
        assert len(shelf.ranges) == 1 and "file" not in files_in(tmp_path)


async def test_too_long(tmp_path: Path) -> None:
    """What is longer than is wanted is not begun."""
    shelf = Shelf(LONG)
    async with serving(shelf), Client(shelf.url) as client:
        with pytest.raises(BufferTooLarge):
            await client.download(NAME, tmp_path / "file", limit_bytes=len(LONG) - 1)
        assert await client.download(NAME, tmp_path / "file", limit_bytes=len(LONG)) == len(LONG)
        assert len(shelf.ranges) > 2


async def test_twice_at_once(tmp_path: Path) -> None:
    """Nobody else writes to a file that is being downloaded."""
    going, told = asyncio.Event(), asyncio.Event()
    shelf = Shelf(LONG, hold=going)
    going.set()
    async with serving(shelf), Client(shelf.url) as client:

        def progress(now: int, size: int | None) -> None:
            if not told.is_set():
                going.clear()
                told.set()

        task = asyncio.create_task(client.download(NAME, tmp_path / "file", progress=progress))
        await told.wait()
        other = Shelf(LONG)
        async with serving(other), Client(other.url) as another:
            with pytest.raises(Busy):
                await another.download(NAME, tmp_path / "file")
        going.set()
        assert await task == len(LONG)
    assert content(tmp_path / "file") == LONG


async def test_long_name(tmp_path: Path) -> None:
    """A name so long that no other fits beside it is none too long."""
    shelf, path = Shelf(LONG), tmp_path / ("n" * 255)
    async with serving(shelf), Client(shelf.url) as client:
        await client.download(NAME, path)
    assert content(path) == LONG and len(files_in(tmp_path)) == 1


async def test_what_was_there(tmp_path: Path) -> None:
    """A file that was there is replaced once the new one is whole, and not before; no link is followed."""
    path, elsewhere = tmp_path / "file", tmp_path / "elsewhere"
    elsewhere.write_bytes(b"old")
    path.symlink_to(elsewhere)
    shelf = Shelf(LONG[::-1])
    async with serving(shelf), Client(shelf.url) as client:
        with pytest.raises(ChecksumMismatch):
            await client.download(NAME, path)
        assert content(path) == b"old"
        shelf.body = LONG
        await client.download(NAME, path)
    assert (content(path), content(elsewhere), path.is_symlink()) == (LONG, b"old", False)
