"""What was acknowledged survives `kill -9` at any moment, and what was not does no harm."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import random
import re
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from backports import zstd

from .conftest import ClientFactory, ServerFactory
from .crashes import Calls
from .servers import RunningServer

ROOT = Path(__file__).parent.parent

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "100"))
SEED = int(os.environ.get("CRASH_SEED", random.SystemRandom().randrange(2**32)))

AT_A_TIME = 3
"""Servers that are crashed side by side: starting one keeps a core busy for half a second."""

MANY_STEPS = 200
"""A PUT that does not survive a crash after so many steps never ends."""

TIMEOUT = aiohttp.ClientTimeout(total=10)

NEEDED = re.compile(
    r"\.HASHSERVER_PREFIX|\.hashserver-aio/(format|commit\.lock|catalogue\.sqlite(-wal|-shm)?)"
    r"|([0-9a-f]{2})/\3[0-9a-f]{62}(\.zst|\.BUFFERLENGTH)?"
)
"""The files of a directory in which nothing is under way."""

PLAIN = {"Accept-Encoding": "identity"}

SMALL = b"small" * 100
LONG = random.Random(1).randbytes(1_200_000)
SQUEEZED = b"compressed" * 10_000


def name_of(body: bytes) -> str:
    """Name a buffer."""
    return hashlib.sha3_256(body).hexdigest()


async def in_two(body: bytes) -> AsyncIterator[bytes]:
    """Send a body with a pause in it, in which the server shows its lock file."""
    yield body[:1_100_000]
    await asyncio.sleep(0.2)
    yield body[1_100_000:]


PUTS: tuple[tuple[bytes, Callable[[], Any], dict[str, str]], ...] = (
    (SMALL, lambda: SMALL, {}),
    (LONG, lambda: in_two(LONG), {}),
    (SQUEEZED, lambda: zstd.compress(SQUEEZED), {"Content-Encoding": "zstd"}),
)


UNNAMED = random.Random(2).randbytes(1_200_000)

ADD = "/api/v1/axon/files/put"
"""Where a buffer is put that the server finds the name of."""


async def put_until_crash(server: RunningServer) -> list[bytes]:
    """Put one buffer of every kind, until the server dies; those it acknowledged."""
    acknowledged: list[bytes] = []
    async with aiohttp.ClientSession(server.url, timeout=TIMEOUT) as session:
        named = [(f"/{name_of(body)}", body, data(), headers) for body, data, headers in PUTS]
        for path, body, data, headers in [*named, (ADD, UNNAMED, in_two(UNNAMED), {})]:
            try:
                async with session.put(path, data=data, headers=headers) as answer:
                    assert answer.status == 200, await answer.text()
            except aiohttp.ClientError:
                break
            acknowledged.append(body)
    return acknowledged


def strays(directory: Path) -> list[str]:
    """Name what lies below a directory without being needed while nothing is under way."""
    found = [path for path in directory.rglob("*") if path.is_file() or path.parent.name == "tmp"]
    names = {str(path.relative_to(directory)) for path in found}
    return sorted(name for name in names if not NEEDED.fullmatch(name))


async def check_restarted(start: ClientFactory, directory: Path, acknowledged: list[bytes]) -> None:
    """Restart on a directory: nothing is lost, wrong, left behind or in the way."""
    client = await start(directory=directory)
    assert strays(directory) == []
    for body, data, headers in (*PUTS, (UNNAMED, lambda: in_two(UNNAMED), {})):
        path = f"/{name_of(body)}"
        got = await client.get(path, headers=PLAIN, timeout=TIMEOUT)
        served = await got.read() if got.status == 200 else b""
        assert name_of(served) == name_of(body) or (got.status == 404 and body not in acknowledged)
        again = await client.put(path, data=data(), headers=headers, timeout=TIMEOUT)
        assert again.status in (200, 201)
        got = await client.get(path, headers=PLAIN, timeout=TIMEOUT)
        assert name_of(await got.read()) == name_of(body)
    await client.close()
    assert strays(directory) == []


def start_crashing(step: int, start: ServerFactory, directory: Path) -> RunningServer:
    """Start a server that will crash at a step, on a directory of its own."""
    directory.mkdir()
    command = (sys.executable, "-m", "tests.crashes", str(step))
    return start(directory, "--writable", command=command, env={"PYTHONPATH": str(ROOT)})


async def crash_at(
    step: int, start: ServerFactory, restart: ClientFactory, directory: Path
) -> tuple[bool, str]:
    """Crash a server at a step: whether it survived all PUTs, and what is wrong with what it left."""
    server = await asyncio.to_thread(start_crashing, step, start, directory)
    acknowledged = await put_until_crash(server)
    survived = server.process.poll() is None and len(acknowledged) > len(PUTS)
    await asyncio.to_thread(server.kill)
    try:
        await check_restarted(restart, directory, acknowledged)
    except (AssertionError, TimeoutError) as error:
        return survived, f"{''.join(server.lines[1:])}{type(error).__name__} {error}"
    return survived, ""


@pytest.mark.slow
async def test_crash_between_all_steps(
    start_server: ServerFactory, start_client: ClientFactory, tmp_path: Path
) -> None:
    """A crash before any step of a PUT loses nothing acknowledged, and leaves nothing behind."""
    faults: list[str] = []
    for first in range(0, MANY_STEPS, AT_A_TIME):
        steps = range(first, first + AT_A_TIME)
        runs = (crash_at(n, start_server, start_client, tmp_path / str(n)) for n in steps)
        results = await asyncio.gather(*runs)
        faults += [fault for _, fault in results if fault]
        if all(survived for survived, _ in results):
            break
    assert faults == [], "\n".join(faults)
    assert 3 * len(PUTS) < first < MANY_STEPS - AT_A_TIME, "the steps were not counted"


class Rounds:
    """Rounds of a start, a check of what the last round left, some PUTs at once, and a `kill -9`."""

    def __init__(self, seed: int, start: ServerFactory, directory: Path) -> None:
        directory.mkdir()
        self.random = random.Random(seed)
        self.acknowledged: set[str] = set()
        self.cut: set[str] = set()
        self._start = start
        self._directory = directory

    async def crash(self) -> None:
        """Crash a server at a random moment of a dozen PUTs, of nothing to two megabytes."""
        server = await self._restarted()
        sizes = self.random.choices((0, 1, 5_000, 65_536, 65_537, 400_000, 2_000_000), k=12)
        async with aiohttp.ClientSession(server.url, timeout=TIMEOUT) as session:
            puts = [self._put(session, self.random.randbytes(size)) for size in sizes]
            self.cut = set()
            doing = asyncio.gather(*puts)
            await asyncio.sleep(self.random.uniform(0, 0.2))
            await asyncio.to_thread(server.kill)
            await doing

    async def _put(self, session: aiohttp.ClientSession, body: bytes) -> None:
        name = name_of(body)
        try:
            path = self.random.choice((f"/{name}", ADD))
            async with session.put(path, data=io.BytesIO(body)) as answer:
                assert answer.status in (200, 201), await answer.text()
            self.acknowledged.add(name)
        except aiohttp.ClientError:
            self.cut.add(name)

    async def _restarted(self) -> RunningServer:
        """Restart, and check that nothing is served wrongly, nor anything left behind."""
        server: RunningServer = await asyncio.to_thread(self._start, self._directory, "--writable")
        assert strays(self._directory) == []
        async with aiohttp.ClientSession(server.url, timeout=TIMEOUT) as session:
            for name in self.cut:
                async with session.get(f"/{name}") as answer:
                    assert answer.status == 404 or name_of(await answer.read()) == name
        return server

    async def finish(self) -> None:
        """Check that all that was acknowledged in any round is served whole."""
        server = await self._restarted()
        async with aiohttp.ClientSession(server.url, timeout=TIMEOUT) as session:
            for name in self.acknowledged:
                async with session.get(f"/{name}") as answer:
                    assert (answer.status, name_of(await answer.read())) == (200, name)
        assert await asyncio.to_thread(server.stop) == 0


@pytest.mark.slow
async def test_kill_at_random_moments(start_server: ServerFactory, tmp_path: Path) -> None:
    """Whatever moment a server is killed in, all it acknowledged is there afterwards.

    CRASH_ROUNDS says how often, CRASH_SEED repeats a run.
    """
    print(f"CRASH_SEED={SEED}")
    lanes = [Rounds(SEED + lane, start_server, tmp_path / str(lane)) for lane in range(AT_A_TIME)]

    async def run(lane: Rounds) -> int:
        cut = 0
        for _ in range(-(-ROUNDS // AT_A_TIME)):
            await lane.crash()
            cut += len(lane.cut)
        await lane.finish()
        return cut

    cut = sum(await asyncio.gather(*map(run, lanes)))
    assert cut and any(lane.acknowledged for lane in lanes), "always killed at the same moment"


@pytest.mark.parametrize("number", range(len(PUTS)))
async def test_order_of_the_commit(
    start_client: ClientFactory, directory: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Bytes are synced before they get their name, and the folder is after that."""
    body, data, headers = PUTS[number]
    client, calls = await start_client(), Calls(monkeypatch, directory)
    assert (await client.put(f"/{name_of(body)}", data=data(), headers=headers)).status == 200
    folder = str(directory / name_of(body)[:2])
    renames = [(i, path) for i, (name, path) in enumerate(calls.made) if name == "rename"]
    assert renames
    for i, temp in renames:
        assert ("fsync", temp) in calls.made[:i]
    assert ("fsync", folder) in calls.made[renames[-1][0] :]


