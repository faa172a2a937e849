"""Nodes of the real `dataserv-client` at our registry: what they came for, and being refused."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from .conftest import ServerFactory
from .dataserv_peer import VERSIONS, DataservClient, python_of
from .farmer_keys import PAYOUT, NodeKey
from .servers import RunningServer

pytestmark = pytest.mark.timeout(900)  # the first to ask for it waits for its installation

OTHER = NodeKey(2).address
DIGEST = "ab" * 32


@pytest.fixture(params=VERSIONS)
def node(request: pytest.FixtureRequest, tmp_path: Path) -> DataservClient:
    """A node that has no wallet yet."""
    return DataservClient(request.param, tmp_path / "node")


@pytest.fixture
def server(start_server: ServerFactory, directory: Path) -> RunningServer:
    """A server with a registry, of two workers."""
    return start_server(directory, "--writable", "--node-registry", "--workers", "2")


def listed(server: RunningServer) -> list[dict[str, Any]]:
    """Ask who is online."""
    with urllib.request.urlopen(f"{server.url}/api/online/json", timeout=20) as answer:
        farmers: list[dict[str, Any]] = json.load(answer)["farmers"]
    return farmers


def test_what_nodes_do(node: DataservClient, server: RunningServer) -> None:
    """A node registers with its payout address, pings and tells its height; all of it is known at once."""
    told = node.make(
        server.url,
        ("config", None, PAYOUT),
        ("register",),
        ("ping",),
        ("height", 1),
        ("height", 25),
        ("ping",),
        ("poll", 1, 0),
    )
    assert told.outcomes[1:] == [True, True, "Height accepted.", "Height accepted.", True, True]
    (farmer,) = listed(server)
    assert farmer["last_seen"] < 30
    assert {key: farmer[key] for key in ("btc_addr", "payout_addr", "height")} == {
        "btc_addr": told.address,
        "payout_addr": PAYOUT,
        "height": 25,
    }


def test_commands(node: DataservClient, server: RunningServer) -> None:
    """The commands work as a user types them; without a payout address a node is paid at its own."""
    node.command(server.url, "register")
    node.command(server.url, "ping")
    (farmer,) = listed(server)
    assert farmer["payout_addr"] == farmer["btc_addr"]


def test_refusals(node: DataservClient, server: RunningServer) -> None:
    """What is refused reaches the user as the client's own errors: each status is the one it knows."""
    told = node.make(
        server.url,
        ("ping",),
        ("height", 3),
        ("register",),
        ("register",),
        ("height", 200_000),
        ("_url_query", f"/api/ping/{OTHER}"),
        ("_url_query", f"/api/register/{OTHER}x"),
        ("mistake server", OTHER),
        ("ping",),
    )
    assert told.outcomes == [
        "ServerNotFound",
        "ServerNotFound",
        True,
        "AddressAlreadyRegistered",
        "HTTPError",
        "ConnectionError",
        "InvalidAddress",
        None,
        "ConnectionError",
    ]
    assert [farmer["height"] for farmer in listed(server)] == [0]


def test_audits(server: RunningServer, tmp_path: Path) -> None:
    """An audit is taken once for a block, from the version that sends any."""
    node = DataservClient("2.1.8", tmp_path / "node")
    told = node.make(
        server.url,
        ("register",),
        ("audit", 7, DIGEST),
        ("audit", 7, DIGEST),
        ("audit", 8, "x"),
        ("audit", 8, DIGEST),
    )
    accepted, again = "Audit accepted.", "AddressAlreadyRegistered"  # as it calls any 409
    assert told.outcomes == [True, accepted, again, "InvalidAddress", accepted]


async def test_registered_for_good(start_server: ServerFactory, directory: Path, tmp_path: Path) -> None:
    """A node is known to the next server on the directory, and to one beside the first."""
    options = ("--writable", "--node-registry")
    await asyncio.to_thread(python_of, "2.1.8")
    node = DataservClient("2.1.8", tmp_path / "node")
    first = await asyncio.to_thread(start_server, directory, *options)
    assert (await asyncio.to_thread(node.make, first.url, ("register",))).outcomes == [True]
    other = await asyncio.to_thread(start_server, directory, *options)
    assert (await asyncio.to_thread(node.make, other.url, ("ping",), ("height", 4))).outcomes[0] is True
    await asyncio.to_thread(first.stop)
    (farmer,) = await asyncio.to_thread(listed, other)
    assert farmer["height"] == 4
