"""Downloads from a real `rd-api`: by what it says of blocks, while it digests them, and without its Redis."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from hashserver_aio import Client
from hashserver_aio.errors import BadArgument, BufferNotFound, HashserverError

from .clients import files_in, sha256, shorten_pauses
from .faulty import faulty
from .rd_api_peer import RealRdApi, running_rd_api
from .test_download import content

BLOCK = 2 * 2**20
LONG = random.Random(9).randbytes(9 * BLOCK + 5)


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody pauses."""
    shorten_pauses(monkeypatch)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """An empty folder."""
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


@pytest.mark.parametrize("size", [0, 1, 2**20, 2**20 + 1, BLOCK - 1, BLOCK, BLOCK + 1, len(LONG)])
async def test_sizes(real_rd_api: RealRdApi, here: Path, size: int) -> None:
    """A file of any size comes whole, with and without what it hashes to."""
    url = real_rd_api.place(f"über {size}.bin", LONG[:size])
    async with Client("http://127.0.0.1:1") as client:
        assert await client.download(url, here / "file") == size
        assert await client.download(f"{url}#sha256={sha256(LONG[:size])}", here / "other") == size
    assert content(here / "file") == content(here / "other") == LONG[:size]
    assert files_in(here) == ["file", "other"]


async def test_spoiled(real_rd_api: RealRdApi, here: Path) -> None:
    """Over a bad line it comes whole, too, though only SHA-1s tell."""
    real_rd_api.place("big.bin", LONG)
    async with Client("http://127.0.0.1:1", retries=20) as client:
        for seed in range(5):
            async with faulty(real_rd_api.url, rate=0.2, seed=seed, stall_s=0.05) as line:
                await client.download(f"{line.url}/big.bin", here / "file")
            assert content(here / "file") == LONG


async def test_absent(real_rd_api: RealRdApi, here: Path) -> None:
    """What is not there is not found, and a folder is no file."""
    real_rd_api.place("folder/file", b"x")
    async with Client("http://127.0.0.1:1") as client:
        for path in ("nothing", "folder"):
            with pytest.raises(BufferNotFound):
                await client.download(f"{real_rd_api.url}/{path}", here / "file")
    assert files_in(here) == []


async def test_changed(real_rd_api: RealRdApi, here: Path) -> None:
    """What is there of a file that was changed meanwhile is not mixed with the rest of the new one."""
    url = real_rd_api.place("changing.bin", LONG)
    async with Client("http://127.0.0.1:1") as client:
        done = 0

        def progress(now: int, size: int | None) -> None:
            nonlocal done
            if not done and now > 2 * BLOCK:
                done = now
                real_rd_api.place("changing.bin", LONG[::-1])

        try:
            await client.download(url, here / "file", progress=progress)
        except HashserverError:  # which of them depends on what it is doing
            await client.download(url, here / "file")
    assert done and content(here / "file") in (LONG, LONG[::-1])


async def test_without_redis(tmp_path: Path) -> None:
    """Where it knows no digests, the URL has to say what the file hashes to."""
    (tmp_path / "root").mkdir()
    with running_rd_api(tmp_path / "root", has_redis=False) as server:
        url = server.place("big.bin", LONG)
        async with Client("http://127.0.0.1:1") as client:
            with pytest.raises(BadArgument, match="#sha256"):
                await client.download(url, tmp_path / "file")
            await client.download(f"{url}#sha256={sha256(LONG)}", tmp_path / "file")
    assert content(tmp_path / "file") == LONG