def visible(directory: Path, name: str) -> list[Path]:
    """Name the files that a buffer is stored in."""
    return [path for path in directory.glob(f"*/{name}*") if not path.name.endswith(".BUFFERLENGTH")]


@pytest.mark.parametrize("number", range(len(PUTS)))
@pytest.mark.parametrize("step", ["fsync temp", "rename temp", "fsync folder"])
async def test_no_answer_before_the_last_step(
    start_client: ClientFactory, directory: Path, monkeypatch: pytest.MonkeyPatch, number: int, step: str
) -> None:
    """A buffer is acknowledged after the last step of its commit, and not visible before the rename."""
    body, data, headers = PUTS[number]
    name = name_of(body)
    client, calls = await start_client(), Calls(monkeypatch, directory)
    call, _, where = step.partition(" ")
    calls.held_up = (call, f"/{name}[^/]*$" if where == "temp" else f"/{name[:2]}$")
    putting = asyncio.create_task(client.put(f"/{name}", data=data(), headers=headers).__aenter__())
    assert await asyncio.to_thread(calls.reached.wait, 10)
    await asyncio.sleep(0.1)
    assert not putting.done()
    assert where == "folder" or not visible(directory, name)
    calls.released.set()
    assert (await putting).status == 200


async def test_no_fsync(
    start_client: ClientFactory, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where durability is not wanted nothing waits for the disk."""
    client, calls = await start_client(fsync=False), Calls(monkeypatch, directory)
    for body, data, headers in PUTS:
        assert (await client.put(f"/{name_of(body)}", data=data(), headers=headers)).status == 200
    assert "rename" in {name for name, _ in calls.made}
    assert [path for name, path in calls.made if name == "fsync"] == []
