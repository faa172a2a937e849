"""Copying a server to another: whole, verified, and on from where it was, whatever ended it."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from hashserver_aio import Client
from hashserver_aio.client.feed import Arrival
from hashserver_aio.client.mirror import BATCH, Mirror, Place, StateFile, Tally
from hashserver_aio.errors import BadArgument, LimitReached
from hashserver_aio.settings import Limits

from .clients import LONG, name, sha256
from .conftest import Connect, ServerFactory
from .servers import COMMAND, RunningServer
from .test_tools import Tool

ABSENT = "ab" * 32
BODIES = [random.Random(number).randbytes(number * 1000) for number in range(40)]


class Run:
    """A mirror from one client to another, and what it said."""

    def __init__(self, source: Client, target: Client, state: Path) -> None:
        self.said: list[str] = []
        self.copied: list[str] = []
        self.state = StateFile(state, source.url, target.url)
        self.mirror = Mirror(source, target, self.state, self.said.append, self.moved)

    def moved(self, arrival: Arrival, is_copied: bool) -> None:
        """Note what was copied."""
        if is_copied:
            self.copied.append(arrival.sha256)

    async def all(self) -> Tally:
        """Copy all that there is."""
        return await self.mirror.run(follow=False)


@pytest.fixture
async def two(connect: Connect, tmp_path: Path) -> AsyncIterator[tuple[Client, Client]]:
    """A server to copy from, of SHA3-256, and one to copy to, of SHA-256."""
    for each in ("from", "to"):
        (tmp_path / each).mkdir()
    source = await connect(directory=tmp_path / "from", algorithm="sha3-256")
    yield source, await connect(directory=tmp_path / "to", algorithm="sha-256")


async def test_copy(two: tuple[Client, Client], tmp_path: Path) -> None:
    """All is copied, whatever either server names it by; what is deleted is not, nor deletes anything."""
    source, target = two
    for body in (*BODIES, LONG, b"gone"):
        await source.put(body)
    await source.remove(name(b"gone"))
    await target.put(BODIES[1])
    await target.put(b"of its own")
    tally = await Run(source, target, tmp_path / "state").all()
    assert (tally.copied, tally.held, tally.gone, tally.failed) == (len(BODIES), 1, 0, 0)
    for body in (*BODIES, LONG, b"of its own"):
        assert await target.get(sha256(body)) == body
    await source.remove(name(LONG))
    await source.put(b"new")
    again = Run(source, target, tmp_path / "state")
    assert (await again.all(), again.said) == (Tally(copied=1, bytes=3), [])
    assert await target.has(sha256(LONG))


async def test_pages(two: tuple[Client, Client], tmp_path: Path) -> None:
    """More than a batch is copied, each once; the place is kept behind it."""
    source, target = two
    count = 2 * BATCH + 7
    await asyncio.gather(*(source.puts([b"%d" % n for n in range(i, count, 10)]) for i in range(10)))
    run = Run(source, target, tmp_path / "state")
    assert (await run.all()).copied == count and len(set(run.copied)) == count
    assert run.state.read().offset == count


async def test_another_feed(two: tuple[Client, Client], tmp_path: Path) -> None:
    """If the feed is another one the mirror says so, and starts over: nothing of the new one is left out."""
    source, target = two
    for body in BODIES[:5]:
        await source.put(body)
    first = Run(source, target, tmp_path / "state")
    await first.all()
    first.state.write(Place("f" * 32, 1_000))
    again = Run(source, target, tmp_path / "state")
    assert (await again.all()).held == 5
    assert len(again.said) == 1 and "starting over" in again.said[0]
    assert (again.state.read().offset, len(again.state.read().feed_id)) == (5, 32)


async def test_rot(two: tuple[Client, Client], tmp_path: Path) -> None:
    """A buffer that is corrupt there is told and not copied, keeps no other, and is tried again next time."""
    source, target = two
    for body in BODIES[:6]:
        await source.put(body)
    bad = tmp_path / "from" / name(BODIES[3])[:2] / name(BODIES[3])
    bad.chmod(0o644)
    bad.write_bytes(bytes(len(BODIES[3])))
    for copied in (5, 0):
        run = Run(source, target, tmp_path / "state")
        tally = await run.all()
        assert (tally.copied, tally.failed, len(run.said)) == (copied, 1, 1) and sha256(
            BODIES[3]
        ) in run.said[0]
        assert run.state.read().offset == 3
    assert not await target.has(sha256(BODIES[3]))
    await source.put(BODIES[3])
    assert (await Run(source, target, tmp_path / "state").all()).failed == 0
    assert await target.has(sha256(BODIES[3]))


async def test_liar(connect: Connect, tmp_path: Path) -> None:
    """What a server sends under a wrong name never arrives at the other one."""
    target = await connect()
    told = [{"feed-id": "a" * 32}, {"item": [0, [ABSENT, 5]]}, {"end": {"offset": 1}}]
    lines = "".join(json.dumps(each) + "\n" for each in told)

    async def hashes(request: web.Request) -> web.StreamResponse:
        return web.Response(text=lines, content_type="application/x-ndjson")

    async def wrong(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"wrong")

    from .fetches import target as serving

    routes = {"/api/v1/axon/hashes": hashes, "/api/v1/axon/files/by/{name}/{sha256}": wrong}
    async with serving(routes) as url, Client(url, algorithm="sha3-256") as source:
        assert (await Run(source, target, tmp_path / "state").all()).failed == 1
    assert (await target.metrics())["file:count"] == 0


async def test_full(connect: Connect, tmp_path: Path) -> None:
    """A server that takes no more ends it; the place stays before what it did not take."""
    for each in ("from", "to"):
        (tmp_path / each).mkdir()
    source = await connect(directory=tmp_path / "from")
    target = await connect(directory=tmp_path / "to", limits=Limits(count=3))
    for body in BODIES[:6]:
        await source.put(body)
    run = Run(source, target, tmp_path / "state")
    with pytest.raises(LimitReached):
        await run.all()
    assert run.state.read() == Place() and (await target.metrics())["file:count"] <= 3


def test_state_of_others(tmp_path: Path) -> None:
    """A state that is of another mirror, or none at all, is not taken for this one's."""
    state = StateFile(tmp_path / "deep" / "state", "a", "b")
    assert state.read() == Place()
    state.write(Place("f", 7))
    assert state.read() == Place("f", 7)
    with pytest.raises(BadArgument):
        StateFile(state.path, "a", "c").read()
    state.path.write_text("no JSON")
    with pytest.raises(BadArgument):
        state.read()


