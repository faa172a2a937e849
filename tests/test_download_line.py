"""Downloads over a line that spoils answers, and from servers that die: they end whole, at little cost."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from hashserver_aio import Client
from hashserver_aio.client.download.ranges import Source
from hashserver_aio.client.download.telling import Telling

from .clients import files_in, name, shorten_pauses
from .conftest import ServerFactory
from .faulty import Faulty, Kind, faulty
from .peers import lay
from .shelves import BLOCK
from .test_download import content

BODIES = [random.Random(seed).randbytes(3_000_000 + seed) for seed in range(4)]
BLOCKS = -(-len(BODIES[0]) // BLOCK)
STRETCH = 4

AT_ONCE = 8


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little is enough to need many requests, and nobody pauses."""
    monkeypatch.setattr("hashserver_aio.client.download.blocks.STRETCH_BYTES", STRETCH * BLOCK)
    monkeypatch.setattr("hashserver_aio.client.download.ranges.FIRST_BYTES", BLOCK)
    shorten_pauses(monkeypatch)


async def save_all(line: Faulty, folder: Path, count: int, *, retries: int = 5) -> int:
    """Download so many times over a line, a few at a time: how many bytes there were."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def save(number: int) -> int:
        body, path = BODIES[number % len(BODIES)], folder / str(number)
        async with turns, Client(line.url, algorithm="sha3-256", retries=retries) as client:
            await client.download(name(body), path)
        assert content(path) == body
        path.unlink()
        return len(body)

    return sum(await asyncio.gather(*map(save, range(count))))


@pytest.mark.parametrize(
    ("faults_in_100_blocks", "count", "most_again"), [(1, 100, 0.05), (5, 60, 0.25), (20, 40, 2.0)]
)
@pytest.mark.timeout(600)
async def test_spoiled(
    start_server: ServerFactory,
    directory: Path,
    tmp_path: Path,
    faults_in_100_blocks: int,
    count: int,
    most_again: float,
) -> None:
    """Two hundred downloads over lines that cut, stall, garble and refuse all end whole."""
    for body in BODIES:
        lay(directory, body)
    server = start_server(directory, "--block-size", "64K")
    (tmp_path / "here").mkdir()
    rate = faults_in_100_blocks * STRETCH / 100
    async with faulty(server.url, rate=rate, stall_s=0.05) as line:
        size = await save_all(line, tmp_path / "here", count, retries=50)
        assert files_in(tmp_path / "here") == []
        assert len(line.faults) >= 8 and line.faults.total() > count * BLOCKS * faults_in_100_blocks / 200
        told = count * BLOCKS * 100  # what /rd/ says of the blocks, at most
        print(f"{line.body_bytes / size:.4f} of the bytes, {dict(line.faults)}")
        assert line.body_bytes < (1 + most_again) * size + told


async def test_told_too_late(
    start_server: ServerFactory, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a server takes too long to say of blocks is asked again before a download is given up."""
    answers_s = iter([1e-9])
    told_by = Telling._told_by

    async def hurried(self: Telling, source: Source, size: int, patience_s: float | None = None) -> object:
        return await told_by(self, source, size, next(answers_s, patience_s))

    monkeypatch.setattr(Telling, "_told_by", hurried)
    lay(directory, BODIES[0])
    server = start_server(directory, "--block-size", "64K")
    async with (
        faulty(server.url, rate=0.5, kinds=(Kind.CORRUPTED,)) as line,
        Client(line.url, algorithm="sha3-256", retries=50) as client,
    ):
        await client.download(name(BODIES[0]), tmp_path / "file")
        assert content(tmp_path / "file") == BODIES[0] and line.faults.total()


async def test_dies_and_comes_back(start_server: ServerFactory, directory: Path, tmp_path: Path) -> None:
    """A server that dies again and again, and comes back, costs no more than what was on its way."""
    lay(directory, BODIES[0])
    server = start_server(directory, "--block-size", "64K")
    async with faulty(server.url, rate=0) as line, Client(line.url, retries=50) as client:
        deaths = 0

        async def dies() -> None:
            nonlocal deaths
            while deaths < 5:
                before = line.body_bytes
                while line.body_bytes < before + 8 * BLOCK:  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.001)
                await line.die()
                deaths += 1
                await asyncio.sleep(0.05)
                await line.revive()

        death = asyncio.create_task(dies())
        await client.download(name(BODIES[0]), tmp_path / "file")
        death.cancel()
    assert content(tmp_path / "file") == BODIES[0] and deaths >= 2


async def test_two_lines(start_server: ServerFactory, directory: Path, tmp_path: Path) -> None:
    """Of two bad lines each brings what the other one spoils."""
    lay(directory, BODIES[0])
    server = start_server(directory, "--block-size", "64K")
    kinds = (Kind.CORRUPTED, Kind.STALLED)
    async with (
        faulty(server.url, rate=0.5, kinds=kinds, seed=1, stall_s=0.05) as one,
        faulty(server.url, rate=0.5, kinds=kinds, seed=2, stall_s=0.05) as other,
        Client(one.url, algorithm="sha3-256", mirrors=[other.url]) as client,
    ):
        for number in range(5):
            await client.download(name(BODIES[0]), tmp_path / str(number))
            assert content(tmp_path / str(number)) == BODIES[0]
        assert one.faults.total() > 5 and other.faults.total() > 5
