"""Big buffers on a watched connection: what the socket takes at once, and the rest in a task."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from hashserver_aio.server import watched
from hashserver_aio.server.keys import ACTIVITY

from .conftest import Client, ServerFactory
from .fast import count_answers, name_of
from .peers import lay, until
from .test_fast_path_clients import connect, descriptors
from .wire import Wire, body_of, get, status_of

BODY = os.urandom(1024) * 20 * 1024
NAME = name_of(BODY)
SMALL = b"a small one"


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The requests that the fast path answered."""
    return count_answers(monkeypatch)


@pytest.fixture
async def holding(client: Client, directory: Path) -> Client:
    """A server that knows a buffer of 20 MiB and a small one."""
    lay(directory, BODY)
    lay(directory, SMALL)
    await asyncio.sleep(1.1)
    for name in (NAME, name_of(SMALL)):
        assert await (await client.get(f"/{name}")).read()
    return client


async def asleep(client: Client) -> Wire:
    """Connect, let the next request be a fast one, and read no more."""
    wire = await (await Wire.to(client)).watched(name_of(SMALL))
    wire.transport.pause_reading()
    return wire


def in_progress(client: Client) -> int:
    """Count the requests that a server is answering."""
    assert client.app is not None
    return client.app[ACTIVITY].in_progress


async def test_slow_reader(holding: Client, answered: list[bytes]) -> None:
    """Who reads slowly gets all, and then the answers to what he asked meanwhile, in order."""
    wire = await asleep(holding)
    wire.transport.write(get(NAME))
    await asyncio.sleep(0.1)
    assert in_progress(holding) == 1
    wire.transport.write(get(name_of(SMALL)) + get("healthcheck"))
    await asyncio.sleep(0.1)
    wire.transport.resume_reading()
    assert body_of(await wire.answer()) == BODY
    assert body_of(await wire.answer()) == SMALL
    assert body_of(await wire.answer()) == b"OK"
    assert answered.count(get(NAME)) == 1 and in_progress(holding) == 0
    assert body_of(await wire.ask(get(NAME))) == BODY


@pytest.mark.parametrize("at_once", [0, 1, 1000])
async def test_whatever_the_socket_takes(
    holding: Client, answered: list[bytes], monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """All bytes are sent once, however many of them go out at once."""
    monkeypatch.setattr(watched, "AT_ONCE_BYTES", at_once)
    wire = await (await Wire.to(holding)).watched(name_of(SMALL))
    for _ in range(3):
        assert body_of(await wire.ask(get(NAME))) == BODY
    assert answered.count(get(NAME)) == 3


async def test_slower_than_keep_alive(holding: Client, answered: list[bytes]) -> None:
    """A transfer is not cut by the timer that closes idle connections, should it run out meanwhile."""
    wire = await asleep(holding)
    wire.transport.write(get(NAME))
    await until(lambda: in_progress(holding) == 1)
    assert holding.server.handler is not None
    inner = max(holding.server.handler.connections, key=lambda each: each._next_keepalive_close_time)
    assert inner._next_keepalive_close_time > asyncio.get_running_loop().time() + 100
    inner._process_keepalive()
    wire.transport.resume_reading()
    assert body_of(await wire.answer()) == BODY
    assert answered.count(get(NAME)) == 1


async def test_replaced_file(holding: Client, directory: Path, answered: list[bytes]) -> None:
    """A file that was replaced or removed is not sent, also not within the second."""
    wire = await (await Wire.to(holding)).watched(name_of(SMALL))
    assert body_of(await wire.ask(get(NAME))) == BODY
    lay(directory, b"x" * len(BODY), NAME)
    assert status_of(await wire.ask(get(NAME))) == 400
    (directory / NAME[:2] / NAME).unlink(missing_ok=True)
    assert status_of(await wire.ask(get(NAME))) == 404


async def test_truncated_file(holding: Client, directory: Path, answered: list[bytes]) -> None:
    """A file that becomes shorter while it is sent ends the connection, not the body."""
    wire = await asleep(holding)
    wire.transport.write(get(NAME))
    await until(lambda: in_progress(holding) == 1)
    os.truncate(directory / NAME[:2] / NAME, 10_000_000)
    wire.transport.resume_reading()
    await until(lambda: wire.is_closed, 5)
    assert len(wire.received) < len(BODY)
    assert answered.count(get(NAME)) == 1 and in_progress(holding) == 0


def test_vanishing_clients(start_server: ServerFactory, directory: Path) -> None:
    """Clients that vanish in the middle of a fast file leave no descriptor."""
    lay(directory, BODY)
    lay(directory, SMALL)
    server = start_server(directory, "--writable", "--grace", "1")
    counts: list[int] = []
    for _ in range(4):
        for number in range(20):
            client = connect(server)
            for name in (name_of(SMALL), name_of(SMALL), NAME):
                client.sendall(get(name))
                assert client.recv(2000)
            if number % 2:
                client.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER: a reset, not an end
            client.close()
        asyncio.run(until(lambda: descriptors(server) <= min(counts, default=99), 5))
        counts.append(descriptors(server))
    assert counts[-1] <= counts[0] < 40


def test_graceful_stop(start_server: ServerFactory, directory: Path) -> None:
    """A fast file that is being sent is finished before the server stops."""
    lay(directory, BODY)
    lay(directory, SMALL)
    server = start_server(directory, "--writable")
    with connect(server) as client:
        for name in (NAME, name_of(SMALL)):
            client.sendall(get(name))
            _read(client)
        client.sendall(get(NAME))
        client.recv(1000)
        server.process.terminate()
        received = 1000
        while chunk := client.recv(2**20):
            received += len(chunk)
    assert received > len(BODY)
    assert server.process.wait(20) == 0


def _read(client: socket.socket) -> None:
    """Take one answer."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += client.recv(65_536)
    head, _, body = data.partition(b"\r\n\r\n")
    left = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]) - len(body)
    while left:
        left -= len(client.recv(65_536))
