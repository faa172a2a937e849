"""What an operator has nodes do, and buffers placed on them; and who is no operator."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from hashserver_aio.catalogue.nodes import Announcement, NodeState
from hashserver_aio.checksums import Checksum
from hashserver_aio.counting import AUDIT_RESULTS
from hashserver_aio.nodes.record import Failure
from hashserver_aio.server.keys import COUNTS, NODES

from .conftest import Client, ClientFactory
from .fast import name_of
from .node_calls import LOCAL, SmallNode, asked, listed, node, small_node, url, url_of
from .scrapes import scraped

__all__ = ["node", "url"]

ABSENT = "cd" * 32
ORIGIN = {"Origin": "https://foreign.example"}


@pytest.fixture
async def client(start_client: ClientFactory) -> Client:
    """A client of a server whose nodes may be on this machine, where its operator is, too."""
    return await start_client(nodes=LOCAL, is_local=True)


async def ordered(url: str, node: str, verb: str) -> tuple[int, dict[str, Any]]:
    """Have a node do something."""
    if verb == "remove":
        return await asked(url, "DELETE", f"/api/nodes/{node}")
    return await asked(url, "POST", f"/api/nodes/{node}/{verb}")


async def test_states(url: str, node: SmallNode) -> None:
    """An operator pauses, drains and resumes a node, also by how its id begins, and everybody sees it."""
    await node.register()
    for verb, state in (("pause", "paused"), ("drain", "draining"), ("resume", "active")):
        for name in (node.id, node.id[:8], node.id[:20].upper()):
            status, told = await ordered(url, name, verb)
            assert (status, told["id"], told["state"]) == (200, node.id, state)
        assert (await asked(url, path=f"/api/nodes/{node.id[:9]}"))[1]["state"] == state
        assert (await node.ping())[0] == 200
        await node.register(capacity=5)
        assert (await listed(url))[0]["state"] == state


async def test_removed(url: str, node: SmallNode) -> None:
    """Who was removed stays out, and is told so, until the operator lets it register again."""
    await node.register()
    assert (await ordered(url, node.id, "remove"))[1]["state"] == "removed"
    for status, told in (await node.ping(), await node.register()):
        assert (status, told["error"]) == (403, "NotPermitted") and "removed" in told["message"]
    for verb in ("pause", "drain"):
        status, told = await ordered(url, node.id, verb)
        assert (status, told["error"]) == (400, "BadArgument") and "resume" in told["message"]
    assert [(each["state"], each["online"]) for each in await listed(url)] == [("removed", False)]
    asked_before = node.asked
    await node.register()
    assert node.asked == asked_before  # who stays out anyhow is not called
    assert (await ordered(url, node.id, "resume"))[0] == 200
    assert (await node.register())[0] == 200
    assert [(each["state"], each["url"]) for each in await listed(url)] == [("active", node.url)]


@pytest.mark.parametrize(
    ("name", "status", "error"),
    [("ab" * 32, 404, "NodeNotFound"), ("ab" * 4, 404, "NodeNotFound"), ("ab" * 33, 400, "BadArgument"),
     ("abcdef0", 400, "BadArgument"), ("nonsense", 400, "BadArgument"), ("%2e%2e%2fxx", 400, "BadArgument")],
)  # fmt: skip
async def test_unknown(url: str, name: str, status: int, error: str) -> None:
    """An id that is none, or nobody's, is refused in the words of this face."""
    for verb in ("pause", "resume", "drain", "remove"):
        answer, told = await ordered(url, name, verb)
        assert (answer, told["error"]) == (status, error)
    assert (await asked(url, path=f"/api/nodes/{name}"))[0] == status


async def test_alike(client: Client) -> None:
    """What two ids begin with names neither."""
    assert client.app is not None
    for ending in (b"\0", b"\1"):
        said = Announcement(bytes(31) + ending, f"http://h{ending[0]}", "", 1, message=1, at_ms=1)
        await client.app[NODES].register(said)
    status, told = await ordered(url_of(client), "00" * 20, "remove")
    assert (status, told["error"]) == (400, "BadArgument") and "2 nodes" in told["message"]
    assert {each["state"] for each in await listed(url_of(client))} == {"active"}


async def test_long_listing(client: Client) -> None:
    """A listing of many nodes is whole, each once, in the order of registering."""
    assert client.app is not None
    rows, keys = client.app[NODES], [number.to_bytes(32, "big") for number in range(600)]
    for number, key in enumerate(keys):
        await rows.register(Announcement(key, f"http://h:{number + 1}", "", number, message=1, at_ms=1))
    found = await listed(url_of(client))
    assert [each["id"] for each in found] == [key.hex() for key in keys]
    assert [each["capacity"] for each in found] == list(range(600))


async def placing(url: str, checksums: Sequence[str], replicas: int) -> tuple[int, dict[str, Any]]:
    """Have buffers placed."""
    wish = json.dumps({"checksums": list(checksums), "replicas": replicas})
    return await asked(url, "POST", "/api/nodes/place", data=wish)


