"""Downloads: by parts, each checked as it arrives; what breaks goes on, and nothing wrong is ever saved."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from hashserver_aio import Client
from hashserver_aio.client.download import fetching
from hashserver_aio.errors import (
    ChecksumMismatch,
    ServerUnreachable,
)

from .clients import LONG, files_in, name
from .conftest import ClientFactory
from .peers import lay
from .shelves import BLOCK, Shelf, make_small, serving

COUNT = -(-len(LONG) // BLOCK)
NAME = name(LONG)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little is enough to need many requests, and nobody pauses."""
    make_small(monkeypatch)


def content(path: Path) -> bytes:
    """Read a file."""
    return path.read_bytes()


def wrong(body: bytes) -> bytes:
    """Spoil a block."""
    return body[:-1] + bytes((body[-1] ^ 1,))


async def saved(*shelves: Shelf, path: Path, wanted: str = NAME, **options: Any) -> int:
    """Download from the first of some servers, the others being its mirrors."""
    mirrors = [shelf.url for shelf in shelves[1:]]
    async with Client(shelves[0].url, mirrors=mirrors, **options) as client:
        return await client.download(wanted, path)


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 10 * BLOCK - 1, len(LONG)])
async def test_sizes(start_client: ClientFactory, directory: Path, tmp_path: Path, size: int) -> None:
    """A buffer of any size is saved, by its name or its URL, and nothing else is left."""
    body = LONG[:size]
    lay(directory, body)
    server = await start_client(block_size=BLOCK)
    (tmp_path / "here").mkdir()
    async with Client(str(server.make_url(""))) as client:
        told: list[tuple[int, int | None]] = []
        for wanted in (name(body), f"{client.url}/{name(body)}"):
            path = tmp_path / "here" / "file"
            assert await client.download(wanted, path, progress=lambda *now: told.append(now)) == size
            assert content(path) == body
            assert told[-1] == (size, size) and all(now <= size for now, _ in told)
    assert files_in(tmp_path / "here") == ["file"]


async def test_each_byte_once(tmp_path: Path) -> None:
    """Where nothing goes wrong every byte is asked for once, in several parts."""
    shelf = Shelf(LONG)
    async with serving(shelf):
        await saved(shelf, path=tmp_path / "file")
    assert shelf.sent == len(LONG) and len(shelf.ranges) > 4
    assert content(tmp_path / "file") == LONG


async def test_goes_on(tmp_path: Path) -> None:
    """Who is interrupted goes on with what is not there yet, and not from the start."""
    path, going, is_half = tmp_path / "file", asyncio.Event(), asyncio.Event()
    shelf = Shelf(LONG, hold=going)
    going.set()

    def stops(number: int, block: bytes) -> bytes:
        if number > COUNT // 2 and not is_half.is_set():
            going.clear()
            is_half.set()
        return block

    shelf.spoil = stops
    async with serving(shelf):
        task = asyncio.create_task(saved(shelf, path=path))
        await is_half.wait()
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert files_in(tmp_path) == ["file.part", "file.part.state"]
        there = len((tmp_path / "file.part.state").read_text().splitlines()) - 1
        assert there > COUNT // 4
        shelf.hold, shelf.ranges = None, []
        assert await saved(shelf, path=path) == len(LONG)
    assert shelf.sent <= len(LONG) - (there - 1) * BLOCK
    assert content(path) == LONG and files_in(tmp_path) == ["file"]


