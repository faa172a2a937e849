"""Digests that nobody asked for before: computed once, from the bytes that are served, and kept."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from .axon import API, hashset, refusal, result, sha256
from .conftest import ClientFactory
from .peers import lay
from .test_axon import sha3

BODY = b"a buffer that came by another face" * 10_000


async def test_on_demand_and_kept(
    start_client: ClientFactory, directory: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A buffer of the first face is hashed when its digests are first asked for, and never again."""
    client = await start_client()
    assert (await client.put(f"/{sha3(BODY)}", data=BODY)).status == 200
    path = f"{API}/hashset/{sha256(BODY)}"
    answers = await asyncio.gather(*(client.get(path) for _ in range(20)))
    assert [await result(answer) for answer in answers] == [hashset(BODY)] * 20
    assert reads == [sha3(BODY)]
    restarted = await start_client()
    assert await result(await restarted.get(path)) == hashset(BODY)
    assert reads == [sha3(BODY)]


async def test_young_file(start_client: ClientFactory, directory: Path) -> None:
    """Of a file that another program has just put there the digests are told all the same."""
    lay(directory, BODY)
    client = await start_client()
    assert (await client.get(f"/{sha3(BODY)}")).status == 200
    await asyncio.sleep(1.1)
    assert (await client.get(f"/{sha3(BODY)}")).status == 200
    assert await result(await client.get(f"{API}/hashset/{sha256(BODY)}")) == hashset(BODY)


async def test_rotten(start_client: ClientFactory, directory: Path) -> None:
    """Of a file that rotted no digests are told."""
    client = await start_client()
    await client.put(f"/{sha3(BODY)}", data=BODY)
    path = directory / sha3(BODY)[:2] / sha3(BODY)
    path.chmod(0o644)
    path.write_bytes(b"rotten" + BODY[6:])
    answer = await client.get(f"{API}/hashset/{sha256(BODY)}")
    assert (await refusal(answer))[:2] == (400, "BufferCorrupt")
