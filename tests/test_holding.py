"""What a node answers its server: buffers placed, given back, proved and removed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]  # it has none
import pytest

from hashserver_aio import Settings, create_app
from hashserver_aio.blocks import BlockDigester
from hashserver_aio.blocks.merkle import LEAF_BYTES, Root, root_of_path
from hashserver_aio.checksums import Algorithm, new_hash
from hashserver_aio.nodes.audits import LEAVES_AGAIN
from hashserver_aio.nodes.keys import identity_text, is_signed
from hashserver_aio.server.holding import leaves
from hashserver_aio.settings import Holding

from .conftest import ClientFactory
from .nodes import Asker, Overseer, asker_of, overseeing
from .routes import NODE_OPEN, NODE_ROUTES, ROUTES, template_of

SMALL = b"placed" * 100
LONG = os.urandom(5 * 2**20 + 12_345)
"""81 leaves in three blocks; more than a turn of hashing."""


def path_of(body: bytes) -> str:
    """Name the path of a placed buffer."""
    return f"/api/node/buffers/{hashlib.sha3_256(body).hexdigest()}"


def root_of(body: bytes) -> bytes:
    """Compute what a buffer is audited by."""
    digester = BlockDigester(Algorithm.SHA3_256, LEAF_BYTES)
    digester.update(body)
    return digester.finish().root


@pytest.fixture
async def overseer() -> AsyncIterator[Overseer]:
    """A server of nodes."""
    async with overseeing(Overseer()) as overseer:
        yield overseer


@pytest.fixture
async def asker(overseer: Overseer, start_client: ClientFactory, directory: Path) -> Asker:
    """The server of a node, which has registered."""
    asker, _ = await asker_of(overseer, start_client, directory)
    return asker


def test_routes(tmp_path: Path) -> None:
    """A node has its own face and nothing else that tells of buffers: no ordinary route, no fast path."""
    holding = Holding(server="http://127.0.0.1:1", key=tmp_path / "key")
    app = create_app(Settings(directory=tmp_path, writable=True, holding=holding))
    routes = {(route.method, route.resource.canonical) for route in app.router.routes() if route.resource}
    wanted = {(method, template_of(path)) for method, path in (*NODE_ROUTES, *NODE_OPEN)}
    assert routes == wanted | {("HEAD", path) for method, path in NODE_OPEN}


async def test_nothing_else_is_served(
    overseer: Overseer, start_client: ClientFactory, directory: Path
) -> None:
    """Whoever is not the server gets no placed buffer, by whatever path an ordinary server has."""
    asker, client = await asker_of(overseer, start_client, directory)
    answer, _ = await asker.ask("PUT", path_of(SMALL), SMALL)
    assert answer.status == 200
    for _ in range(2):  # on a connection that a fast path would look at from then on
        assert (await asker.ask("GET", path_of(SMALL)))[1] == SMALL
    name = path_of(SMALL).rpartition("/")[2]
    for method, path in [*ROUTES, ("GET", f"/{name}"), ("GET", f"/rd/{name}"), ("HEAD", f"/{name}")]:
        if (method, path) in NODE_OPEN:
            continue
        async with client.request(method, path) as refused:
            assert refused.status in (404, 405), path
            assert SMALL not in await refused.read()
    for _, path in NODE_OPEN:
        async with client.get(path) as told:
            assert told.status == 200


async def test_identity(asker: Asker) -> None:
    """A node proves to its server who it is, by signing what nobody could know before."""
    nonce = os.urandom(16)
    answer, body = await asker.ask("GET", f"/api/node/identity?nonce={nonce.hex()}")
    told = json.loads(body)
    assert (answer.status, bytes.fromhex(told["key"])) == (200, asker.node)
    text = identity_text(asker.overseer.pair.public, nonce)
    assert is_signed(asker.node, bytes.fromhex(told["proof"]), text)
    for bad in ("", "00", "g" * 32, "0" * 33):
        answer, body = await asker.ask("GET", f"/api/node/identity?nonce={bad}")
        assert (answer.status, json.loads(body)["error"]) == (400, "BadArgument")


@pytest.mark.parametrize("body", [b"", SMALL, LONG], ids=["empty", "small", "long"])
async def test_placed(asker: Asker, body: bytes) -> None:
    """A placed buffer comes back as it was; a second time nothing is stored; it goes when it is to."""
    path = path_of(body)
    assert (await asker.ask("GET", path))[0].status == 404
    for status in (200, 201):
        answer, told = await asker.ask("PUT", path, body)
        assert answer.status == status
        assert json.loads(told) == {"root": root_of(body).hex(), "size": len(body)}
    answer, given = await asker.ask("GET", path)
    assert (answer.status, given) == (200, body)
    assert answer.headers["Cache-Control"] == "no-store"
    if body:
        answer, given = await asker.ask("GET", path, Range="bytes=1-9")
        assert (answer.status, given) == (206, body[1:10])
    for _ in range(2):
        assert (await asker.ask("DELETE", path))[0].status == 200
        assert (await asker.ask("GET", path))[0].status == 404


@pytest.mark.parametrize("body", [b"", SMALL, LONG[: 2 * LEAF_BYTES], LONG], ids=len)
async def test_leaves(asker: Asker, body: bytes) -> None:
    """The list of leaves leads to the root that was told, and its length is known before it comes."""
    answer, told = await asker.ask("PUT", path_of(body), body)
    answer, leaves = await asker.ask("GET", f"{path_of(body)}/leaves")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/octet-stream")
    assert int(answer.headers["Content-Length"]) == len(leaves) == -(-len(body) // LEAF_BYTES) * 32
    root = Root(new_hash(Algorithm.SHA3_256))
    for at in range(0, len(leaves), 32):
        root.add(leaves[at : at + 32])
    assert root.digest().hex() == json.loads(told)["root"]
    assert (await asker.ask("GET", f"{path_of(b'absent')}/leaves"))[0].status == 404


async def test_proofs(asker: Asker) -> None:
    """A node answers a challenge with the leaves that were asked for, in order, and paths to the root."""
    await asker.ask("PUT", path_of(LONG), LONG)
    wanted = [80, 0, 33, 33]
    answer, packed = await asker.ask("GET", f"{path_of(LONG)}/proofs?leaves={','.join(map(str, wanted))}")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/msgpack")
    new, count = new_hash(Algorithm.SHA3_256), -(-len(LONG) // LEAF_BYTES)
    found: list[Any] = msgpack.unpackb(packed)
    for index, (at, leaf, path) in zip(wanted, found, strict=True):
        assert at == index and leaf == LONG[at * LEAF_BYTES : (at + 1) * LEAF_BYTES]
        assert root_of_path(new, new(b"\x00" + leaf).digest(), at, count, path) == root_of(LONG)
    too_many = ",".join(["0"] * (2 * LEAVES_AGAIN + 1))
    for bad in ("x", ",", "-1", "81", "1,,2", "9" * 19, "%C2%B2", too_many):
        answer, body = await asker.ask("GET", f"{path_of(LONG)}/proofs?leaves={bad}")
        assert (answer.status, json.loads(body)["error"]) == (400, "BadArgument"), bad
    assert (await asker.ask("GET", f"{path_of(LONG)}/proofs"))[0].status == 400
    answer, _ = await asker.ask("GET", f"{path_of(LONG)}/proofs?leaves={too_many[:-2]}")
    assert answer.status == 200
    await asker.ask("PUT", path_of(b""), b"")
    answer, packed = await asker.ask("GET", f"{path_of(b'')}/proofs?leaves=")
    assert (answer.status, msgpack.unpackb(packed)) == (200, [])
    assert (await asker.ask("GET", f"{path_of(b'absent')}/proofs?leaves="))[0].status == 404
    assert (await asker.ask("GET", f"{path_of(b'absent')}/proofs?leaves=0"))[0].status == 404


@pytest.mark.parametrize("what", ["leaves", "proofs?leaves=0"])
async def test_turns(asker: Asker, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """A few are answered with leaves at a time, as each takes memory; others wait, or come again."""
    path = f"/api/node/buffers/{hashlib.sha3_256(b'some').hexdigest()}"
    await asker.ask("PUT", path, b"some")
    monkeypatch.setattr(leaves, "AT_ONCE", 0)
    monkeypatch.setattr(leaves, "MAX_WAITING", 0)
    answer, told = await asker.ask("GET", f"{path}/{what}")
    assert (answer.status, json.loads(told)["error"]) == (503, "Busy")
    monkeypatch.setattr(leaves, "MAX_WAITING", 1)
    for _ in range(6):  # more than there are turns
        assert (await asker.ask("GET", f"{path}/{what}"))[0].status == 200


async def test_wrong_bytes(asker: Asker) -> None:
    """Bytes that are not what they are called, or not what was signed, are not held, and that is said."""
    answer, body = await asker.ask("PUT", path_of(SMALL), b"other")
    assert (answer.status, json.loads(body)["error"]) == (400, "ChecksumMismatch")
    headers = asker.overseer.headers(asker.node, "PUT", path_of(SMALL), b"signed")
    answer, body = await asker.send("PUT", path_of(SMALL), SMALL, headers)
    assert (answer.status, json.loads(body)["error"]) == (400, "DigestMismatch")
    answer, body = await asker.ask("PUT", path_of(SMALL), SMALL, Content_Encoding="gzip")
    assert (answer.status, json.loads(body)["error"]) == (415, "UnknownEncoding")
    answer, body = await asker.ask("PUT", "/api/node/buffers/xyz", SMALL)
    assert (answer.status, json.loads(body)["error"]) == (400, "BadChecksum")
    assert (await asker.ask("GET", path_of(SMALL)))[0].status == 404


async def test_length_is_told(asker: Asker) -> None:
    """A body of which nobody knows how long it will be is refused: it could fill the disk."""

    async def pieces() -> AsyncIterator[bytes]:
        yield SMALL

    headers = asker.overseer.headers(asker.node, "PUT", path_of(SMALL), SMALL)
    url = asker.url + path_of(SMALL)
    async with asker.session.put(url, data=pieces(), headers=headers) as answer:
        assert (answer.status, (await answer.json())["error"]) == (400, "BadBody")


async def test_capacity(overseer: Overseer, start_client: ClientFactory, directory: Path) -> None:
    """A node holds no more than it was told to, tells how much that is, and has room again when asked to."""
    asker, _ = await asker_of(overseer, start_client, directory, capacity=1000)
    assert (await overseer.hears("register"))["capacity"] == 1000
    assert (await overseer.hears("ping"))["capacity"] == 1000
    assert (await asker.ask("PUT", path_of(SMALL), SMALL))[0].status == 200
    other = b"x" * 401
    answer, body = await asker.ask("PUT", path_of(other), other)
    assert (answer.status, json.loads(body)["error"]) == (507, "LimitReached")
    assert "--capacity" in json.loads(body)["message"]
    assert (await asker.ask("DELETE", path_of(SMALL)))[0].status == 200
    assert (await asker.ask("PUT", path_of(other), other))[0].status == 200


async def test_same_directory(
    asker: Asker, directory: Path, start_client: ClientFactory, overseer: Overseer
) -> None:
    """What a node holds lies there as in any directory: an ordinary server can serve it."""
    await asker.ask("PUT", path_of(LONG), LONG)
    ordinary = await start_client(writable=False)
    async with ordinary.get("/" + path_of(LONG).rpartition("/")[2]) as answer:
        assert (answer.status, await answer.read()) == (200, LONG)
    async with ordinary.get("/api/server") as answer:
        assert (await answer.json())["layout"] == "prefix"


async def test_corrupt(asker: Asker, directory: Path) -> None:
    """A buffer that rotted is given to nobody and proved by nobody; placed anew it is good again."""
    await asker.ask("PUT", path_of(SMALL), SMALL)
    name = path_of(SMALL).rpartition("/")[2]
    file = directory / name[:2] / name
    file.chmod(0o600)
    file.write_bytes(b"x" * len(SMALL))
    for path in (path_of(SMALL), f"{path_of(SMALL)}/leaves", f"{path_of(SMALL)}/proofs?leaves=0"):
        answer, body = await asker.ask("GET", path)
        assert (answer.status, json.loads(body)["error"]) in ((400, "BufferCorrupt"), (404, "BufferNotFound"))
    assert (await asker.ask("PUT", path_of(SMALL), SMALL))[0].status == 200
    assert (await asker.ask("GET", path_of(SMALL)))[1] == SMALL
