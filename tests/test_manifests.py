"""Manifests and proofs over HTTP: what a download from any mirror is checked by as it arrives."""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hashserver_aio import manifests as room

from .conftest import Client, ClientFactory
from .manifests import BLOCK, blocks, json_of, manifest_of, name_of, status, status_of, stored
from .peers import lay
from .trees import LEAF, leads, leaves_of

BODY = random.Random(1).randbytes(2 * BLOCK + 3 * LEAF + 5)
ABSENT = "ab" * 32

SIZES = {f"{n}b{by:+}": max(0, n * BLOCK + by) for n in (0, 1, 2) for by in (-1, 0, 1) if n or by >= 0}


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
async def test_manifest(client: Client, size: int) -> None:
    """Size, blocks, leaves and root are told as they are defined, at every edge, and to `rd` its SHA-1s."""
    name = await stored(client, BODY[:size])
    assert await blocks(client, name) == manifest_of(BODY[:size])
    assert await status(client, name) == status_of(BODY[:size])


async def test_block_size(start_client: ClientFactory) -> None:
    """Blocks are as large as the server was told; the root is the same."""
    client = await start_client(block_size=LEAF)
    name = await stored(client, BODY)
    assert await blocks(client, name) == manifest_of(BODY, LEAF)
    assert await status(client, name) == status_of(BODY, LEAF)


