"""Who is online, as people and programs are told it."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hashserver_aio.catalogue import farmer_rows
from hashserver_aio.catalogue.farmers import PAGE
from hashserver_aio.settings import FarmerRules

from .conftest import Client, ClientFactory
from .farmer_calls import NOW_S, ONE, ask, registry_of, still
from .farmer_keys import NodeKey


@pytest.fixture
async def client(start_client: ClientFactory) -> Client:
    """A client of a server with a registry whose clock stands."""
    return await still(start_client)


async def test_listings(client: Client) -> None:
    """Listed is who is online, the highest first, in words for people and in JSON; nothing is cached."""
    registry, now_s = registry_of(client), NOW_S
    registry.clock = lambda: now_s
    empty = await ask(client, "/api/online/json"), await ask(client, "/api/online")
    assert empty == ((200, '{"farmers": []}'), (200, ""))
    keys = [NodeKey(number) for number in range(1, 4)]
    for key in keys:
        assert (await ask(client, f"/api/register/{key.address}", key))[0] == 200
    for key, height in zip(keys, (5, 4096, 5), strict=True):
        await ask(client, f"/api/height/{key.address}/{height}", key)
    order = [keys[1], keys[0], keys[2]]
    for passed_s, words in (
        (0, "0 second(s)"),
        (59, "59 second(s)"),
        (1, "1 minute(s)"),
        (839.5, "14 minute(s)"),
    ):
        now_s += passed_s
        farmers = json.loads((await ask(client, "/api/online/json"))[1])["farmers"]
        assert [farmer["btc_addr"] for farmer in farmers] == [key.address for key in order]
        assert {farmer["last_seen"] for farmer in farmers} == {int(now_s - NOW_S)}
        lines = (await ask(client, "/api/online"))[1].split("<br/>")
        assert lines[0] == f"{order[0].address} |  Last Seen: {words} | Height: 4096"
        assert len(lines) == 4 and lines[-1] == ""
        total = json.loads((await ask(client, "/api/total"))[1])
        assert total == {"id": int(now_s // 1800), "total_TB": 0.5, "total_farmers": 3}
    await ask(client, f"/api/ping/{ONE.address}", ONE)
    now_s += 1
    farmers = json.loads((await ask(client, "/api/online/json"))[1])["farmers"]
    assert [farmer["btc_addr"] for farmer in farmers] == [ONE.address]
    assert json.loads((await ask(client, "/api/total"))[1])["total_TB"] == 0.0
    assert json.loads((await ask(client, "/api/address"))[1]) == {"address": FarmerRules().server_address}
    async with client.get("/api/online/json") as answer:
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"


async def test_hours(start_client: ClientFactory) -> None:
    """Who was seen hours ago is said to have been."""
    client = await still(start_client, farmers=FarmerRules(online_s=86_400 * 3))
    await ask(client, f"/api/register/{ONE.address}", ONE)
    registry_of(client).clock = lambda: NOW_S + 25 * 3600 + 5
    assert (await ask(client, "/api/online"))[1] == f"{ONE.address} |  Last Seen: 25 hour(s) | Height: 0<br/>"


async def test_many_farmers(client: Client, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listings of 100,000 nodes are read a page at a time, and others are served in between."""
    await ask(client, f"/api/register/{ONE.address}", ONE)
    with closing(sqlite3.connect(directory / ".hashserver-aio" / "catalogue.sqlite")) as file, file:
        columns = "address, payout_address, registered_ms, last_seen_ms, online_ms, height"
        seen_ms, chance = int(NOW_S * 1000), random.Random(1)
        rows = (
            (f"node {number}", "payout", seen_ms, seen_ms, 0, chance.randrange(50))
            for number in range(99_999)
        )
        file.executemany(f"INSERT INTO farmers ({columns}) VALUES (?, ?, ?, ?, ?, ?)", rows)
    sizes, page = [], farmer_rows._page

    def counted(*given: Any, **more: Any) -> Any:
        found = page(*given, **more)
        sizes.append(len(found))
        return found

    monkeypatch.setattr(farmer_rows, "_page", counted)
    served = 0

    async def others() -> None:
        nonlocal served
        while True:
            assert (await client.get("/healthcheck")).status == 200
            served += 1

    beside = asyncio.create_task(others())
    status, text = await ask(client, "/api/online/json")
    beside.cancel()
    farmers = json.loads(text)["farmers"]
    assert status == 200 and len({farmer["btc_addr"] for farmer in farmers}) == 100_000
    heights = [farmer["height"] for farmer in farmers]
    assert heights == sorted(heights, reverse=True)
    assert sizes == [PAGE] * (100_000 // PAGE) + [0]
    assert served > 10
    assert (await ask(client, "/api/online"))[1].count("<br/>") == 100_000
    assert json.loads((await ask(client, "/api/total"))[1])["total_farmers"] == 100_000


async def test_unusable_catalogue(client: Client, directory: Path) -> None:
    """While the catalogue can't be read that is said; nobody is told that he is unknown, or all are gone."""
    await ask(client, f"/api/register/{ONE.address}", ONE)
    with closing(sqlite3.connect(directory / ".hashserver-aio" / "catalogue.sqlite")) as file:
        file.execute("ALTER TABLE farmers RENAME TO gone")
    for path in (f"/api/ping/{ONE.address}", "/api/online", "/api/online/json", "/api/total"):
        async with client.get(path, headers=ONE.headers(NOW_S)) as answer:
            assert answer.status == 500, path


async def test_listings_need_permission(start_client: ClientFactory, tmp_path: Path) -> None:
    """With an access file listings are for who may read; nodes come with their signatures, as ever."""
    auth_file = tmp_path / "auth.toml"
    auth_file.write_text("")
    client = await still(start_client, auth_file=auth_file)
    for path in ("/api/online", "/api/online/json", "/api/total"):
        async with client.get(path) as answer:
            assert answer.status == 401 and answer.headers["WWW-Authenticate"].startswith("Basic ")
    assert (await ask(client, "/api/address"))[0] == 200
    assert (await ask(client, f"/api/register/{ONE.address}", ONE))[0] == 200


async def test_counted(client: Client) -> None:
    """Calls of nodes are counted as those of a face of their own."""
    await ask(client, f"/api/register/{ONE.address}", ONE)
    await ask(client, "/api/ping/x")
    text = await (await client.get("/metrics", headers={"Accept-Encoding": "identity"})).text()
    assert 'hashserver_requests_total{face="farmers",method="GET",status="200"} 1.0' in text
    assert 'hashserver_requests_total{face="farmers",method="GET",status="400"} 1.0' in text