# the command


@pytest.fixture
def servers(start_server: ServerFactory, tmp_path: Path) -> tuple[RunningServer, RunningServer]:
    """A server to copy from, and one to copy to, in processes of their own."""
    for each in ("from", "to"):
        (tmp_path / each).mkdir()
    return start_server(tmp_path / "from", "--writable"), start_server(tmp_path / "to", "--writable")


async def fill(url: str, bodies: list[bytes]) -> None:
    """Put buffers."""
    async with Client(url) as client:
        await asyncio.gather(*map(client.put, bodies))


def test_killed(servers: tuple[RunningServer, RunningServer], tmp_path: Path) -> None:
    """A mirror that is killed again and again goes on each time, and in the end has copied all of it."""
    bodies = [random.Random(number).randbytes(300_000) for number in range(300)]
    asyncio.run(fill(servers[0].url, bodies))
    tool = Tool(servers[0].url, XDG_STATE_HOME=str(tmp_path / "home"))
    command = [*COMMAND, "mirror", servers[0].url, servers[1].url]
    for lines in (5, 40):
        with subprocess.Popen(command, env=tool.env, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(lines):
                process.stdout.readline()
            process.kill()
    done = tool("mirror", servers[0].url, servers[1].url, "--json")
    *_, tally = [json.loads(line) for line in done.stdout.splitlines()]
    assert (tally["copied"] + tally["held"], tally["failed"]) == (300, 0) and tally["held"] >= 45
    (state,) = (tmp_path / "home").rglob("*.json")
    assert json.loads(state.read_text())["offset"] == 300
    assert "0 copied, 0 held" in tool("mirror", servers[0].url, servers[1].url).stderr


def test_follow(
    servers: tuple[RunningServer, RunningServer], start_server: ServerFactory, tmp_path: Path
) -> None:
    """A follower copies what comes within a moment, also after the source was away."""
    tool = Tool(servers[0].url, XDG_STATE_HOME=str(tmp_path / "home"))
    command = [*COMMAND, "mirror", "--follow", servers[0].url, servers[1].url]
    with subprocess.Popen(command, env=tool.env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        asyncio.run(fill(servers[0].url, [b"one"]))
        assert process.stdout.readline() == f"{sha256(b'one')} 3\n"
        servers[0].kill()
        time.sleep(0.5)
        again = start_server(tmp_path / "from", "--writable", "--port", str(servers[0].port))
        asyncio.run(fill(again.url, [b"three"]))
        assert process.stdout.readline() == f"{sha256(b'three')} 5\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130


def test_usage(servers: tuple[RunningServer, RunningServer], tmp_path: Path) -> None:
    """A state of another mirror is refused in a sentence; so is a URL that is none."""
    tool, state = Tool(servers[0].url), tmp_path / "state"
    state.write_text("{}")
    assert "no state" in tool("mirror", servers[0].url, servers[1].url, "--state", str(state), code=1).stderr
    assert "Usage" in tool("mirror", servers[0].url, "nonsense", code=2).stderr
