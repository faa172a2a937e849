"""Files of the web-root that change while they are sent: nobody takes a mixture for a file."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import ClientPayloadError

from hashserver_aio.server.sendfile import SLICE_BYTES

from .conftest import Client, ClientFactory

SIZE = 4 * SLICE_BYTES


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A web-root."""
    root = tmp_path / "www"
    root.mkdir()
    return root


@pytest.fixture
async def web(start_client: ClientFactory, root: Path) -> Client:
    """A client of a server with the web-root."""
    return await start_client(web_root=root)


async def in_pieces(client: Client, path: str, headers: dict[str, str]) -> AsyncIterator[bytes]:
    """Get a file slowly enough that most of it is still to be sent after the first piece."""
    async with client.get(path, headers=headers) as answer:
        assert answer.status in (200, 206)
        async for piece in answer.content.iter_chunked(65_536):
            yield piece


def append(path: Path) -> None:
    """Write a byte behind a file's end."""
    with path.open("ab") as file:
        file.write(b"z")


def overwrite(path: Path) -> None:
    """Write a byte in a file's middle."""
    with path.open("rb+") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"z")


CHANGES: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: os.truncate(path, 100),
    "emptied": lambda path: path.write_bytes(b""),
    "written to": overwrite,
    "appended to": append,
}


@pytest.mark.parametrize("how", CHANGES)
@pytest.mark.parametrize("wanted", ["", "bytes=7-", "bytes=0-9,20-"])
async def test_changed_while_sent(web: Client, root: Path, how: str, wanted: str) -> None:
    """Who gets all of a file got it of one file: if it changes meanwhile, the connection ends before that."""
    path = root / "big"
    with path.open("wb") as file:
        file.truncate(6 * SLICE_BYTES)
    before = path.stat().st_mtime_ns
    with pytest.raises(ClientPayloadError):
        received = 0
        async for piece in in_pieces(web, "/big", {"Range": wanted} if wanted else {}):
            received += len(piece)
            if received == len(piece):
                await asyncio.sleep(0.05)
                CHANGES[how](path)
                assert path.stat().st_mtime_ns != before
    async with web.get("/") as answer:  # the server goes on
        assert answer.status == 200


@pytest.mark.parametrize("how", ["replaced", "removed", "renamed"])
async def test_replaced_while_sent(web: Client, root: Path, how: str) -> None:
    """A file that is replaced by a rename, or removed, is sent to its end."""
    body = random.Random(0).randbytes(SIZE)
    (root / "big").write_bytes(body)
    received = bytearray()
    async for piece in in_pieces(web, "/big", {}):
        if not received:
            if how == "replaced":
                (root / "new").write_bytes(b"new")
                (root / "new").replace(root / "big")
            elif how == "removed":
                (root / "big").unlink()
            else:
                (root / "big").rename(root / "bigger")
        received += piece
    assert received == body
