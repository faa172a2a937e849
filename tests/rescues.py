"""What tests of bringing buffers back share: a server whose buffers are on nodes, and how it loses them."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from hashserver_aio import Settings, create_app
from hashserver_aio.catalogue.nodes import Announcement, Nodes
from hashserver_aio.checksums import Checksum
from hashserver_aio.fleet import Holders, Links, Rescue, RescueEnd
from hashserver_aio.nodes.keys import KeyPair
from hashserver_aio.nodes.messages import Numbers
from hashserver_aio.nodes.record import Failure
from hashserver_aio.server.keys import BUFFERS

from .clients import name
from .conftest import Client
from .held_nodes import LISTED, NodeDouble, placed_of, running

PAIR = KeyPair.make()


@dataclass
class Server:
    """A server with nodes. `told`: which of them failed, by their places; `ends`: how rescues ended."""

    app: web.Application
    client: Client
    directory: Path
    rescue: Rescue
    nodes: Sequence[NodeDouble]
    told: list[tuple[int, Failure]] = field(default_factory=list)
    ends: list[RescueEnd] = field(default_factory=list)

    @property
    def rows(self) -> Nodes:
        """What is kept of nodes."""
        return self.app[BUFFERS].catalogue.nodes

    def path_of(self, body: bytes) -> Path:
        """Tell where a buffer is stored."""
        return self.directory / name(body)[:2] / name(body)

    async def place(self, body: bytes) -> str:
        """Store a buffer, and have it on all nodes; the path to get it."""
        path = "/" + name(body)
        assert (await self.client.put(path, data=io.BytesIO(body))).status == 200
        for node in self.nodes:
            node.held.setdefault(name(body), body)
        await self.keep(body)
        return path

    async def keep(self, body: bytes) -> None:
        """Keep that a buffer is on all nodes."""
        rows, placed, now_ms = self.rows, placed_of(body), int(time.time() * 1000)
        await rows.want(placed.checksum, placed.size, len(self.nodes), now_ms)
        assert placed.root is not None
        await rows.keep_root(placed.checksum, placed.root)
        for node in self.nodes:
            row = rows.get(node.pair.public)
            assert row is not None
            await rows.place(placed.checksum, row.seq, now_ms, now_ms + 10**9)

    async def lose(self, body: bytes) -> str:
        """Store a buffer and have it on all nodes, then lose its file; the path to get it."""
        path = await self.place(body)
        self.path_of(body).unlink()
        return path

    async def settled(self) -> None:
        """Wait until nothing is being brought back."""
        while self.rescue._running:
            await asyncio.wait([task for _, task in self.rescue._running.values()])

    def has(self, body: bytes) -> bool:
        """Tell whether a buffer is stored whole and right, and nothing is left over."""
        assert not [path for path in self.directory.glob(".hashserver-aio/tmp/*/*") if path.name != "lock"]
        path = self.path_of(body)
        if not path.exists():
            return False
        assert path.read_bytes() == body
        return True


@asynccontextmanager
async def serving(
    directory: Path, *nodes: NodeDouble, runs_them: bool = True, **settings: Any
) -> AsyncIterator[Server]:
    """Run a server, and nodes that have registered with it; not `runs_them`, if another one does."""
    given: dict[str, Any] = {"directory": directory, "writable": True, "allow_delete": True}
    app = create_app(Settings(**(given | settings)))
    made: list[Server] = []

    async def rescuing(app: web.Application) -> AsyncIterator[None]:
        buffers, links = app[BUFFERS], Links(PAIR, LISTED, Numbers())
        rows = buffers.catalogue.nodes
        numbers: dict[int, int] = {}
        for number, node in enumerate(nodes):
            said = Announcement(node.pair.public, node.url, "", 2**40, number + 1, int(time.time() * 1000))
            row = await rows.register(said) or rows.get(node.pair.public)
            assert row is not None
            numbers[row.seq] = number

        def tell(checksum: Checksum, seq: int, failure: Failure) -> None:
            made[0].told.append((numbers[seq], failure))

        rescue = Rescue(buffers, rows, Holders(rows, links, 60.0), tell, lambda end: made[0].ends.append(end))
        buffers.replicas = rescue
        made.append(Server(app, client, directory, rescue, nodes))
        yield
        await rescue.close()
        await links.close()

    app.cleanup_ctx.append(rescuing)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running(*(nodes if runs_them else ())))
        client: Client = TestClient(TestServer(app, host="127.0.0.1"), auto_decompress=False)
        await stack.enter_async_context(client)
        try:
            yield made[0]
        finally:
            for node in nodes:
                node.go_on.set()


def double(**more: Any) -> NodeDouble:
    """Make a node."""
    return NodeDouble(PAIR.public, **more)
