"""Buffers that are being brought back, while others ask, hang up, fall behind, delete, or stop the server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import ClientResponse

from hashserver_aio.errors import NoSpace
from hashserver_aio.fleet import RescueEnd, rescuing
from hashserver_aio.intake import Intake
from hashserver_aio.server.keys import BUFFERS

from .clients import LONG, name
from .held_nodes import flipped_at, placed_of
from .rescues import Server, double, serving

HUGE = LONG * 10
"""More than sockets and pipes hold."""


async def begin(server: Server, path: str) -> ClientResponse:
    """Ask for a buffer, and wait until it is held up at its node."""
    response = await server.client.get(path)
    await server.nodes[0].held_up.wait()
    return response


async def test_others_wait(directory: Path) -> None:
    """Who asks meanwhile waits for the restored copy: no node sends the same twice."""
    async with serving(directory, double(hold_at=30)) as server:
        path = await server.lose(LONG)
        first = await begin(server, path)
        assert LONG.startswith(await first.content.read(10 * 65536))  # it comes while it is brought
        others = [asyncio.create_task(server.client.get(path)) for _ in range(5)]
        ranged = asyncio.create_task(server.client.get(path, headers={"Range": "bytes=5-9"}))
        while server.app[BUFFERS]._waiting._count < len(others) + 1:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)
        server.nodes[0].go_on.set()
        assert LONG.endswith(await first.read())
        assert [await (await other).read() for other in others] == [LONG] * 5
        assert await (await ranged).read() == LONG[5:10]
        assert server.nodes[0].asked == [
            f"GET /api/node/buffers/{name(LONG)}{what}" for what in ("/leaves", "")
        ]
        assert server.ends == [RescueEnd.RESTORED]


async def test_goes_on_without_the_client(directory: Path) -> None:
    """A client that hangs up does not end what it began."""
    async with serving(directory, double(hold_at=30)) as server:
        response = await begin(server, await server.lose(LONG))
        response.close()
        server.nodes[0].go_on.set()
        await server.settled()
        assert server.has(LONG)


async def test_client_that_does_not_wait(directory: Path) -> None:
    """A client that hangs up before the first byte does not end it either."""
    async with serving(directory, double(hold_at=0)) as server:
        path = await server.lose(LONG)
        asking = asyncio.create_task(server.client.get(path))
        await server.nodes[0].held_up.wait()
        asking.cancel()
        server.nodes[0].go_on.set()
        await server.settled()
        assert server.has(LONG)


async def test_slow_client(directory: Path) -> None:
    """A client that does not read holds up nothing; in the end it gets the rest of the restored copy."""
    async with serving(directory, double()) as server:
        response = await server.client.get(await server.lose(HUGE))
        await server.settled()
        assert server.has(HUGE)
        server.nodes[0].held.clear()
        assert await response.read() == HUGE


async def test_slow_client_of_what_is_gone_again(directory: Path) -> None:
    """Should the restored copy be gone by then, the rest comes from nodes."""
    async with serving(directory, double()) as server:
        response = await server.client.get(await server.lose(HUGE))
        await server.settled()
        server.path_of(HUGE).unlink()
        assert await response.read() == HUGE


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=5-9"}])
@pytest.mark.parametrize("why", ["writable", "has_room"])
async def test_not_stored(
    directory: Path, monkeypatch: pytest.MonkeyPatch, why: str, headers: dict[str, str]
) -> None:
    """Where it can't be stored, everybody gets all of it from nodes, also who asked for a range."""
    async with serving(directory, double()) as server:
        path = await server.lose(LONG)
        store = server.app[BUFFERS].store
        monkeypatch.setattr(store, why, False if why == "writable" else lambda size: False)
        for _ in range(2):
            response = await server.client.get(path, headers=headers)
            assert response.status == 200 and await response.read() == LONG
        assert not server.has(LONG) and server.ends == [RescueEnd.STREAMED] * 2
        assert (await server.client.head(path)).content_length == len(LONG)
        assert server.rescue._streamed == 0


