"""What tests of manifests share: what they must say, and a store that is read a turn at a time."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import ClientResponse

from hashserver_aio.store import Pace, Sink, StoredFile
from hashserver_aio.store.directory import DirectoryStore
from hashserver_aio.store.streaming import feed
from hashserver_aio.store.threads import Threads

from .conftest import Client
from .trees import leaves_of, mth

BLOCK = 2 * 1024 * 1024
TURN = 4 * 1024 * 1024
"""What is read between two looks at the pace."""


def name_of(body: bytes) -> str:
    """Name a buffer."""
    return hashlib.sha3_256(body).hexdigest()


def blocks_of(body: bytes, block_size: int = BLOCK) -> list[bytes]:
    """Cut a buffer into blocks."""
    return [body[at : at + block_size] for at in range(0, len(body), block_size)]


def manifest_of(body: bytes, block_size: int = BLOCK) -> dict[str, Any]:
    """Word what is to be said of a buffer."""
    blocks = blocks_of(body, block_size)
    return {
        "checksum": name_of(body),
        "size": len(body),
        "algorithm": "sha3-256",
        "leaf_size": 65536,
        "leaf_count": len(leaves_of(body)),
        "root": mth(leaves_of(body)).hex(),
        "block_size": block_size,
        "block_count": len(blocks),
        "blocks": [name_of(block) for block in blocks],
    }


def status_of(body: bytes, block_size: int = BLOCK, known: int | None = None) -> dict[str, Any]:
    """Word what `rd-api` says of a buffer, of which so many blocks are known."""
    blocks = blocks_of(body, block_size)
    known = len(blocks) if known is None else known
    sha1s = [hashlib.sha1(block).hexdigest() for block in blocks]
    firsts = [number * block_size for number in range(len(blocks))]
    return {
        "ok": True,
        "msg": "",
        "path": name_of(body),
        "filepath": name_of(body),
        "file_size": len(body),
        "block_size": f"{block_size // 2**20}MiB" if block_size >= 2**20 else f"{block_size // 2**10}KiB",
        "block_count": len(blocks),
        "blocks": [
            [number, first, first + len(block) - 1, sha1s[number] if number < known else "pending"]
            for number, (first, block) in enumerate(zip(firsts, blocks, strict=True))
        ],
    }


async def stored(client: Client, body: bytes, **headers: str) -> str:
    """Store a buffer: its name."""
    name = name_of(body)
    async with client.put(f"/{name}", data=io.BytesIO(body), headers=headers) as answer:
        assert answer.status in (200, 201)
    return name


async def json_of(answer: ClientResponse) -> Any:
    """Read an answer that must be good."""
    assert answer.status == 200, await answer.text()
    return await answer.json()


async def blocks(client: Client, name: str) -> Any:
    """Ask for a manifest."""
    return await json_of(await client.get(f"/{name}/blocks"))


async def status(client: Client, name: str) -> Any:
    """Ask as `rd` does."""
    return await json_of(await client.get(f"/rd/{name}"))


class Turns:
    """Lets stored files be read a turn at a time, of all servers of this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reads: list[str] = []
        self._may = asyncio.Semaphore(0)
        self._read = asyncio.Event()
        self._hold(monkeypatch)

    def _hold(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ordinary = DirectoryStore.read
        turns = self

        async def read(
            self: DirectoryStore, stored: StoredFile, sink: Sink, pace: Pace | None = None
        ) -> None:
            turns.reads.append(stored.checksum)
            await ordinary(self, stored, sink, turns._pace)

        monkeypatch.setattr(DirectoryStore, "read", read)

    async def _pace(self, size: int) -> None:
        self._read.set()
        await self._may.acquire()

    async def read_one(self) -> None:
        """Wait until the next turn is read."""
        async with asyncio.timeout(10):
            await self._read.wait()
        self._read.clear()

    def go_on(self, turns: int = 1000) -> None:
        """Let so many more turns be read."""
        for _ in range(turns):
            self._may.release()


class FileTurns(Turns):
    """Lets files of the web-root be read a turn at a time."""

    def _hold(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def held(threads: Threads, pieces: Iterator[bytes], sink: Sink, *, pace: Pace) -> None:
            async def held_up(size: int) -> None:
                await self._pace(size)
                await pace(size)

            self.reads.append("a file")
            await feed(threads, pieces, sink, pace=held_up)

        monkeypatch.setattr("hashserver_aio.file_manifests.feed", held)


def file_manifest_of(path: str, body: bytes, block_size: int = BLOCK) -> dict[str, Any]:
    """Word what is to be said of a file, but for its ETag."""
    manifest = manifest_of(body, block_size)
    return manifest | {"path": path, "digest": manifest.pop("checksum")}


def file_status_of(
    path: str, body: bytes, block_size: int = BLOCK, known: int | None = None
) -> dict[str, Any]:
    """Word what `rd-api` says of a file, of which so many blocks are known."""
    return status_of(body, block_size, known) | {"path": path, "filepath": path}


async def file_blocks(client: Client, path: str) -> Any:
    """Ask for a file's manifest: without its ETag, which must be that of the file."""
    manifest = await json_of(await client.get(f"/{path}?blocks"))
    async with client.head(f"/{path}") as head:
        assert manifest.pop("etag") == head.headers["ETag"]
    return manifest


async def file_asked(client: Client, path: str = "/f?blocks") -> asyncio.Task[tuple[int, Any]]:
    """Ask for something that is not there yet: status and answer, later."""

    async def ask() -> tuple[int, Any]:
        async with client.get(path) as answer:
            return answer.status, await answer.json()

    task = asyncio.create_task(ask())
    await asyncio.sleep(0.05)
    return task


async def has_file_blocks(client: Client) -> bool:
    """Tell whether the manifest is there."""
    async with client.get("/f?blocks") as answer:
        return answer.status == 200
