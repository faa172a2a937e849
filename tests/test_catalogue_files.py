"""What files that are no buffers hash to, as every catalogue keeps it."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from hashserver_aio.catalogue import Catalogue, Digested, manifest_rows, memory
from hashserver_aio.catalogue.memory import MemoryCatalogue
from hashserver_aio.catalogue.sqlite import SqliteCatalogue
from hashserver_aio.store import Identity

from .catalogues import name
from .test_catalogue_manifests import SIZE, manifest_of


def digested(number: int, *, mtime_ns: int = 7, block_size: int = SIZE) -> Digested:
    """Make what a file hashes to, all different."""
    identity = Identity(number + 5, mtime_ns, 8, 9)
    return Digested(identity, name(number), manifest_of(number, block_size=block_size))


def opened(path: Path) -> SqliteCatalogue:
    """Open a catalogue in a file."""
    return SqliteCatalogue(str(path), lambda: None, fsync=True)


@pytest.fixture(params=["memory", "sqlite"])
async def catalogue(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Catalogue]:
    """A catalogue of each kind."""
    catalogue = MemoryCatalogue() if request.param == "memory" else opened(tmp_path / "catalogue.sqlite")
    yield catalogue
    await catalogue.close()


async def test_kept(catalogue: Catalogue) -> None:
    """It is kept by device, inode and size of blocks, to the last bit."""
    assert catalogue.digested((1, 1), SIZE) is None
    for device in (1, 2):
        for inode in (1, 2):
            await catalogue.keep_digested((device, inode), digested(10 * device + inode))
    await catalogue.keep_digested((1, 1), digested(5, block_size=SIZE // 2))
    for device in (1, 2):
        for inode in (1, 2):
            assert catalogue.digested((device, inode), SIZE) == digested(10 * device + inode)
    assert catalogue.digested((1, 1), SIZE // 2) == digested(5, block_size=SIZE // 2)
    assert catalogue.digested((1, 2), SIZE // 2) is None
    assert catalogue.digested((11, 2), SIZE) is None


async def test_changed(catalogue: Catalogue) -> None:
    """What is found of a file that has changed takes the place of what was found before."""
    for mtime_ns in (1, 3, 2):
        await catalogue.keep_digested((1, 1), digested(1, mtime_ns=mtime_ns))
        assert catalogue.digested((1, 1), SIZE) == digested(1, mtime_ns=mtime_ns)


async def test_extremes(catalogue: Catalogue) -> None:
    """Numbers and times may be as large as a file system makes them, or before 1970."""
    file, identity = (2**64 - 1, 2**64 - 2), Identity(0, -(10**18), 15 * 10**18, 2**64 - 2)
    extreme = digested(1)._replace(identity=identity)
    await catalogue.keep_digested(file, extreme)
    assert catalogue.digested(file, SIZE) == extreme


async def numbers_left(catalogue: Catalogue, order: tuple[int, ...]) -> list[int]:
    """Keep what some files hash to, in an order: of which of them it still is there."""
    for number in order:
        await catalogue.keep_digested((1, number), digested(number))
    return [number for number in range(10) if catalogue.digested((1, number), SIZE)]


async def test_bounded(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is oldest makes room; what was kept anew is counted once; the newest always has room."""
    of_one = manifest_rows.ROW_BYTES + 20 + 32 + 32
    monkeypatch.setattr(manifest_rows, "MAX_FILES_BYTES", 3 * of_one)
    if isinstance(catalogue, MemoryCatalogue):
        monkeypatch.setattr(catalogue._digested, "_limit_bytes", 3 * digested(1).memory_bytes)
    assert await numbers_left(catalogue, (1, 2, 3)) == [1, 2, 3]
    assert await numbers_left(catalogue, (1, 1, 1, 1)) == [1, 2, 3]
    # Of those in memory 1 was looked at longest ago, of those in a file 2 was kept longest ago.
    left = [2, 3, 4] if isinstance(catalogue, MemoryCatalogue) else [1, 3, 4]
    assert await numbers_left(catalogue, (4,)) == left
    large = digested(5)._replace(manifest=replace(manifest_of(5), sha1s=bytes(20_000)))
    await catalogue.keep_digested((1, 5), large)
    assert catalogue.digested((1, 5), SIZE) == large
    assert await numbers_left(catalogue, ()) == [5]
    assert await numbers_left(catalogue, (6, 7)) == [6, 7]


async def test_memory_is_bounded() -> None:
    """The catalogue in memory has the bound of its other manifests."""
    assert MemoryCatalogue()._digested._limit_bytes == memory.MAX_MANIFEST_BYTES


async def test_outlives_the_process(tmp_path: Path) -> None:
    """It is there for the next server; the sum that the bound is held by is that of the rows."""
    path = tmp_path / "catalogue.sqlite"
    first, other = opened(path), opened(path)
    for number in (1, 2, 1):
        await first.keep_digested((1, number), digested(number))
    await first.close()
    assert other.digested((1, 1), SIZE) == digested(1)
    await other.close()
    with closing(sqlite3.connect(path)) as connection:
        (total,) = connection.execute("SELECT bytes FROM files_total").fetchone()
        assert connection.execute("SELECT count(*), sum(bytes) FROM files").fetchone() == (2, total)