async def test_store_fails_in_the_middle(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up meanwhile costs the client nothing."""

    async def put(self: Intake, checksum: str, body: object) -> None:
        for _ in range(2):
            await body.read()  # type: ignore[attr-defined]
        raise NoSpace("full")

    async with serving(directory, double()) as server:
        path = await server.lose(HUGE)
        monkeypatch.setattr(Intake, "put", put)
        response = await server.client.get(path)
        assert response.status == 200 and await response.read() == HUGE
        assert not server.has(HUGE)


async def test_deleted_is_gone(directory: Path) -> None:
    """What was deleted on purpose does not come back, and its nodes are to remove it."""
    async with serving(directory, double()) as server:
        path = await server.place(LONG)
        assert (await server.client.delete(path)).status == 200
        assert (await server.client.get(path)).status == 404
        assert server.nodes[0].asked == [] and server.rows.placed(placed_of(LONG).checksum) is None
        assert [placement.state for placement in server.rows.placements(placed_of(LONG).checksum)] == [
            "surplus"
        ]


async def test_deleting_what_is_lost(directory: Path) -> None:
    """What is lost here, and would come back, can be deleted; then it does not."""
    async with serving(directory, double()) as server:
        path = await server.lose(LONG)
        assert (await server.client.delete(path)).status == 200
        assert (await server.client.get(path)).status == 404
        assert (await server.client.delete(path)).status == 404
        assert server.nodes[0].asked == []


async def test_deleted_meanwhile(directory: Path) -> None:
    """What is deleted while it is brought back is not stored any more."""
    async with serving(directory, double(hold_at=30)) as server:
        path = await server.lose(LONG)
        response = await begin(server, path)
        assert (await server.client.delete(path)).status == 200
        with pytest.raises(Exception, match=r"payload|closed|reset"):
            await response.read()
        server.nodes[0].go_on.set()
        assert (await server.client.get(path)).status == 404
        assert not server.has(LONG) and not server.rescue._running


async def test_given_up_by_another_server(directory: Path) -> None:
    """What another server of the catalogue gave up meanwhile is not stored either."""
    async with serving(directory, double(hold_at=30)) as server:
        await begin(server, await server.lose(LONG))
        await server.rows.unwant(placed_of(LONG).checksum, 0)
        server.nodes[0].go_on.set()
        await server.settled()
        assert not server.has(LONG)


async def test_end_of_the_server(directory: Path) -> None:
    """A server that stops meanwhile leaves no task and no file."""
    before = asyncio.all_tasks()
    async with serving(directory, double(hold_at=30)) as server:
        path = await server.lose(LONG)
        response = await begin(server, path)
        waiting = asyncio.create_task(server.client.get(path))
        await server.rescue.close()
        assert (await waiting).status == 503
        with pytest.raises(Exception, match=r"payload|closed|reset"):
            await response.read()
        assert not server.has(LONG)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("sees", [True, False])
async def test_two_servers(directory: Path, monkeypatch: pytest.MonkeyPatch, sees: bool) -> None:
    """Of two servers of a directory one waits for the other; should it not see it, nothing breaks."""
    node = double(hold_at=30)
    async with serving(directory, node) as one, serving(directory, node, runs_them=False) as two:
        path = await one.lose(LONG)
        response = await begin(one, path)
        if not sees:
            monkeypatch.setattr(two.app[BUFFERS].store, "is_awaited", _nothing)
        other = asyncio.create_task(two.client.get(path))
        while not sees and len(node.asked) < 4:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        node.go_on.set()
        assert [await response.read(), await (await other).read()] == [LONG, LONG]
        for server in (one, two):
            await server.settled()
        assert one.has(LONG)
        assert len(node.asked) == (2 if sees else 4)


async def _nothing(checksum: str) -> bool:
    return False


async def test_as_many_as_may(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many that are lost only so many are brought back at a time, and whoever is too many is told so."""
    monkeypatch.setattr(rescuing, "MAX_RESTORING", 2)
    bodies = [LONG[number:] for number in range(3)]
    async with serving(directory, double(hold_at=30)) as server:
        paths = [await server.lose(body) for body in bodies]
        responses = [await server.client.get(path) for path in paths]
        assert [response.status for response in responses] == [200, 200, 503]
        server.nodes[0].go_on.set()
        assert [await response.read() for response in responses[:2]] == bodies[:2]


async def test_turns(directory: Path) -> None:
    """Who waits for a turn gets one."""
    bodies = [LONG[number : number + 200_000] for number in range(12)]
    async with serving(directory, double(hold_at=2)) as server:
        paths = [await server.lose(body) for body in bodies]
        asked = [asyncio.create_task(server.client.get(path)) for path in paths]
        await server.nodes[0].held_up.wait()
        server.nodes[0].go_on.set()
        assert [await (await asking).read() for asking in asked] == bodies
        await server.settled()
        assert all(server.has(body) for body in bodies)


async def test_a_liar_restores_nothing(directory: Path) -> None:
    """Should the very root that was kept be wrong, the name decides what is stored."""
    async with serving(directory, double(spoil=flipped_at(3))) as server:
        path = await server.lose(LONG)
        other = bytearray(LONG)
        other[3 * 65536] ^= 1
        server.nodes[0].told[name(LONG)] = bytes(other)
        root = placed_of(bytes(other)).root
        assert root is not None
        await server.rows.keep_root(placed_of(LONG).checksum, root)
        await (await server.client.get(path)).read()
        await server.settled()
        assert not server.has(LONG)
