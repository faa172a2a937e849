"""What a node tells its server, and that it goes on whatever that answers."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from hashserver_aio.holding import pinging
from hashserver_aio.nodes.keys import KeyPair

from .conftest import ClientFactory
from .nodes import Overseer, asker_of, overseeing
from .peers import until
from .routes import BODY, NODE_BUFFER

PAYOUT = "16ZcxFDdkVJR1P8GMNmWFyhS4EKrRMsWNG"


@pytest.fixture
async def overseer() -> AsyncIterator[Overseer]:
    """A server of nodes."""
    async with overseeing(Overseer()) as overseer:
        yield overseer


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What is waited before something is tried again: told here, and shortened."""
    found: list[float] = []

    async def noted(pause_s: float) -> None:
        found.append(pause_s)
        await asyncio.sleep(0.01 if pause_s < 1000 else pause_s)

    monkeypatch.setattr(random, "uniform", lambda low, high: 1.0)
    monkeypatch.setattr(pinging, "asyncio", SimpleNamespace(sleep=noted))
    return found


async def test_registers_and_pings(overseer: Overseer, start_client: ClientFactory, directory: Path) -> None:
    """A node says where it is, how much it may hold and who is paid; then that it lives, when it is to."""
    overseer.answers["ping"] = [(200, {"next_ping_s": 1}), (200, {"next_ping_s": 3600})]
    asker, _ = await asker_of(overseer, start_client, directory, capacity=5000, payout_address=PAYOUT)
    told = await overseer.hears("register")
    assert told["by"] == asker.node
    said = {"url": "http://127.0.0.1:1", "capacity": 5000, "payout_address": PAYOUT}
    assert json.loads(told["bytes"]) == said
    for _ in range(2):
        told = await overseer.hears("ping")
        assert (told["by"], json.loads(told["bytes"])) == (asker.node, {"capacity": 5000})


async def test_capacity_of_the_disk(
    overseer: Overseer, start_client: ClientFactory, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a capacity a node may hold what it holds and what is free, told anew each time."""
    free = [1000, 600, 0]
    monkeypatch.setattr("hashserver_aio.server.holding.life.free_bytes", lambda path: free[0])
    overseer.answers["ping"] = [(200, {"next_ping_s": 1})]
    asker, _ = await asker_of(overseer, start_client, directory)
    assert (await overseer.hears("register"))["capacity"] == 1000
    assert (await overseer.hears("ping"))["capacity"] == 1000
    assert (await asker.ask("PUT", NODE_BUFFER, BODY))[0].status == 200
    free[0] = 700
    assert (await overseer.hears("ping"))["capacity"] in (1000 + len(BODY), 700 + len(BODY))
    assert (await overseer.hears("ping"))["capacity"] == 700 + len(BODY)


@pytest.mark.parametrize("status", [404, 409])
async def test_registers_again(
    overseer: Overseer, start_client: ClientFactory, directory: Path, status: int, drawn: list[float]
) -> None:
    """A node that its server has forgotten, or knows elsewhere no more, says again where it is."""
    overseer.answers["ping"] = [(status, {"message": "who?"}), (200, {"next_ping_s": 3600})]
    await asker_of(overseer, start_client, directory)
    for call in ("register", "ping", "register", "ping"):
        await overseer.hears(call)


async def test_refused_for_a_while(
    overseer: Overseer,
    start_client: ClientFactory,
    directory: Path,
    drawn: list[float],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A node that is not taken in says why, once, and asks more and more seldom until it is."""
    refusal: tuple[int, object] = (400, {"error": "NodeUnreachable", "message": "no answer\nthere"})
    overseer.answers["register"] = [refusal] * 10 + [(200, {})]
    await asker_of(overseer, start_client, directory)
    for _ in range(11):
        await overseer.hears("register")
    await overseer.hears("ping")
    await until(lambda: drawn[-1:] == [3600], 20)
    assert drawn == [0.0, 1, 2, 4, 8, 16, 32, 64, 120, 120, 120, 3600]
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(lines) == 2 and "400 no answer?there" in lines[0] and "again" in lines[1]


async def test_nonsense(
    overseer: Overseer, start_client: ClientFactory, directory: Path, drawn: list[float]
) -> None:
    """Whatever a server answers, a node asks again, and neither all the time nor never."""
    nonsense: list[object] = [
        {},
        [],
        {"next_ping_s": "soon"},
        {"next_ping_s": -1},
        {"next_ping_s": float("nan")},
    ]
    overseer.answers["ping"] = [(200, answer) for answer in nonsense] + [
        (200, {"next_ping_s": 1e-9}),
        (200, {"next_ping_s": 10**400}),
        (200, {"next_ping_s": 1e9}),
    ]
    await asker_of(overseer, start_client, directory)
    await overseer.hears("register")
    for _ in range(7):
        await overseer.hears("ping")
    await until(lambda: drawn[-1:] == [3600], 20)
    assert drawn == [0.0, 1, 2, 4, 8, 16, 1, 3600]


async def test_another_server_meanwhile(
    overseer: Overseer,
    directory: Path,
    start_client: ClientFactory,
    drawn: list[float],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A node does not register at a server that became another one while it ran, and says so."""
    overseer.answers["ping"] = [(200, {"next_ping_s": 1})]
    before = overseer.pair
    await asker_of(overseer, start_client, directory)
    await overseer.hears("register")
    overseer.pair = KeyPair.make()
    await until(lambda: "another one" in caplog.text, 20)
    assert f"remove {directory / '.hashserver-aio' / 'node-server'} and start the node anew" in caplog.text
    overseer.pair = before
    while (await overseer.said.get())["call"] != "register":
        pass
