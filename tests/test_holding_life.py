"""A node from its first start on: whom it trusts, and how it goes on without it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hashserver_aio.errors import CannotStart
from hashserver_aio.holding import Pinging, joined, without_node
from hashserver_aio.nodes.keys import KeyPair
from hashserver_aio.settings import Holding, NodeRules, Settings
from hashserver_aio.store.files import OWN_FOLDER

from .conftest import ClientFactory
from .nodes import Overseer, asker_of, overseeing
from .peers import until
from .programs import free_port
from .routes import BODY, NODE_BUFFER


@pytest.fixture
async def overseer() -> AsyncIterator[Overseer]:
    """A server of nodes."""
    async with overseeing(Overseer()) as overseer:
        yield overseer


def made_in(directory: Path) -> list[Path]:
    """Name what a node has made in a directory, of its own."""
    return list(directory.glob(f"{OWN_FOLDER}/node*"))


async def meet(overseer: Overseer, directory: Path) -> None:
    """Begin to be a node, as far as meeting its server goes."""
    holding = Holding(server=overseer.url, key=directory / OWN_FOLDER / "node-key.pem")
    async with joined(Settings(directory=directory, writable=True, holding=holding), holding):
        pass


async def test_server_away(directory: Path, start_client: ClientFactory) -> None:
    """A node that has met its server starts without it, gives it what it holds, and finds it again."""
    port, pair = free_port(), KeyPair.make()
    async with overseeing(Overseer(pair), port) as overseer:
        asker, client = await asker_of(overseer, start_client, directory)
        await asker.ask("PUT", NODE_BUFFER, BODY)
        await client.close()
    again, _ = await asker_of(overseer, start_client, directory)
    assert again.node == asker.node
    assert (await again.ask("GET", NODE_BUFFER))[1] == BODY
    async with overseeing(Overseer(pair), port) as overseer:
        assert (await overseer.hears("register"))["by"] == asker.node
        await overseer.hears("ping")


async def test_server_back_at_once(
    directory: Path, start_client: ClientFactory, caplog: pytest.LogCaptureFixture
) -> None:
    """A node that warned at its start that its server is away says that it is heard, if only at once."""
    port, pair = free_port(), KeyPair.make()
    async with overseeing(Overseer(pair), port) as overseer:
        _, client = await asker_of(overseer, start_client, directory)
        await client.close()
    away = Overseer(pair)
    away.url = overseer.url
    holding = Holding(server=away.url, key=directory / OWN_FOLDER / "node-key.pem")
    settings = Settings(directory=directory, writable=True, holding=holding)

    async def capacity() -> int:
        return 1

    caplog.clear()
    async with joined(settings, holding) as node, overseeing(away, port):
        pinging = asyncio.create_task(Pinging(node, "http://127.0.0.1:1", "", capacity).run())
        await until(lambda: "hears this node again" in caplog.text, 20)
        pinging.cancel()
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(lines) == 2 and lines[0].startswith("holding what the server has placed here")
    assert "ssl:" not in lines[0] and "?" not in lines[0]


async def test_meets_it_first(directory: Path) -> None:
    """A node can't start before it knows whom to trust, and has made nothing by then."""
    nowhere = Overseer()
    nowhere.url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(CannotStart, match=r"when it first starts: http.* can't be reached: [^?;]*$"):
        await meet(nowhere, directory)
    assert not made_in(directory)


async def test_another_server(overseer: Overseer, directory: Path, start_client: ClientFactory) -> None:
    """A server with another key than before is refused, until somebody says that it is trusted."""
    _, client = await asker_of(overseer, start_client, directory)
    await client.close()
    overseer.pair = KeyPair.make()
    with pytest.raises(CannotStart, match="another key") as refused:
        await meet(overseer, directory)
    path = directory / OWN_FOLDER / "node-server"
    assert str(path) in str(refused.value)
    path.unlink()
    asker, _ = await asker_of(overseer, start_client, directory)
    assert (await asker.ask("GET", NODE_BUFFER))[0].status == 404


@pytest.mark.parametrize("algorithm", ["sha3-256", "sha-256"])
async def test_named_as_the_server_does(directory: Path, start_client: ClientFactory, algorithm: str) -> None:
    """An empty directory becomes one of what its server names buffers by; another one is refused.

    Anybody is told that it is a node, and of which server.
    """
    async with overseeing(Overseer(algorithm=algorithm)) as overseer:
        _, client = await asker_of(overseer, start_client, directory)
        async with client.get("/") as answer:
            told = await answer.json()
        assert (told["algorithm"], told["node_of"]) == (algorithm, overseer.url)
        await client.close()


async def test_named_otherwise(overseer: Overseer, directory: Path, start_client: ClientFactory) -> None:
    """A directory whose buffers are named by another algorithm is left as it is."""
    overseer.algorithm = "sha-256"
    ordinary = await start_client()
    async with ordinary.put(NODE_BUFFER.replace("/api/node/buffers", ""), data=BODY) as answer:
        assert answer.status == 200
    await ordinary.close()
    with pytest.raises(CannotStart, match="names buffers by sha-256, and"):
        await meet(overseer, directory)
    assert not made_in(directory)


async def test_one_node_in_a_directory(
    overseer: Overseer, directory: Path, start_client: ClientFactory
) -> None:
    """Two nodes of one directory would be the same one at two URLs: the second does not start."""
    _, client = await asker_of(overseer, start_client, directory)
    with pytest.raises(CannotStart, match=r"another node runs in [^(]*$"):
        await meet(overseer, directory)
    await client.close()
    await asker_of(overseer, start_client, directory)


async def test_not_in_the_servers_directory(
    overseer: Overseer, directory: Path, start_client: ClientFactory, tmp_path: Path
) -> None:
    """A server never is its own node, whichever comes first: what it takes from the node would be its own."""
    rules = NodeRules(key=tmp_path / "key.pem")
    servers = [await start_client(nodes=rules, writable=True) for _ in range(2)]
    with pytest.raises(CannotStart, match="or a server that has nodes"):
        await meet(overseer, directory)
    assert made_in(directory) == [directory / OWN_FOLDER / "node.lock"]
    for server in servers:
        await server.close()
    await asker_of(overseer, start_client, directory)
    with pytest.raises(CannotStart, match="needs another directory"), without_node(directory / OWN_FOLDER):
        pass


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"key": "00", "algorithm": "sha3-256"}', "[" * 100_000]
)
async def test_pin_unreadable(overseer: Overseer, directory: Path, text: str) -> None:
    """A pin that can't be understood trusts nobody."""
    folder = directory / OWN_FOLDER
    folder.mkdir()
    (folder / "node-server").write_text(text)
    with pytest.raises(CannotStart, match="trust the server anew"):
        await meet(overseer, directory)
