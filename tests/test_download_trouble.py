"""Downloads in trouble with the disk: parts that are taken away or are something else, writes that hang."""

from __future__ import annotations

import errno
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from hashserver_aio import Client
from hashserver_aio.client.download import fetching, part
from hashserver_aio.client.download.part import Part
from hashserver_aio.errors import (
    Busy,
    NotPermitted,
    ServerUnreachable,
)

from .clients import LONG, files_in, name
from .shelves import BLOCK, Shelf, make_small, other_at, serving
from .test_download import COUNT, content, saved


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little is enough to need many requests, and nobody pauses."""
    make_small(monkeypatch)


@pytest.fixture
async def half(tmp_path: Path) -> Path:
    """A file of which half is there, and its state."""
    shelf = Shelf(LONG, spoil=lambda number, block: None if number > COUNT // 2 else block)
    async with serving(shelf):
        with pytest.raises(ServerUnreachable):
            await saved(shelf, path=tmp_path / "file")
    return tmp_path / "file"


# -- the part ----------------------------------------------------------------------------------------


def test_part_taken_away(tmp_path: Path) -> None:
    """What somebody puts in the place of a part is never taken for it, nor removed as it."""
    one, two = (Part(tmp_path / "file", "x", len(LONG)) for _ in range(2))
    one.open()
    one.write_all(LONG)
    os.unlink(tmp_path / "file.part")
    two.open()
    for end in (one.finish, one.forget):
        with pytest.raises(Busy):
            end()
    assert files_in(tmp_path) == ["file.part"]
    two.write_all(LONG)
    two.finish()
    one.close()
    two.close()
    assert content(tmp_path / "file") == LONG


@pytest.mark.parametrize("has_digests", [True, False])
async def test_spoiled_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_digests: bool
) -> None:
    """What is not on the disk as it came costs its block, and no more."""
    write, left = os.pwrite, [1]

    def rots(file: int, data: Any, at: int) -> int:
        if at == 8 * BLOCK and left:
            left.pop()
            return write(file, bytes(len(data)), at)
        return write(file, data, at)

    monkeypatch.setattr(os, "pwrite", rots)
    shelf = Shelf(LONG, has_digests=has_digests)
    async with serving(shelf):
        await saved(shelf, path=tmp_path / "file")
    assert content(tmp_path / "file") == LONG and not left
    assert shelf.sent <= len(LONG) + (BLOCK if has_digests else 2**21)


@pytest.mark.parametrize("kind", ["folder", "link", "pipe", "hard link", "another's"])
async def test_part_is_something_else(tmp_path: Path, kind: str) -> None:
    """What lies where the part should be, and is no file of one's own, is not written to."""
    part, precious = tmp_path / "file.part", tmp_path / "precious"
    precious.write_bytes(b"precious")
    match kind:
        case "folder":
            part.mkdir()
        case "link":
            part.symlink_to(precious)
        case "pipe":
            os.mkfifo(part)
        case "hard link":
            part.hardlink_to(precious)
        case _:
            if os.geteuid():
                pytest.skip("needs to be root")
            part.write_bytes(b"")
            os.chown(part, 12345, 12345)
    shelf = Shelf(LONG)
    async with serving(shelf):
        with pytest.raises((NotPermitted, OSError)):
            await saved(shelf, path=tmp_path / "file")
    assert content(precious) == b"precious" and not (tmp_path / "file").exists()


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "infinite"])
async def test_state_is_something_else(half: Path, kind: str) -> None:
    """A state that is none is not read: neither a link to elsewhere, nor a pipe, nor nonsense."""
    state = half.with_name("file.part.state")
    header, *lines = content(state).decode().split("\n")
    state.rename(half.with_name("elsewhere"))
    match kind:
        case "link":
            state.symlink_to(half.with_name("elsewhere"))
        case "pipe":
            os.mkfifo(state)
        case "folder":
            state.mkdir()
        case _:
            told = json.loads(header) | {"block_size": float("inf")}
            state.write_text("\n".join((json.dumps(told), *lines)))
    shelf = Shelf(LONG)
    async with serving(shelf):
        if kind == "folder":
            with pytest.raises(OSError, match="directory"):
                await saved(shelf, path=half)
            return
        await saved(shelf, path=half)
    assert content(half) == LONG and shelf.sent == len(LONG)


async def test_file_is_a_folder(tmp_path: Path) -> None:
    """That the file can't be where it should is told before it is fetched."""
    (tmp_path / "file").mkdir()
    shelf = Shelf(LONG)
    async with serving(shelf):
        with pytest.raises(IsADirectoryError):
            await saved(shelf, path=tmp_path / "file")
    assert shelf.sent == BLOCK and files_in(tmp_path) == ["file"]


async def test_there_already(tmp_path: Path) -> None:
    """A file that is there and right is not fetched again; one that is wrong is."""
    shelf, path = Shelf(LONG), tmp_path / "file"
    path.write_bytes(LONG)
    async with serving(shelf):
        await saved(shelf, path=path)
        assert shelf.sent == BLOCK
        path.write_bytes(other_at(7))
        await saved(shelf, path=path)
    assert content(path) == LONG and files_in(tmp_path) == ["file"]


async def test_disk_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that hangs is waited for: it never lands in a file that is finished."""
    monkeypatch.setattr(fetching, "SLOW_S", 0.02)
    write, hangs, left = os.pwrite, threading.Event(), [1]

    def stalled(file: int, data: Any, at: int) -> int:
        if at == 8 * BLOCK and left:
            left.pop()
            hangs.wait(0.5)
        return write(file, data, at)

    monkeypatch.setattr(os, "pwrite", stalled)
    shelf, told = Shelf(LONG, has_digests=False), list[int]()
    async with serving(shelf), Client(shelf.url) as client:
        await client.download(name(LONG), tmp_path / "file", progress=lambda now, size: told.append(now))
    assert content(tmp_path / "file") == LONG and not left
    assert shelf.sent <= len(LONG) + 2 * BLOCK and max(told) == len(LONG)


async def test_disk_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the disk says of any sync counts: it says it once."""

    def fails(file: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(part, "SYNC_BYTES", len(LONG) // 2)
    monkeypatch.setattr(os, "fdatasync", fails)
    shelf = Shelf(LONG)
    async with serving(shelf):
        with pytest.raises(OSError, match="Input/output"):
            await saved(shelf, path=tmp_path / "file")
        assert "file" not in files_in(tmp_path)
        monkeypatch.undo()
        await saved(shelf, path=tmp_path / "file")
    assert content(tmp_path / "file") == LONG
