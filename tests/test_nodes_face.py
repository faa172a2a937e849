"""Nodes that register and ping: what they are told, and who is not heeded."""

from __future__ import annotations

import asyncio
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from hashserver_aio.catalogue.nodes import PAGE, Announcement
from hashserver_aio.errors import BadArgument
from hashserver_aio.fleet.announcements import parse_url
from hashserver_aio.fleet.rules import KEY_FILE
from hashserver_aio.nodes.keys import KeyPair
from hashserver_aio.server.keys import NODES
from hashserver_aio.settings import NodeRules
from hashserver_aio.store.files import OWN_FOLDER

from .conftest import ClientFactory
from .farmer_keys import PAYOUT
from .node_calls import GIB, LOCAL, SmallNode, asked, listed, node, small_node, url, url_of
from .peers import until

__all__ = ["node", "url"]

CLOCK_OFF_S = 3600


async def test_off(start_client: ClientFactory) -> None:
    """A server without nodes has nothing of all that, and says so in its own words."""
    client = await start_client()
    for path in ("/api/nodes", "/api/nodes/server"):
        async with client.get(path) as answer:
            assert (answer.status, (await answer.json())["code"]) == (404, "NotFound")


async def test_key_is_kept(start_client: ClientFactory, directory: Path) -> None:
    """The server's key is made once, is for its owner only, and is the same after a restart."""
    keys = []
    for _ in range(2):
        client = await start_client(nodes=LOCAL)
        keys.append(await asked(url_of(client), path="/api/nodes/server"))
        await client.close()
    assert keys[0] == keys[1]
    status, told = keys[0]
    assert (status, told["algorithm"], len(told["key"])) == (200, "sha3-256", 64)
    path = directory / OWN_FOLDER / KEY_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert KeyPair.load_or_make(path).id == told["key"]


async def test_key_elsewhere(start_client: ClientFactory, directory: Path, tmp_path: Path) -> None:
    """With a file named for it, the key is there, and not in the directory."""
    path = tmp_path / "key.pem"
    client = await start_client(nodes=NodeRules(key=path))
    _, told = await asked(url_of(client), path="/api/nodes/server")
    assert KeyPair.load_or_make(path).id == told["key"]
    assert not (directory / OWN_FOLDER / KEY_FILE).exists()


async def test_register(url: str, node: SmallNode) -> None:
    """Who proves to be at its URL is taken in, and everybody who may read is told all of it."""
    before_ms = int(time.time() * 1000)
    status, told = await node.register(payout_address=PAYOUT)
    assert (status, told) == (200, (await listed(url))[0])
    assert before_ms - 1 <= told.pop("registered_ms") <= time.time() * 1000
    assert 0 <= told.pop("last_seen_s") < 600
    assert told == {
        "id": node.id,
        "url": node.url,
        "state": "active",
        "online": True,
        "capacity": GIB,
        "used": 0,
        "full": False,
        "record": 0.5,
        "passed": 0,
        "failed": 0,
        "last_failure": None,
        "last_failure_ms": None,
        "payout_address": PAYOUT,
        "placements": {"good": 0, "dead": 0, "surplus": 0},
    }
    assert (await asked(url))[1]["placements"] == dict.fromkeys(
        ("buffers", "lacking", "good", "dead", "surplus"), 0
    )


async def test_register_again(url: str, node: SmallNode) -> None:
    """A node may say something else of itself at any time; it stays one node."""
    assert (await node.register(payout_address=PAYOUT))[0] == 200
    assert (await node.register(url=node.url + "/", capacity=5))[0] == 200
    (told,) = await listed(url)
    assert (told["url"], told["capacity"], told["payout_address"]) == (node.url, 5, None)


async def test_many(start_client: ClientFactory) -> None:
    """All nodes are listed, however many pages they are."""
    client = await start_client(nodes=LOCAL)
    rows, count = client.app[NODES], 2 * PAGE + 1
    said = (Announcement(n.to_bytes(32, "big"), f"http://h:{n}", "", 1, 1, 1) for n in range(1, count + 1))
    await asyncio.gather(*map(rows.register, said))
    assert [int(told["id"], 16) for told in await listed(url_of(client))] == list(range(1, count + 1))


async def test_ping(url: str, node: SmallNode) -> None:
    """Who has registered is heard of, and told when to ping again; who has not is told to."""
    status, told = await node.ping()
    assert (status, told["error"]) == (404, "NodeNotFound")
    await node.register()
    assert await node.ping(7) == (200, {"next_ping_s": 60.0})
    (told,) = await listed(url)
    assert told["capacity"] == 7


async def test_offline(start_client: ClientFactory) -> None:
    """Who was not heard of for a while is offline, until it pings; and it is told to do so in time."""
    client = await start_client(nodes=NodeRules(allow=LOCAL.allow, online_s=0.3))
    url = url_of(client)
    async with small_node(url) as node:
        await node.register()

        async def is_offline() -> bool:
            return not (await listed(url))[0]["online"]

        await until(is_offline, 20)
        assert await node.ping() == (200, {"next_ping_s": pytest.approx(0.1)})


