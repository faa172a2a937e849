"""Fixtures that several rooms of tests share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

import hashserver_aio
from hashserver_aio import Settings, create_app
from hashserver_aio.store import Pace, Sink, StoredFile
from hashserver_aio.store.directory import DirectoryStore

from .authority import Authority
from .axon_peer import RealAxon, running_axon
from .crews import Crew, crew_on
from .peers import Peer
from .rd_api_peer import RealRdApi, running_rd_api
from .servers import RunningServer

Client = TestClient[web.Request, web.Application]
ServerFactory = Callable[..., RunningServer]
ClientFactory = Callable[..., Awaitable[Client]]
Connect = Callable[..., Awaitable[hashserver_aio.Client]]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """An empty directory to serve."""
    path = tmp_path / "buffers"
    path.mkdir()
    return path


@pytest.fixture
def start_server() -> Iterator[ServerFactory]:
    """Start servers, in processes of their own, that end with the test."""
    running: list[RunningServer] = []

    def start(directory: Path, *options: str, **more: Any) -> RunningServer:
        running.append(RunningServer(directory, *options, **more))
        return running[-1]

    yield start
    for server in running:
        server.kill()


@pytest.fixture
def crew(directory: Path) -> Iterator[Crew]:
    """A writable server of two workers."""
    with crew_on(directory, "--writable") as crew:
        yield crew


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority that has issued a certificate."""
    authority = Authority(tmp_path)
    authority.issue()
    return authority


@pytest.fixture
def start_client(aiohttp_client: Any, directory: Path) -> ClientFactory:
    """Start servers inside the test's own event loop: clients of an application with settings."""

    async def start(**settings: Any) -> Client:
        given: dict[str, Any] = {"directory": directory, "writable": True} | settings
        client: Client = await aiohttp_client(create_app(Settings(**given)), auto_decompress=False)
        return client

    return start


@pytest.fixture
async def client(start_client: ClientFactory) -> Client:
    """A client of a writable server on an empty directory, sha3-256 and prefix."""
    return await start_client()


@pytest.fixture
async def connect(start_client: ClientFactory) -> AsyncIterator[Connect]:
    """Start servers that delete in this process, each with a client of ours."""
    clients: list[hashserver_aio.Client] = []

    async def start(auth: Any = None, **settings: Any) -> hashserver_aio.Client:
        server = await start_client(allow_delete=True, **settings)
        clients.append(hashserver_aio.Client(str(server.make_url("")), auth=auth))
        return clients[-1]

    yield start
    for client in clients:
        await client.close()


@pytest.fixture(scope="session")
def real_axon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealAxon]:
    """A real Axon, one for all tests; the first to ask for it may wait for its installation."""
    with running_axon(tmp_path_factory.mktemp("axon") / "axon") as axon:
        yield axon


@pytest.fixture
def real_rd_api(tmp_path: Path) -> Iterator[RealRdApi]:
    """A real `rd-api` over an empty web-root."""
    root = tmp_path / "web-root"
    root.mkdir()
    with running_rd_api(root) as rd_api:
        yield rd_api


@pytest.fixture
async def peers(start_server: ServerFactory, directory: Path) -> AsyncIterator[tuple[Peer, Peer]]:
    """Two servers, started at the same time; in the end they stop and leave nothing behind."""
    starts = (asyncio.to_thread(start_server, directory, "--writable") for _ in range(2))
    servers = await asyncio.gather(*starts)
    first, second = (Peer(server.url) for server in servers)
    yield first, second
    await first.session.close()
    await second.session.close()
    assert [await asyncio.to_thread(server.stop) for server in servers] == [0, 0]
    assert not any((directory / ".hashserver-aio").glob("tmp/*"))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What stored files were read to be hashed, in order."""
    names: list[str] = []
    read = DirectoryStore.read

    async def counted(self: DirectoryStore, stored: StoredFile, sink: Sink, pace: Pace | None = None) -> None:
        names.append(stored.checksum)
        await read(self, stored, sink, pace)

    monkeypatch.setattr(DirectoryStore, "read", counted)
    return names
