"""Places to read at: clients that take nothing cannot keep them from those that do."""

from __future__ import annotations

import asyncio
import hashlib
import io
import math
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from hashserver_aio.errors import Busy
from hashserver_aio.reading import places
from hashserver_aio.reading.places import Places
from hashserver_aio.server.keys import READERS

from .axon import API
from .conftest import Client
from .peers import until
from .processes import children

BODY = b"some line of text, which is to be read\n" * 600_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The seconds that have passed, for places."""
    now = [1000.0]
    monkeypatch.setattr("hashserver_aio.reading.places.time.monotonic", lambda: now[0])
    yield now
    monkeypatch.undo()


def test_the_slowest_goes(clock: list[float]) -> None:
    """Who comes when all places are taken gets that of the client that took nothing for the longest time."""
    ended: list[str] = []
    readings = Places(3)
    with ExitStack() as stack:
        taken = {
            name: stack.enter_context(readings.take(lambda name=name: ended.append(name)))  # type: ignore[misc]
            for name in ("reads", "slow", "slower")
        }
        for name in ("slower", "slow"):
            taken[name].offer()
            clock[0] += 1
        clock[0] += places.SLOW_S
        for expected in (["slower"], ["slower", "slow"]):
            stack.enter_context(readings.take(pytest.fail))
            assert ended == expected and len(readings) == 3
        with pytest.raises(Busy):
            stack.enter_context(readings.take(pytest.fail))
    assert len(readings) == 0


@pytest.mark.parametrize("waits_s", [places.SLOW_S - 0.1, math.inf])
def test_who_takes_stays(clock: list[float], waits_s: float) -> None:
    """A client that takes what it is offered keeps its place, however long the next batch is waited for."""
    readings = Places(1)
    with readings.take(pytest.fail) as place:
        place.offer()
        clock[0] += places.SLOW_S - 0.1
        if waits_s == math.inf:
            place.taken()
            clock[0] += 1000
        with pytest.raises(Busy), readings.take(pytest.fail):
            pass


@contextmanager
def sleeping_client(client: Client, name: str) -> Iterator[socket.socket]:
    """Ask for the lines of a buffer, and take none."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((client.host, client.port))
        connection.sendall(
            f"GET {API}/readlines/{name} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
        )
        yield connection


def rest_of(connection: socket.socket) -> bytes:
    """Take what the server sent until it hung up."""
    received = bytearray()
    connection.settimeout(10)
    with suppress(ConnectionResetError):
        while piece := connection.recv(1 << 20):
            received += piece
    return bytes(received)


async def test_clients_that_sleep(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that take nothing keep their places for some seconds; then one is hung up on for the next."""
    monkeypatch.setattr(places, "SLOW_S", 5.0)
    readings = client.server.app[READERS].places  # type: ignore[attr-defined]  # the test server's own
    readings.most = 2
    async with client.put(f"{API}/files/put", data=io.BytesIO(BODY)) as answer:
        assert answer.status == 200
    name, before = hashlib.sha256(BODY).hexdigest(), children()
    with sleeping_client(client, name) as first:
        await until(lambda: readings.slowest() and readings.slowest().idle_s > 0, within_s=20)
        with sleeping_client(client, name) as second:
            await until(lambda: len(readings) == 2, within_s=20)
            async with client.get(f"{API}/readlines/{name}") as answer:
                assert answer.status == 503
            await until(lambda: readings.slowest().idle_s > 5, within_s=20)
            async with client.get(f"{API}/readlines/{name}") as answer:
                assert answer.status == 200
                assert (await answer.read()).endswith(b'\n{"end":{}}\n')
            assert len(readings) == len(children() - before) == 1
            rests = await asyncio.gather(*(asyncio.to_thread(rest_of, each) for each in (first, second)))
            # Which of the two took less, and was hung up on, is up to the kernel; the other one wakes up.
            assert sorted(b'"end"' in rest for rest in rests) == [False, True]
    await until(lambda: not children() - before, within_s=20)