WRONG: dict[str, dict[str, Any]] = {
    "another key": {"pair": KeyPair.make()},
    "another server": {"to": KeyPair.make().public},
    "another method": {"method": "PUT"},
    "another path": {"path": "/api/nodes/register"},
    "a query": {"query": "x=1"},
    "another body": {"digest": bytes(32)},
    "no body": {"digest": None},
    "the past": {"now_s": time.time() - CLOCK_OFF_S},
    "the future": {"now_s": time.time() + CLOCK_OFF_S},
}


@pytest.mark.parametrize("how", WRONG)
async def test_wrong_signatures(node: SmallNode, how: str) -> None:
    """What is not signed by the node, for this server, as this call with this body, now, is refused."""
    await node.register()
    status, told = await node.say("ping", {"capacity": 1}, **WRONG[how])
    wanted = {"another body": (400, "DigestMismatch"), "another key": (404, "NodeNotFound")}
    assert (status, told["error"]) == wanted.get(how, (401, "BadSignature"))
    assert len(told["message"]) > 20
    assert (await listed(node.server_url))[0]["capacity"] == GIB


async def test_somebody_elses_id(node: SmallNode) -> None:
    """Nobody speaks for a node without its key, whatever the signature says whose it is."""
    await node.register()
    other = SmallNode(node.server_url, node.server_key)
    headers = other.signed("/api/nodes/ping", b'{"capacity": 1}')
    headers["Signature-Input"] = headers["Signature-Input"].replace(other.id, node.id)
    status, told = await other.say("ping", b'{"capacity": 1}', headers)
    assert (status, told["error"]) == (401, "BadSignature")
    assert (await other.say("ping", {"capacity": 1}, {}))[0] == 401


async def test_replays(node: SmallNode) -> None:
    """A message is heeded once, and none that was made before one that was heeded."""
    early = node.signed("/api/nodes/ping", b'{"capacity": 1}')
    await node.register()
    ping = node.signed("/api/nodes/ping", b'{"capacity": 2}')
    assert (await node.say("ping", b'{"capacity": 2}', ping))[0] == 200
    for headers, body in ((ping, b'{"capacity": 2}'), (early, b'{"capacity": 1}')):
        status, told = await node.say("ping", body, headers)
        assert (status, told["error"]) == (401, "BadSignature") and "before" in told["message"]
    assert (await listed(node.server_url))[0]["capacity"] == 2
    assert (await node.ping())[0] == 200


async def test_nobody_is_locked_out_by_replays(node: SmallNode) -> None:
    """However often somebody repeats a node's message, the node may speak on."""
    await node.register()
    body = b'{"capacity": 2}'
    ping = node.signed("/api/nodes/ping", body)
    statuses = [(await node.say("ping", body, ping))[0] for _ in range(60)]
    assert statuses == [200, *[401] * 59]
    assert (await node.ping())[0] == 200


BAD = {
    "no JSON": b"{",
    "deep": b"[" * 4000,
    "a list": b"[]",
    "no url": {"capacity": 1, "payout_address": ""},
    "more": {"url": "http://h:1", "capacity": 1, "payout_address": "", "more": 1},
    "twice": b'{"url": "http://h:1", "url": "http://h:2", "capacity": 1, "payout_address": ""}',
    "a number": {"url": 1, "capacity": 1, "payout_address": ""},
    "a text": {"url": "http://h:1", "capacity": "1", "payout_address": ""},
    "true": {"url": "http://h:1", "capacity": True, "payout_address": ""},
    "a fraction": {"url": "http://h:1", "capacity": 1.0, "payout_address": ""},
    "less than nothing": {"url": "http://h:1", "capacity": -1, "payout_address": ""},
    "too much": {"url": "http://h:1", "capacity": 2**60 + 1, "payout_address": ""},
    "no address": {"url": "http://h:1", "capacity": 1, "payout_address": "x"},
    "no URL": {"url": "h", "capacity": 1, "payout_address": ""},
}


@pytest.mark.parametrize("what", BAD)
async def test_bad_bodies(node: SmallNode, what: str) -> None:
    """What is not said as it is to be said is refused with a sentence, and nobody is called for it."""
    status, told = await node.say("register", BAD[what])
    assert (status, len(told["message"]) > 15) == (400, True)
    assert not await listed(node.server_url) and not node.asked


async def test_a_long_body(node: SmallNode) -> None:
    """No more is read of a body than a node can have to say."""
    status, told = await node.say("register", b" " * 4097)
    assert (status, told["error"]) == (413, "BufferTooLarge")


@pytest.mark.parametrize(
    "text",
    ["", "h", "//h", "ftp://h", "http://", "http://h/path", "http://h?q", "http://h?", "http://h#f", "http://u@h",
     "http://u:p@h", "http://h:99999", "http://h:0", "http://h h", "http://h\n", "http://h\\x", "http://é",
     "http://" + "h" * 300, "http://[::1", "http://h//"],
)  # fmt: skip
def test_bad_urls(text: str) -> None:
    """A node's URL is where it is, and nothing else."""
    with pytest.raises(BadArgument):
        parse_url(text)


@pytest.mark.parametrize(
    ("text", "url"),
    [("http://h:1/", "http://h:1"), ("HTTP://H:80", "http://h"), ("https://h:443/", "https://h"),
     ("http://[::1]:5", "http://[::1]:5"), ("http://127.0.0.1:9001", "http://127.0.0.1:9001")],
)  # fmt: skip
def test_good_urls(text: str, url: str) -> None:
    """Two spellings of a URL are one, so that two nodes can't be at it."""
    assert parse_url(text) == url
