"""The axon's feed: what came, in what order; followed live; and never mistaken for another one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from hashserver_aio.catalogue import Held
from hashserver_aio.server.keys import BUFFERS

from .axon import API, by, items, lines, put, refusal, result, sha256
from .conftest import Client, ClientFactory


@pytest.fixture
async def client(start_client: ClientFactory) -> Client:
    """A client of a server that deletes, too."""
    return await start_client(allow_delete=True)


def item(index: int, body: bytes) -> list[object]:
    """Word an item of the feed."""
    return [index, [sha256(body), len(body)]]


async def test_order(client: Client) -> None:
    """Indexes count arrivals from 0; the deleted are left out, and what comes again comes last."""
    for body in (b"one", b"two", b"three"):
        await put(client, body)
    await client.delete(by(b"two"))
    assert await items(client, "hashes") == [item(0, b"one"), item(2, b"three")]
    await put(client, b"two")
    assert await items(client, "hashes", offset=1) == [item(2, b"three"), item(3, b"two")]
    found = await lines(client, "hashes", offset=1000)
    assert [kind for kind, _ in found] == ["feed-id", "end"] and found[-1][1] == {"offset": 1000}
    assert await result(await client.get(f"{API}/metrics")) == {"file:count": 3, "size:bytes": 11}


async def test_history(client: Client) -> None:
    """History keeps what was deleted, each with its time; both ends of a span belong to it."""
    for body in (b"one", b"two"):
        await put(client, body)
        await asyncio.sleep(0.005)
    await client.delete(by(b"one"))
    first, second = await items(client, "history")
    assert [first[1], second[1]] == [[sha256(b"one"), 3], [sha256(b"two"), 3]]
    assert await items(client, "history", tick=first[0], tock=first[0]) == [first]
    assert await items(client, "history", tick=first[0] + 1) == [second]
    assert await items(client, "history", tick=second[0] + 1) == []


async def test_pages(client: Client, start_client: ClientFactory) -> None:
    """A feed of several pages is told whole, and can be gone on with from anywhere."""
    bodies = [b"%d" % number for number in range(2_345)]
    for begin in range(0, len(bodies), 200):
        await asyncio.gather(*(put(client, body) for body in bodies[begin : begin + 200]))
    found = await items(client, "hashes")
    assert [index for index, _ in found] == list(range(len(bodies)))
    assert {name for _, (name, _) in found} == set(map(sha256, bodies))
    assert await items(client, "hashes", offset=999) == found[999:]
    assert [each[1] for each in await items(client, "history")] == [each[1] for each in found]


async def test_follow(client: Client, start_client: ClientFactory) -> None:
    """Whoever waits is told what comes from now on, through whichever server, until nothing does."""
    other = await start_client()
    await put(client, b"one")

    async def bring() -> None:
        for server, body in ((client, b"two"), (other, b"three")):
            await asyncio.sleep(0.3)
            await put(server, body)

    task = asyncio.create_task(bring())
    found = await items(client, "hashes", wait="true", timeout=1)
    assert found == [item(0, b"one"), item(1, b"two"), item(2, b"three")]
    await task


async def test_follow_from_the_start(client: Client) -> None:
    """A server that holds nothing yet tells its feed's identity with the first buffer."""
    following = asyncio.create_task(lines(client, "hashes", wait=1, timeout=1))
    await asyncio.sleep(0.3)
    await put(client, b"one")
    (kind, feed_id), *rest = await following
    assert (kind, len(feed_id)) == ("feed-id", 32)
    assert rest == [("item", item(0, b"one")), ("end", {"offset": 1})]


async def test_another_feed(client: Client, directory: Path) -> None:
    """An offset of a catalogue that was lost is refused; who followed it is told so."""
    await put(client, b"one")
    (_, feed_id), *_ = await lines(client, "hashes")
    assert await items(client, "hashes", feed_id=feed_id) == [item(0, b"one")]
    following = asyncio.create_task(lines(client, "hashes", wait=1, timeout=5))
    await asyncio.sleep(0.4)
    for path in (directory / ".hashserver-aio").glob("catalogue.sqlite*"):
        path.unlink()
    await put(client, b"two")
    kind, error = (await following)[-1]
    assert (kind, error["code"]) == ("error", "FeedChanged")
    answer = await client.get(f"{API}/hashes", params={"feed-id": feed_id})
    assert (await refusal(answer))[:2] == (409, "FeedChanged")