@pytest.fixture
async def half(tmp_path: Path) -> Path:
    """A file of which half is there, and its state."""
    shelf = Shelf(LONG, spoil=lambda number, block: None if number > COUNT // 2 else block)
    async with serving(shelf):
        with pytest.raises(ServerUnreachable):
            await saved(shelf, path=tmp_path / "file")
    return tmp_path / "file"


async def test_half(half: Path) -> None:
    """What came before a server died for good is kept; only the rest is asked for, of whoever has it."""
    shelf = Shelf(LONG)
    async with serving(shelf):
        await saved(shelf, path=half)
    assert content(half) == LONG
    assert shelf.sent < 0.6 * len(LONG)


async def test_what_is_there_is_not_believed(half: Path) -> None:
    """A block of before that is not on the disk as it was noted, as after a power cut, is fetched again."""
    with half.with_name("file.part").open("r+b") as file:
        file.seek(3 * BLOCK + 7)
        file.write(b"\0\0\0\0")
    for has_digests in (True, False):
        shelf = Shelf(LONG, has_digests=has_digests)
        async with serving(shelf):
            await saved(shelf, path=half)
        assert content(half) == LONG
        if has_digests:
            assert any(first <= 3 * BLOCK < end for first, end in shelf.ranges)
            assert shelf.sent < 0.65 * len(LONG)


@pytest.mark.parametrize(
    "state",
    [
        b"",
        b"{",
        b"[]\n",
        b"\xff\xfe\n1 2\n",
        b'{"version": 1}\n',
        b'{"version": 2, "what": "x", "size": 1}\n',
    ],
)
async def test_state_is_nonsense(half: Path, state: bytes) -> None:
    """A state that can't be read is none: it begins anew."""
    half.with_name("file.part.state").write_bytes(state)
    shelf = Shelf(LONG)
    async with serving(shelf):
        await saved(shelf, path=half)
    assert content(half) == LONG


async def test_state_of_something_else(half: Path) -> None:
    """What is there of another buffer is none of this one."""
    other = LONG[::-1]
    shelf = Shelf(other)
    async with serving(shelf):
        await saved(shelf, path=half, wanted=name(other))
    assert content(half) == other and shelf.sent == len(other)


async def test_other_blocks(half: Path, start_client: ClientFactory, directory: Path) -> None:
    """What is there counts, too, if the next server cuts the file into other blocks."""
    lay(directory, LONG)
    server = await start_client(block_size=2 * BLOCK)
    told: list[int] = []
    async with Client(str(server.make_url(""))) as client:
        await client.download(NAME, half, progress=lambda now, size: told.append(now))
    assert content(half) == LONG
    assert told[:8] == [2 * BLOCK * number for number in range(1, 9)]  # read from the disk, block by block


async def test_wrong_blocks(tmp_path: Path) -> None:
    """A block that came wrong is fetched again, and nothing else."""
    left = {3, 17, COUNT - 1}

    def spoil(number: int, block: bytes) -> bytes:
        if number in left:
            left.remove(number)
            return wrong(block)
        return block

    shelf = Shelf(LONG, spoil=spoil)
    async with serving(shelf):
        await saved(shelf, path=tmp_path / "file")
    assert content(tmp_path / "file") == LONG and not left
    assert shelf.sent <= len(LONG) + 3 * BLOCK


async def test_cut_in_the_middle(tmp_path: Path) -> None:
    """After a cut it goes on with the byte behind the last one that came."""
    cuts = [5, 20, 30]

    def spoil(number: int, block: bytes) -> bytes | None:
        if number in cuts and len(block) == BLOCK:
            cuts.remove(number)
            return None
        return block

    shelf = Shelf(LONG, spoil=spoil)
    async with serving(shelf):
        await saved(shelf, path=tmp_path / "file")
    assert content(tmp_path / "file") == LONG and not cuts
    again = sum(end - first for first, end in shelf.ranges) - len(LONG)
    assert again < 3 * 4 * BLOCK


async def test_from_mirrors(tmp_path: Path) -> None:
    """A mirror that lies about every block is asked no more, and the file comes from the others."""
    honest, liar = Shelf(LONG), Shelf(LONG, spoil=lambda number, block: wrong(block))
    async with serving(honest, liar):
        await saved(honest, liar, path=tmp_path / "file")
    assert content(tmp_path / "file") == LONG
    assert honest.sent + liar.sent > len(LONG) and liar.sent < len(LONG)


async def test_first_is_gone(tmp_path: Path) -> None:
    """What the server has no more, or never had, a mirror may have."""
    empty = Shelf(b"", spoil=lambda number, block: None)
    mirror = Shelf(LONG)
    async with serving(empty, mirror):
        await saved(empty, mirror, path=tmp_path / "file")
    assert content(tmp_path / "file") == LONG


async def test_lies_about_all(tmp_path: Path) -> None:
    """Who sends another file, and says that its blocks are right, is found out by the whole and by others."""
    other = LONG[:BLOCK] + LONG[BLOCK : 20 * BLOCK][::-1] + LONG[20 * BLOCK :]
    liar, honest = Shelf(other), Shelf(LONG)
    async with serving(liar, honest):
        await saved(liar, honest, path=tmp_path / "file")
        assert content(tmp_path / "file") == LONG
        with pytest.raises(ChecksumMismatch):
            await saved(liar, path=tmp_path / "alone")
    assert files_in(tmp_path) == ["file"]


async def test_garbled_digests(tmp_path: Path) -> None:
    """If what was said of a block was garbled on its way it is asked for again."""
    shelf = Shelf(LONG, told=LONG[: 9 * BLOCK] + wrong(LONG[9 * BLOCK : 10 * BLOCK]) + LONG[10 * BLOCK :])

    def mends(number: int, block: bytes) -> bytes:
        if number == 9 and len([each for each in shelf.ranges if each[0] == 9 * BLOCK]) >= 2:
            shelf.told = None
        return block

    shelf.spoil = mends
    async with serving(shelf):
        await saved(shelf, path=tmp_path / "file")
    assert content(tmp_path / "file") == LONG


async def test_pending(tmp_path: Path) -> None:
    """What blocks hash to may be told while they come: those that came wrong before are fetched again."""
    shelf, left = Shelf(LONG, pending=COUNT - 1), {30}

    def spoil(number: int, block: bytes) -> bytes:
        if number == COUNT - 1:
            shelf.pending = 0
        if number in left:
            left.remove(number)
            return wrong(block)
        return block

    shelf.spoil = spoil
    async with serving(shelf):
        await saved(shelf, path=tmp_path / "file")
    assert content(tmp_path / "file") == LONG and not left
    assert shelf.sent <= len(LONG) + BLOCK


async def test_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block that takes much longer than others do is asked of somebody else."""
    monkeypatch.setattr(fetching, "SLOW_S", 0.2)
    stuck = Shelf(LONG, hold=asyncio.Event(), has_digests=False)
    good = Shelf(LONG)
    async with serving(good, stuck):
        await saved(good, stuck, path=tmp_path / "file")
    assert content(tmp_path / "file") == LONG
