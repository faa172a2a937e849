"""The registry of nodes over HTTP: every answer to the letter, and whatever a request may bring."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

from hashserver_aio import Settings, create_app
from hashserver_aio.pace import Pace
from hashserver_aio.server.keys import REGISTRY
from hashserver_aio.settings import FarmerRules

from .conftest import Client, ClientFactory
from .farmer_calls import NOW_S, ONE, OTHER, ask, registry_of, still
from .farmer_keys import PAYOUT, VECTORS
from .routes import ROUTES, template_of
from .servers import RunningServer, refused
from .wire import Wire, get

NODE_ROUTES = {
    "/api/register/{address}",
    "/api/register/{address}/{payout}",
    "/api/ping/{address}",
    "/api/height/{address}/{number}",
    "/api/audit/{address}/{block}/{response}",
    "/api/online",
    "/api/online/json",
    "/api/total",
    "/api/address",
}


@pytest.fixture
async def client(start_client: ClientFactory) -> Client:
    """A client of a server with a registry whose clock stands."""
    return await still(start_client)


def test_routes(directory: Path) -> None:
    """The registry adds its paths, for GET only, where the server is told to keep one; and else none."""

    def routes(**more: Any) -> set[tuple[str, str]]:
        app = create_app(Settings(directory=directory, **more))
        return {(route.method, route.resource.canonical) for route in app.router.routes() if route.resource}

    others = {(method, template_of(path)) for method, path in ROUTES}
    assert others <= routes() and not {path for _, path in routes()} & NODE_ROUTES
    assert routes(farmers=FarmerRules()) - routes() == {("GET", path) for path in NODE_ROUTES}


async def test_off(start_client: ClientFactory) -> None:
    """Without a registry nothing of it is there, and what is said of that is in the server's own words."""
    client = await start_client()
    async with client.get("/api/address") as answer:
        assert (answer.status, (await answer.json())["code"]) == (404, "NotFound")


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
async def test_vectors(client: Client, vector: dict[str, Any]) -> None:
    """What real clients sign is taken, and everything else refused with the one answer to it."""
    registry_of(client).clock = lambda: vector["now"]
    headers = {name: value for name, value in vector["headers"].items() if value is not None}
    answer = await ask(client, f"/api/register/{vector['sender']}", **headers)
    if vector["is_good"]:
        assert (answer[0], json.loads(answer[1])["btc_addr"]) == (200, vector["sender"])
    else:
        assert answer == (401, "Registration Failed: Invalid authentication headers.")


async def test_registered(client: Client) -> None:
    """Who registers is told what is known of it, as `dataserv` tells it."""
    status, text = await ask(client, f"/api/register/{ONE.address}/{PAYOUT}", ONE)
    assert (status, json.loads(text)) == (
        200,
        {
            "btc_addr": ONE.address,
            "payout_addr": PAYOUT,
            "last_seen": 0,
            "height": 0,
            "reg_time": int(NOW_S),
            "uptime": 100.0,
        },
    )


async def test_answers(client: Client) -> None:
    """Each call is answered in the words of `dataserv`."""
    a, b, digest = ONE.address, OTHER.address, "ab" * 32
    await ask(client, f"/api/register/{a}/{PAYOUT}", ONE)
    registering, pinging = "Registration Failed: ", "Ping Failed: "
    no_address, not_signed = "Invalid Bitcoin address.", "Invalid authentication headers."
    for path, key, expected in (
        (f"/api/register/{a}", ONE, (409, registering + "Address already is registered.")),
        (f"/api/register/{b}/x", OTHER, (400, registering + no_address)),
        ("/api/register/x", ONE, (400, registering + no_address)),
        (f"/api/register/{b}", None, (401, registering + not_signed)),
        (f"/api/ping/{a}", ONE, (200, "Ping accepted.")),
        (f"/api/ping/{b}", OTHER, (404, pinging + "Farmer not found.")),
        (f"/api/ping/{b}", ONE, (401, pinging + not_signed)),
        ("/api/ping/x", ONE, (400, pinging + no_address)),
        (f"/api/height/{a}/199999", ONE, (200, "Height accepted.")),
        (f"/api/height/{a}/0012", ONE, (200, "Height accepted.")),
        (f"/api/height/{a}/200000", ONE, (413, "Height limit exceeded.")),
        (f"/api/height/{b}/{'9' * 5000}", OTHER, (413, "Height limit exceeded.")),
        (f"/api/height/{b}/1", OTHER, (404, "Farmer not found.")),
        (f"/api/height/{a}/1", OTHER, (401, "Set height failed: " + not_signed)),
        ("/api/height/x/1", ONE, (400, no_address)),
        (f"/api/audit/{a}/12/{digest}", ONE, (200, "Audit accepted.")),
        (f"/api/audit/{a}/12/{digest}", ONE, (409, "Duplicate audit: Block 12")),
        (f"/api/audit/{a}/13/{digest}0", ONE, (400, "Invalid response.")),
        (f"/api/audit/{b}/13/{digest}", OTHER, (404, "Farmer not found.")),
        (f"/api/audit/{a}/13/{digest}", OTHER, (401, "Audit failed: " + not_signed)),
        (f"/api/audit/x/13/{digest}", ONE, (400, no_address)),
        ("/api/online", None, (200, f"{PAYOUT} |  Last Seen: 0 second(s) | Height: 12<br/>")),
    ):
        assert await ask(client, path, key) == expected, path


