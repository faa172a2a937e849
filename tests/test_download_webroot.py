"""Downloads of files of a web-root: by what their own server says of them, also while it digests them."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer

from hashserver_aio import Client, digesting
from hashserver_aio.errors import BadArgument, HashserverError, NoSuchFile
from hashserver_aio.server.keys import MANIFESTS

from .clients import files_in, shorten_pauses
from .conftest import ClientFactory
from .shelves import Shelf, serving
from .test_download import content

BLOCK = 65536
LONG = random.Random(9).randbytes(40 * BLOCK + 5)


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody pauses."""
    shorten_pauses(monkeypatch)
    monkeypatch.setattr("hashserver_aio.client.download.ranges.FIRST_BYTES", BLOCK)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A web-root with a file."""
    (tmp_path / "root" / "ü b").mkdir(parents=True)
    (tmp_path / "root" / "ü b" / "c d.bin").write_bytes(LONG)
    (tmp_path / "here").mkdir()
    return tmp_path / "root"


def url_of(server: Any) -> str:
    """Name the file to a client."""
    return str(server.make_url("/")) + "%C3%BC%20b/c%20d.bin"


@pytest.mark.parametrize("size", [0, 1, BLOCK, BLOCK + 1, len(LONG)])
async def test_sizes(start_client: ClientFactory, root: Path, tmp_path: Path, size: int) -> None:
    """A file of any size comes whole, whatever it is called."""
    (root / "ü b" / "c d.bin").write_bytes(LONG[:size])
    server = await start_client(web_root=root, block_size=BLOCK)
    async with Client("http://127.0.0.1:1") as client:
        assert await client.download(url_of(server), tmp_path / "here" / "file") == size
    assert content(tmp_path / "here" / "file") == LONG[:size]
    assert files_in(tmp_path / "here") == ["file"]


async def test_while_digesting(
    start_client: ClientFactory, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes while the server has not begun to digest it, and is there once that is done."""
    monkeypatch.setattr(digesting, "AT_ONCE", 1)
    client = await start_client(web_root=root, block_size=BLOCK)
    server = client.server
    assert isinstance(server, TestServer)
    all_came = asyncio.Event()
    async with Client("http://127.0.0.1:1") as ours:
        async with server.app[MANIFESTS].digesting.turn:  # as long as another file has it
            url = url_of(client)
            path = tmp_path / "here" / "file"
            saving = asyncio.create_task(
                ours.download(url, path, progress=lambda now, size: all_came.set() if now == size else None)
            )
            await asyncio.wait_for(all_came.wait(), 20)
            assert not saving.done() and "file" not in files_in(tmp_path / "here")
        assert await saving == len(LONG)
    assert content(path) == LONG


async def test_mirror_is_not_asked(start_client: ClientFactory, root: Path, tmp_path: Path) -> None:
    """A mirror sends the bytes, but what they must be its own server alone says."""
    other = Shelf(LONG[::-1])
    server = await start_client(web_root=root, block_size=BLOCK)
    url = url_of(server)
    async with serving(other), Client("http://127.0.0.1:1", mirrors=[other.url]) as client:
        await client.download(url, tmp_path / "here" / "file")
        assert content(tmp_path / "here" / "file") == LONG
        silent = Shelf(LONG, has_digests=False)
        async with serving(silent):
            with pytest.raises(BadArgument):
                await client.download(f"{silent.url}/file", tmp_path / "here" / "none")
    assert files_in(tmp_path / "here") == ["file"]


async def test_changed(start_client: ClientFactory, root: Path, tmp_path: Path) -> None:
    """A file that is changed while it comes is saved as one of the two, or not at all."""
    server = await start_client(web_root=root, block_size=BLOCK)
    url, path, changed = url_of(server), tmp_path / "here" / "file", LONG[::-1]

    def progress(now: int, size: int | None) -> None:
        if now > len(LONG) // 2:
            (root / "ü b" / "c d.bin").write_bytes(changed)

    async with Client("http://127.0.0.1:1") as client:
        try:
            await client.download(url, path, progress=progress)
        except HashserverError:  # which of them depends on what it is doing
            await client.download(url, path)
        assert content(path) == changed or content(path) == LONG
        with pytest.raises(NoSuchFile):
            await client.download(f"{url}.none", tmp_path / "here" / "none")
