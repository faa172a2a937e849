"""Where nodes are: each proves to be at its URL, and nobody is called who may not be."""

from __future__ import annotations

import asyncio
import logging

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from hashserver_aio.fleet.registering import MAX_CALLS_OF_ONE
from hashserver_aio.settings import NodeRules

from .conftest import ClientFactory
from .node_calls import LOCAL, SmallNode, listed, node, small_node, url, url_of
from .peers import until

__all__ = ["node", "url"]


async def _answering(status: int, body: str) -> TestServer:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, text=body)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    server = TestServer(app)
    await server.start_server()
    return server


@pytest.mark.parametrize(
    ("status", "body", "hint"),
    [(200, "{}", "--public-url"), (200, "no JSON", "--public-url"), (404, "", "404"), (302, "", "302"),
     (200, '{"key": "ab", "proof": "cd"}', "--public-url"),
     (401, '{"error": "BadSignature", "message": "no"}', "401")],
)  # fmt: skip
async def test_wrong_identity(node: SmallNode, status: int, body: str, hint: str) -> None:
    """Whoever is not proven to be at a URL is not taken in, and told what to look at."""
    server = await _answering(status, body)
    try:
        answer, told = await node.register(url=str(server.make_url("")))
    finally:
        await server.close()
    assert (answer, told["error"]) == (400, "NodeUnreachable")
    assert hint in told["message"] and not await listed(node.server_url)


async def test_nobody_there(node: SmallNode, unused_tcp_port: int) -> None:
    """Who is not to be reached is told so, and not what a name means in the server's network."""
    answer, told = await node.register(url=f"http://localhost:{unused_tcp_port}")
    assert (answer, told["error"], "--public-url" in told["message"]) == (400, "NodeUnreachable", True)
    assert "127.0.0.1" not in told["message"]


async def test_anothers_url(url: str, node: SmallNode) -> None:
    """Nobody registers where another node answers, and so takes nobody's URL away."""
    await node.register()
    async with small_node(url) as other:
        status, told = await other.register(url=node.url)
    assert (status, told["error"]) == (400, "NodeUnreachable")
    assert (await node.ping())[0] == 200


async def test_moved(url: str, node: SmallNode) -> None:
    """Where another node answers at a URL by now, that has it; the one before is told."""
    await node.register()
    async with small_node(url) as other:
        node.pair, before = other.pair, node.pair  # another program took the place of the first one
        node.id = other.id
        assert (await other.register(url=node.url))[0] == 200
        first = SmallNode(url, node.server_key, before)
        status, told = await first.ping()
        assert (status, told["error"]) == (409, "NodeMoved")
        urls = {each["id"]: each["url"] for each in await listed(url)}
        assert urls == {first.id: "", other.id: node.url}
        other.pair, other.id = before, first.id
        assert (await first.say("register", first.said(url=other.url)))[0] == 200
        assert (await first.ping())[0] == 200


async def test_private_addresses(start_client: ClientFactory, caplog: pytest.LogCaptureFixture) -> None:
    """A server calls nobody on its own networks, unless its operator lets nodes be there; both are told so.

    The operator once, as anybody can cause it.
    """
    caplog.set_level(logging.INFO, "hashserver_aio.fleet")
    url = url_of(await start_client(nodes=NodeRules()))
    async with small_node(url) as node:
        for named in (node.url, node.url.replace("127.0.0.1", "localhost")):
            status, told = await node.register(url=named)
            assert (status, told["error"]) == (400, "NodeUnreachable")
            allow = f"start it with --node-allow {URL(named).host}, or announce"
            assert allow in told["message"]
        assert not node.asked and not await listed(url)
        levels = [record.levelname for record in caplog.records if node.id in record.getMessage()]
    assert levels == ["WARNING", "INFO", "INFO"]


async def test_slow_nodes_hold_up_few(url: str, node: SmallNode) -> None:
    """Of one client address only so many are called at a time; who is one too many may come again."""
    node.free.clear()
    async with asyncio.TaskGroup() as group:
        others = [SmallNode(url, node.server_key) for _ in range(MAX_CALLS_OF_ONE)]
        waiting = [group.create_task(other.register(url=node.url)) for other in others]
        await until(lambda: node.asked == MAX_CALLS_OF_ONE, 20)
        status, told = await node.register()
        assert (status, told["error"]) == (503, "Busy")
        node.free.set()
    assert {task.result()[0] for task in waiting} == {400}
    assert (await node.register())[0] == 200


async def test_pace(start_client: ClientFactory) -> None:
    """How often a client asks is judged first: before signatures, and so whatever is signed."""
    rules = NodeRules(allow=LOCAL.allow, calls_per_s=0.001)
    url = url_of(await start_client(nodes=rules))
    async with small_node(url) as node:
        assert (await node.register())[0] == 200  # costs what ten pings do, and so many may come at once
        unsigned: dict[str, str] = {}
        for headers in (None, unsigned):
            status, told = await node.say("ping", {"capacity": 1}, headers)
            assert (status, told["error"]) == (429, "TooManyRequests")