@pytest.mark.parametrize(
    "path",
    [
        f"/api/height/{ONE.address}/x",
        f"/api/height/{ONE.address}/-1",
        f"/api/height/{ONE.address}/1.5",
        f"/api/height/{ONE.address}/",
        f"/api/height/{ONE.address}/%D9%A3",
        f"/api/ping/{ONE.address}/",
        "/api/ping/",
        f"/api/register/{ONE.address}/{PAYOUT}/",
        f"/api/audit/{ONE.address}/-1/{'ab' * 32}",
        f"/api/audit/{ONE.address}/{'1' * 19}/{'ab' * 32}",
        "/api/online/",
    ],
)
async def test_no_such_path(client: Client, path: str) -> None:
    """What is no number, or has a slash too many, is no path."""
    assert (await ask(client, path, ONE))[0] == 404


async def test_only_get(client: Client) -> None:
    """No other method does anything, HEAD included: it would register a node."""
    for path in (f"/api/register/{ONE.address}", f"/api/ping/{ONE.address}", "/api/online", "/api/address"):
        for method in ("HEAD", "POST", "PUT", "DELETE"):
            async with client.request(method, path, headers=ONE.headers(NOW_S)) as answer:
                assert (answer.status, answer.headers["Allow"]) == (405, "GET")
    assert await ask(client, "/api/online") == (200, "")


async def test_too_many_requests(client: Client) -> None:
    """Who asks too often is told when to come again, before anything is checked."""
    registry_of(client)._clients = Pace(0.1, 2, lambda: 0)
    for _ in range(2):
        assert (await ask(client, "/api/ping/x"))[0] == 400
    for path in ("/api/ping/x", f"/api/ping/{ONE.address}"):
        async with client.get(path, headers=ONE.headers(NOW_S)) as answer:
            assert (answer.status, await answer.text()) == (429, "Ping Failed: Too many requests.")
            assert answer.headers["Retry-After"] == "10"
    assert (await ask(client, "/api/address"))[0] == (await ask(client, "/api/online"))[0] == 200


async def test_headers_twice(client: Client) -> None:
    """Of two dates, or two signatures, nobody could tell which one counts: so none does."""
    signed = ONE.headers(NOW_S)
    for name, value in signed.items():
        wire = await Wire.to(client)
        lines = "".join(f"{key}: {text}\r\n" for key, text in [*signed.items(), (name, value)])
        request = get(f"api/register/{ONE.address}").replace(b"\r\n\r\n", f"\r\n{lines}\r\n".encode())
        assert (await wire.ask(request)).startswith(b"HTTP/1.1 401 ")
        wire.transport.abort()


SEGMENT = st.one_of(
    st.text(max_size=40), st.sampled_from([ONE.address, PAYOUT, "12", "ab" * 32, "..", "%", ""])
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(
    call=st.sampled_from(["register", "ping", "height", "audit", "online", "total", "address"]),
    segments=st.lists(SEGMENT, max_size=4),
    date=st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=60),
    authorization=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=100),
    is_signed=st.booleans(),
)
def test_never_a_failure(
    call: str, segments: list[str], date: str, authorization: str, is_signed: bool, tmp_path_factory: Any
) -> None:
    """Whatever a request brings, it is answered as the protocol has it and never fails inside."""
    headers = (
        ONE.headers(NOW_S) if is_signed else {"Date": date.strip(), "Authorization": authorization.strip()}
    )
    directory = tmp_path_factory.mktemp("buffers")

    async def one() -> None:
        app = create_app(Settings(directory=directory, writable=True, farmers=FarmerRules()))
        async with TestClient(TestServer(app)) as client:
            app[REGISTRY].clock = lambda: NOW_S
            path = "/".join(["/api", call, *(URL.build(path=f"/{each}").raw_path[1:] for each in segments)])
            async with client.get(URL(path, encoded=True), headers=headers) as answer:
                assert answer.status in (200, 400, 401, 404, 413), await answer.text()

    asyncio.run(one())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "would forget its nodes"),
        (("--writable", "--catalogue", "memory:"), "would forget its nodes"),
        (("--writable", "--max-ping", "900"), "would have nodes go offline"),
        (("--writable", "--online-minutes", "0.5"), "the 30 seconds of --online-minutes"),
    ],
)
def test_refused_start(directory: Path, options: tuple[str, ...], says: str) -> None:
    """A registry that would forget its nodes, have one for each worker, or lose sight of them, is none."""
    assert says in refused("--dir", str(directory), "--node-registry", *options)


def test_options(directory: Path) -> None:
    """Each option is heeded, from the command line and from the environment."""
    options = ("--writable", "--node-registry", "--server-address", OTHER.address, "--height-limit", "3")
    server = RunningServer(directory, *options, env={"HASHSERVER_NODE_RATE": "0.001"})
    try:
        asyncio.run(_heeded(server.url))
    finally:
        assert server.stop() == 0


async def _heeded(url: str) -> None:
    async with ClientSession(url) as session:
        assert (await (await session.get("/api/address")).json())["address"] == OTHER.address
        headers = ONE.headers(time.time(), OTHER.address)
        paths = [f"/api/register/{ONE.address}", f"/api/height/{ONE.address}/3"]
        statuses = [(await session.get(path, headers=headers)).status for path in paths]
        assert statuses == [200, 429]
