"""What the server has lost comes back from nodes: to who asks for it, and into the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from hashserver_aio.checksums import Checksum
from hashserver_aio.fetching import Allowed
from hashserver_aio.fleet import RescueEnd
from hashserver_aio.nodes.record import Failure
from hashserver_aio.server.keys import BUFFERS

from .axon import API, sha256
from .clients import LONG, name
from .held_nodes import cut_at, flipped_at, placed_of
from .rescues import Server, double, serving

SMALL = b"a small buffer"


def rot(server: Server, body: bytes) -> None:
    """Change a byte of a buffer's file."""
    path = server.path_of(body)
    path.chmod(0o644)
    path.write_bytes(bytes([body[0] ^ 1]) + body[1:])


@pytest.mark.parametrize("body", [b"", b"x", SMALL, LONG[:65536], LONG[:65537], LONG])
async def test_vanished(directory: Path, body: bytes) -> None:
    """A buffer whose file has vanished is served from a node, and stored again."""
    async with serving(directory, double()) as server:
        path = await server.lose(body)
        response = await server.client.get(path)
        assert response.status == 200 and await response.read() == body
        assert response.headers["ETag"] == f'"{name(body)}"'
        await server.settled()
        assert server.has(body) and server.ends == [RescueEnd.RESTORED] and server.told == []
        asked = len(server.nodes[0].asked)
        assert await (await server.client.get(path)).read() == body
        assert len(server.nodes[0].asked) == asked


async def test_corrupt(directory: Path) -> None:
    """A buffer whose file has rotted is served from a node, and its file is put right."""
    async with serving(directory, double()) as server:
        path = await server.place(LONG)
        rot(server, LONG)
        response = await server.client.get(path)
        assert response.status == 200 and await response.read() == LONG
        await server.settled()
        assert server.has(LONG)


@pytest.mark.parametrize(
    "face", [f"/{name(LONG)}", f"{API}/files/by/sha256/{sha256(LONG)}", f"/rd/{name(LONG)}"]
)
async def test_faces(directory: Path, face: str) -> None:
    """Through whatever face it is asked for, it comes back."""
    async with serving(directory, double()) as server:
        await server.lose(LONG)
        response = await server.client.get(face)
        assert response.status == 200
        if "/rd/" not in face:
            assert await response.read() == LONG
        await server.settled()
        assert server.has(LONG)


async def test_found_to_be_lost(directory: Path) -> None:
    """What was found to be lost, as by a scrub, is found by its SHA-256 too; deleted, it is not any more."""
    async with serving(directory, double()) as server:
        path = await server.lose(LONG)
        placed = placed_of(LONG)
        assert placed.root is not None
        await server.rows.keep_root(placed.checksum, placed.root, bytes.fromhex(sha256(LONG)))
        await server.app[BUFFERS]._note_absence(placed.checksum)
        by_sha256 = f"{API}/files/by/sha256/{sha256(LONG)}"
        assert await (await server.client.get(by_sha256)).read() == LONG
        assert (await server.client.delete(path)).status == 200
        assert (await server.client.get(by_sha256)).status == 404


async def test_not_deleted(directory: Path, tmp_path: Path) -> None:
    """What can't be deleted, as it lies in a directory that is only read, is to be on nodes still."""
    extra = tmp_path / "extra"
    extra.mkdir()
    (extra / name(LONG)).write_bytes(LONG)
    async with serving(directory, double(), extra_dirs=(extra,)) as server:
        await server.keep(LONG)
        assert (await server.client.delete("/" + name(LONG))).status == 405
        placed = server.rows.placed(Checksum(name(LONG)))
        assert placed is not None and placed.replicas == 1 and placed.due_ms is not None


async def test_head(directory: Path) -> None:
    """HEAD tells of a lost buffer what it told before, and has it restored."""
    async with serving(directory, double()) as server:
        path = await server.place(LONG)
        before = await server.client.head(path)
        server.path_of(LONG).unlink()
        after = await server.client.head(path)
        assert (after.status, after.content_length) == (before.status, before.content_length)
        assert after.headers["ETag"] == before.headers["ETag"]
        await server.settled()
        assert server.has(LONG)


@pytest.mark.parametrize(
    ("wanted", "part"), [("0-9", LONG[:10]), ("70000-", LONG[70000:]), ("-5", LONG[-5:])]
)
async def test_ranges(directory: Path, wanted: str, part: bytes) -> None:
    """A range of a lost buffer is answered from what was restored."""
    async with serving(directory, double()) as server:
        path = await server.lose(LONG)
        response = await server.client.get(path, headers={"Range": f"bytes={wanted}"})
        assert response.status == 206 and await response.read() == part
        assert server.has(LONG)


async def test_liars(directory: Path) -> None:
    """Whoever lies or fails, in the middle too, is told, and the client gets the right bytes."""
    told = {name(LONG): LONG[::-1]}
    liars = [double(spoil=flipped_at(20)), double(spoil=cut_at(33)), double(told=told), double(held=told)]
    async with serving(directory, *liars, double()) as server:
        path = await server.lose(LONG)
        response = await server.client.get(path)
        assert response.status == 200 and await response.read() == LONG
        await server.settled()
        assert server.has(LONG)
        assert {number for number, _ in server.told} <= {0, 1, 2, 3}


async def test_nobody_has_it(directory: Path) -> None:
    """What no node has is not found, and who was asked in vain is told."""
    missing, lying = double(), double(told={name(LONG): LONG[::-1]})
    async with serving(directory, missing, lying) as server:
        path = await server.lose(LONG)
        missing.held.clear()
        response = await server.client.get(path)
        assert response.status == 404
        assert sorted(server.told) == [(0, Failure.MISSING), (1, Failure.WRONG)]
        assert server.ends == [RescueEnd.LOST] and not server.has(LONG)


async def test_corrupt_and_nobody_has_it(directory: Path) -> None:
    """Of what has rotted and no node has, it is said as ever that it has."""
    async with serving(directory, double(instead=None, held={name(LONG): SMALL})) as server:
        path = await server.place(LONG)
        rot(server, LONG)
        assert (await server.client.get(path)).status == 400


async def test_fails_in_the_middle(directory: Path) -> None:
    """Where no node has the rest the connection is cut, and no wrong byte was sent, nor anything stored."""
    async with serving(directory, double(spoil=flipped_at(40))) as server:
        path = await server.lose(LONG)
        response = await server.client.get(path)
        got = bytearray()
        with pytest.raises(Exception, match=r"payload|closed|reset"):
            async for piece in response.content.iter_any():
                got += piece
        assert response.status == 200 and LONG.startswith(got) and len(got) <= 40 * 65536
        await server.settled()
        assert not server.has(LONG) and server.ends == [RescueEnd.LOST]


async def test_not_placed(directory: Path) -> None:
    """What is on no node is not found, and no node is asked."""
    async with serving(directory, double()) as server:
        path = await server.lose(LONG)
        await server.rows.unwant(placed_of(LONG).checksum, 0)
        assert (await server.client.get(path)).status == 404
        assert (await server.client.get("/" + name(SMALL))).status == 404
        assert server.nodes[0].asked == []


async def test_not_allowed(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node at an address that may not be connected to is as good as none."""
    monkeypatch.setattr("tests.rescues.LISTED", Allowed(option="--node-allow"))
    async with serving(directory, double()) as server:
        path = await server.lose(LONG)
        assert (await server.client.get(path)).status == 404
        assert server.nodes[0].asked == [] and server.told == [(0, Failure.UNREACHABLE)]
