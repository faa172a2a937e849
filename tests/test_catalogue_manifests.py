"""What blocks of buffers hash to, as every catalogue keeps it."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from hashserver_aio.blocks import Manifest
from hashserver_aio.catalogue import Catalogue, memory
from hashserver_aio.catalogue.memory import MemoryCatalogue
from hashserver_aio.catalogue.sqlite import SqliteCatalogue
from hashserver_aio.checksums import Algorithm
from hashserver_aio.store import Form

from .catalogues import arrival, name

SIZE = 2**21


def manifest_of(number: int, *, block_size: int = SIZE) -> Manifest:
    """Make what the blocks of a buffer hash to, all different."""
    sha1s, digests, roots, root = (bytes([number, n]) * 16 for n in range(4))
    return Manifest(Algorithm.SHA3_256, number + 5, block_size, sha1s[:20], digests, roots, root)


@pytest.fixture(params=["memory", "sqlite"])
async def catalogue(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Catalogue]:
    """A catalogue of each kind."""
    path = str(tmp_path / "catalogue.sqlite")
    is_memory = request.param == "memory"
    catalogue = MemoryCatalogue() if is_memory else SqliteCatalogue(path, lambda: None, fsync=True)
    yield catalogue
    await catalogue.close()


async def test_kept(catalogue: Catalogue) -> None:
    """What blocks hash to is kept by their size, of what is listed as held, and as long as it is."""
    await catalogue.keep_manifest(name(1), manifest_of(1))
    assert catalogue.manifest(name(1), SIZE) is None
    for number in (1, 2):
        await catalogue.record(arrival(number))
        await catalogue.keep_manifest(name(number), manifest_of(8))
        await catalogue.keep_manifest(name(number), manifest_of(number))
    assert catalogue.manifest(name(1), SIZE) == manifest_of(1)
    assert catalogue.manifest(name(1), SIZE // 2) is None
    await catalogue.distrust(name(1), "", Form.PLAIN)
    assert catalogue.manifest(name(1), SIZE) == manifest_of(1)  # it is what the name stands for
    await catalogue.forget(name(1), lambda _: True)
    await catalogue.record(arrival(1))
    assert catalogue.manifest(name(1), SIZE) is None
    assert catalogue.manifest(name(2), SIZE) == manifest_of(2)


async def test_bounded_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalogue in memory forgets what was used longest ago."""
    monkeypatch.setattr(memory, "MAX_MANIFEST_BYTES", 3 * manifest_of(1).memory_bytes)
    catalogue = MemoryCatalogue()
    for number in (1, 2, 1, 3, 4):
        await catalogue.record(arrival(number))
        await catalogue.keep_manifest(name(number), manifest_of(number))
    assert [n for n in range(5) if catalogue.manifest(name(n), SIZE)] == [1, 3, 4]


async def test_outlives_the_process(tmp_path: Path) -> None:
    """It is there for the next server, also by two sizes; of what is gone nothing is left."""
    path = str(tmp_path / "catalogue.sqlite")
    first, other = (SqliteCatalogue(path, lambda: None, fsync=True) for _ in range(2))
    await first.record(arrival(1))
    for size in (SIZE, SIZE // 2):
        await first.keep_manifest(name(1), manifest_of(1, block_size=size))
    await first.close()
    for size in (SIZE, SIZE // 2):
        assert other.manifest(name(1), size) == manifest_of(1, block_size=size)
    await other.forget(name(1), lambda _: True)
    await other.close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM blocks").fetchone() == (0,)