async def test_history_of_another_catalogue(client: Client, directory: Path, monkeypatch: Any) -> None:
    """A history whose catalogue was lost in the middle does not look as if it had come to its end."""
    for number in range(3):
        await put(client, b"%d" % number)
    assert client.app is not None
    catalogue = client.app[BUFFERS].catalogue
    ordinary, asked = catalogue.history, []

    def lost(after: tuple[int, int], until_ms: int) -> list[Held]:
        asked.append(after)
        if len(asked) > 1:
            for path in (directory / ".hashserver-aio").glob("catalogue.sqlite*"):
                path.unlink()
        return ordinary(after, until_ms)

    monkeypatch.setattr(catalogue, "history", lost)
    kind, error = (await lines(client, "history"))[-1]
    assert (kind, error["code"]) == ("error", "FeedChanged")


async def test_stopping(start_client: ClientFactory) -> None:
    """A server that stops does not let a follower take that for the end."""
    client = await start_client()
    await put(client, b"one")
    async with client.get(f"{API}/hashes", params={"wait": "1"}) as answer:
        await answer.content.readline()
        assert client.app is not None
        client.app[BUFFERS].close()
        rest = [json.loads(line) for line in (await answer.content.read()).splitlines()]
    assert rest[-1]["error"]["code"] == "Busy"


async def test_follower_leaves(client: Client) -> None:
    """A follower that hangs up is waited for no longer."""
    await put(client, b"one")
    assert client.app is not None
    waiting = client.app[BUFFERS]._waiting
    for _ in range(3):
        answer = await client.get(f"{API}/hashes", params={"wait": "1"})
        await answer.content.readline()
        answer.close()
    await asyncio.sleep(0.5)
    assert waiting._count == 0


@pytest.mark.parametrize(
    "query",
    ["offset=-1", "offset=x", "offset=1.5", "offset=", "offset=" + "9" * 30, f"offset={2**62 + 1}",
     "wait=maybe", "timeout=-1",
     "timeout=nan", "timeout=inf", "timeout=x"],
)  # fmt: skip
async def test_bad_arguments(client: Client, query: str) -> None:
    """What can't be understood is refused, by its name."""
    status, code, mesg = await refusal(await client.get(f"{API}/hashes?{query}"))
    assert (status, code) == (400, "BadArg") and mesg.startswith(query.partition("=")[0])


def multipart(*parts: bytes) -> tuple[bytes, dict[str, str]]:
    """Word a multipart body, and its header."""
    boundary = os.urandom(8).hex()
    head = b"Content-Disposition: form-data; name=file; filename=x\r\n\r\n"
    body = b"".join(b"--%b\r\n%b%b\r\n" % (boundary.encode(), head, part) for part in parts)
    whole = body + b"--%b--\r\n" % boundary.encode()
    return whole, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


BODIES = [b"one", b"", b"\r\n--\r\n", os.urandom(300_000), b"\r\n", bytes(70_000), b"one"]


@pytest.mark.parametrize("slices", [1, 7, 1000])
async def test_puts(client: Client, slices: int) -> None:
    """Each part of a multipart body is a buffer, wherever the network cuts it."""
    whole, headers = multipart(*BODIES)
    step = len(whole) // slices + 1

    async def slowly() -> object:
        for begin in range(0, len(whole), step):
            yield whole[begin : begin + step]
            await asyncio.sleep(0.06 if slices == 7 else 0)

    answer = await client.post(f"{API}/puts", data=slowly(), headers=headers)
    assert await result(answer) == [[len(body), sha256(body)] for body in BODIES]
    for body in BODIES:
        assert await (await client.get(by(body))).read() == body


async def test_bad_puts(client: Client) -> None:
    """A body that is not the parts it says it is is refused, and never with a success."""
    whole, headers = multipart(b"one", b"two" * 30_000)
    for data in (
        whole[:-10],
        whole[:100],
        whole[:-40_000],
        b"",
        b"no parts",
        whole.replace(b"\r\n--", b"\r\n-+"),
    ):
        answer = await client.post(f"{API}/puts", data=data, headers=headers)
        assert (await refusal(answer))[:2] == (400, "SchemaViolation")
    for kind in ("text/plain", "multipart/form-data", "multipart/mixed; boundary=" + "b" * 100):
        answer = await client.post(f"{API}/puts", data=whole, headers={"Content-Type": kind})
        assert (await refusal(answer))[:2] == (400, "SchemaViolation")
    nested = b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n--b--\r\n"
    answer = await client.post(
        f"{API}/puts", data=nested, headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    assert (await refusal(answer))[:2] == (400, "SchemaViolation")
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(client.get(f"{API}/metrics"), 5)