async def test_place(client: Client) -> None:
    """What is held is to be placed as often as is said; what is not is told, and nothing is placed of it."""
    assert client.app is not None
    rows, url = client.app[NODES], url_of(client)
    names = [Checksum(name_of(body)) for body in (b"one", b"", b"three")]
    for body in (b"one", b"", b"three"):
        await client.put(f"/{name_of(body)}", data=body)
    status, told = await placing(url, [*names, names[0], ABSENT], 2)
    assert (status, told) == (200, {"placed": 3, "absent": [ABSENT]})
    placed = [rows.placed(name) for name in names]
    assert [each and (each.size, each.replicas) for each in placed] == [(3, 2), (0, 2), (5, 2)]
    assert rows.placed(Checksum(ABSENT)) is None
    assert (await placing(url, names[:1], 0))[1] == {"placed": 1, "absent": []}
    assert rows.placed(names[0]) is None
    assert (await asked(url))[1]["placements"]["buffers"] == 2


async def test_place_what_was_lost(client: Client) -> None:
    """Of what is on nodes only, the number of replicas can be changed, too."""
    assert client.app is not None
    rows, name = client.app[NODES], Checksum(ABSENT)
    await rows.want(name, 7, 1, 1)
    assert (await placing(url_of(client), [name], 3))[1] == {"placed": 1, "absent": []}
    placed = rows.placed(name)
    assert placed is not None and (placed.size, placed.replicas) == (7, 3)


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [(b"{", 400, "BadBody"), (b"[]", 400, "BadBody"), (b'{"checksums": []}', 400, "BadBody"),
     (b'{"checksums": "ab", "replicas": 1}', 400, "BadBody"),
     (b'{"checksums": ["ab"], "replicas": 1}', 400, "BadChecksum"),
     (b'{"checksums": [1], "replicas": 1}', 400, "BadChecksum"),
     (b'{"checksums": [], "replicas": -1}', 400, "BadBody"),
     (b'{"checksums": [], "replicas": 101}', 400, "BadBody"),
     (b'{"checksums": [], "replicas": true}', 400, "BadBody"),
     (b'{"checksums": [], "replicas": 1, "x": 1}', 400, "BadBody"), (b" " * 131_073, 413, "BufferTooLarge")],
)  # fmt: skip
async def test_bad_wishes(url: str, body: bytes, status: int, error: str) -> None:
    """What can't be wished is refused with a sentence."""
    answer, told = await asked(url, "POST", "/api/nodes/place", data=body)
    assert (answer, told["error"]) == (status, error) and told["message"]


async def orders(url: str, node: str, **more: Any) -> list[tuple[int, dict[str, Any]]]:
    """Give every order that only an operator gives."""
    wish = b'{"checksums": [], "replicas": 1}'
    given = [("POST", f"/{node}/{verb}", None) for verb in ("pause", "resume", "drain")]
    given += [("DELETE", f"/{node}", None), ("POST", "/place", wish)]  # type: ignore[list-item]
    return [await asked(url, method, f"/api/nodes{path}", data=data, **more) for method, path, data in given]


async def test_strangers(start_client: ClientFactory) -> None:
    """Without an access file nobody orders anything of a server that others can reach; all may list."""
    url = url_of(await start_client(nodes=LOCAL))
    async with small_node(url) as node:
        assert (await node.register())[0] == 200
        for status, told in await orders(url, node.id):
            assert (status, told["error"]) == (403, "NotPermitted") and "--auth-file" in told["message"]
        assert [each["state"] for each in await listed(url)] == ["active"]


async def test_foreign_pages(url: str, node: SmallNode) -> None:
    """A web page that somebody looks at on the server's machine orders nothing."""
    await node.register()
    for status, told in await orders(url, node.id, headers=ORIGIN):
        assert (status, told["error"]) == (403, "ForeignOrigin")
    assert [each["state"] for each in await listed(url)] == ["active"]


async def test_metrics(client: Client) -> None:
    """Nodes are counted by state, placements, audits, pushes and rescues; a server without nodes has none."""
    assert client.app is not None
    url, rows, counts = url_of(client), client.app[NODES], client.app[COUNTS]
    async with small_node(url) as node:
        await node.register()
        said = Announcement(bytes(32), "http://h:1", "", 1, message=1, at_ms=1)
        await rows.register(said)
        await rows.set_state(bytes(32), NodeState.PAUSED, 1)
        await rows.want(Checksum(ABSENT), 7, 1, 1)
        counts.audited("late")
        found = await scraped(client)
    nodes = {key[1:]: value for key, value in found.items() if key[0] == "nodes"}
    assert len(nodes) == 8
    assert {key for key, value in nodes.items() if value} == {("true", "active"), ("false", "paused")}
    assert {key[1]: value for key, value in found.items() if key[0] == "audits_total"} == {
        "passed": 0, "wrong": 0, "missing": 0, "late": 1, "unreachable": 0, "refused": 0,
    }  # fmt: skip
    assert (found["placed_buffers",], found["lacking_replicas",]) == (1, 1)
    assert {key[1] for key in found if key[0] == "placements"} == {"good", "dead", "surplus"}
    assert (found["pushes_total",], found["rescues_total",]) == (0, 0)
    assert found["requests_total", "nodes", "POST", "200"] == 1


def test_results() -> None:
    """What an audit can come to is what is counted."""
    assert set(AUDIT_RESULTS) == {"passed", *Failure}


async def test_no_metrics(start_client: ClientFactory) -> None:
    """A server that has no nodes tells no numbers of any."""
    names = {key[0] for key in await scraped(await start_client())}
    assert not names & {"nodes", "placements", "audits_total", "pushes_total", "lacking_replicas"}