@pytest.mark.parametrize("is_seekable", [True, False])
async def test_compressed(client: Client, is_seekable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what is held compressed the plain bytes are meant, also where there is no room for a plain copy."""
    name = name_of(BODY)
    headers = {"Content-Encoding": "gzip"}
    assert (await client.put(f"/{name}", data=io.BytesIO(gzip.compress(BODY)), headers=headers)).status == 200
    if not is_seekable:
        monkeypatch.setattr("hashserver_aio.decoded.MAX_BYTES", 100)
    assert await blocks(client, name) == manifest_of(BODY)
    assert await status(client, name) == status_of(BODY)
    await check_proofs(client, BODY, (0, 31, 32, 63, 64, 67))


async def check_proofs(client: Client, body: bytes, indexes: Any) -> None:
    """Check as a client would: it knows the root, and follows the path by the definition."""
    leaves, manifest = leaves_of(body), manifest_of(body)
    for index in indexes:
        answer = await json_of(await client.get(f"/{name_of(body)}/proof?leaf={index}"))
        leaf, path = base64.b64decode(answer["leaf"]), [bytes.fromhex(each) for each in answer["path"]]
        assert (leaf, answer["leaf_index"]) == (leaves[index], index)
        assert {key: answer[key] for key in manifest if not key.startswith("block")} == {
            key: value for key, value in manifest.items() if not key.startswith("block")
        }
        assert leads(index, len(leaves), leaf, path).hex() == answer["root"]


@pytest.mark.parametrize("size", [1, LEAF, LEAF + 1, BLOCK, BLOCK + 1, len(BODY)])
async def test_proofs(client: Client, size: int) -> None:
    """Of every leaf there is a proof that leads to the root."""
    await stored(client, BODY[:size])
    await check_proofs(client, BODY[:size], range(len(leaves_of(BODY[:size]))))


@pytest.mark.parametrize(
    "query", ["", "?leaf=", "?leaf=-1", "?leaf=x", "?leaf=1", "?leaf=²", "?leaf=" + "9" * 30]
)
async def test_no_such_leaf(client: Client, query: str) -> None:
    """What is no number of a leaf is refused, with a sentence."""
    name = await stored(client, b"one leaf")
    answer = await client.get(f"/{name}/proof{query}")
    assert (answer.status, (await answer.json())["code"]) == (400, "BadArgument")


async def test_empty(client: Client) -> None:
    """Of nothing there is a manifest, and no leaf to prove."""
    name = await stored(client, b"")
    assert (await client.get(f"/{name}/proof?leaf=0")).status == 400


@pytest.mark.parametrize("path", ["blocks", "proof?leaf=0"])
async def test_refused(client: Client, path: str) -> None:
    """What is absent is not found, and what is no name is none."""
    for name, status_code in ((ABSENT, 404), ("nonsense", 400)):
        assert (await client.get(f"/{name}/{path}")).status == status_code


@pytest.mark.parametrize("path", ["blocks", "proof?leaf=0"])
async def test_cached(client: Client, path: str) -> None:
    """Both may be kept for good, by everybody, and need not be sent again to who has them."""
    url = f"/{await stored(client, BODY)}/{path}"
    answer = await client.get(url)
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    etag = answer.headers["ETag"]
    assert (await client.get(url, headers={"If-None-Match": etag})).status == 304
    assert (await client.get(url, headers={"If-None-Match": '"x"'})).status == 200
    assert (await client.get(url, headers={"If-Match": '"x"'})).status == 412
    async with client.head(url) as head:
        assert (head.headers["ETag"], head.headers["Content-Length"]) == (etag, str(len(await answer.read())))


async def test_linked(client: Client) -> None:
    """Whoever gets a buffer is told where its manifest is."""
    name = await stored(client, BODY)
    for method, headers in (("GET", {}), ("HEAD", {}), ("GET", {"Range": "bytes=0-5"})):
        async with client.request(method, f"/{name}", headers=headers) as answer:
            (link,) = answer.links.getall("describedby")
            assert str(link["url"]).endswith(f"{client.port}/{name}/blocks")


async def test_kept(start_client: ClientFactory, reads: list[str]) -> None:
    """Once computed it is told without reading the buffer, also after a restart, while that is there."""
    client = await start_client(allow_delete=True)
    name = await stored(client, BODY)
    assert await blocks(client, name) == manifest_of(BODY)
    assert reads == [name]
    for each in (client, await start_client(allow_delete=True)):
        assert await blocks(each, name) == manifest_of(BODY)
        assert await status(each, name) == status_of(BODY)
        await check_proofs(each, BODY, [0, 67])
    assert reads == [name]
    assert (await client.delete(f"/{name}")).status == 200
    for path in (f"/{name}/blocks", f"/{name}/proof?leaf=0"):
        assert (await client.get(path)).status == 404
    assert not (await status(client, name))["ok"]


async def test_computed_once(client: Client, reads: list[str]) -> None:
    """A thousand ask at once, and it is computed once."""
    name = await stored(client, BODY)
    found = await asyncio.gather(
        *(blocks(client, name) for _ in range(500)), *(status(client, name) for _ in range(500))
    )
    assert found[:500] == [manifest_of(BODY)] * 500
    assert {each["file_size"] for each in found[500:]} == {len(BODY)}
    assert reads == [name]


async def test_foreign_file(start_client: ClientFactory, directory: Path, reads: list[str]) -> None:
    """What another program stored is verified and digested in one pass, also by a server that only reads."""
    lay(directory, BODY)
    await asyncio.sleep(1.1)  # a younger one is not remembered as good
    for number, client in enumerate([await start_client(writable=False), await start_client()], 1):
        assert await blocks(client, name_of(BODY)) == manifest_of(BODY)
        assert await status(client, name_of(BODY)) == status_of(BODY)
        assert reads == [name_of(BODY)] * number


async def test_spoilt_catalogue(start_client: ClientFactory, directory: Path, reads: list[str]) -> None:
    """Where what the catalogue kept was spoilt, that is found by the first proof, and computed anew."""
    client = await start_client()
    name = await stored(client, BODY)
    await blocks(client, name)
    path = directory / ".hashserver-aio" / "catalogue.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE blocks SET roots = ?", (b"x" * 96,))
    for _ in range(2):
        await check_proofs(await start_client(), BODY, [0, 40])
        assert reads == [name] * 2


async def test_too_many_blocks(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A buffer of more blocks than may be told is refused with what to do about it."""
    monkeypatch.setattr(room, "MAX_BLOCKS", 2)
    name = await stored(client, BODY)
    answer = await client.get(f"/{name}/blocks")
    assert answer.status == 413 and "--block-size" in await answer.text()
    assert "--block-size" in (await status(client, name))["msg"]
