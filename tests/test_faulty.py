"""The proxy that spoils answers does what it says, as seen at the socket; and the client through it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from hashserver_aio import Client
from hashserver_aio.errors import BadAnswer, ChecksumMismatch, HashserverError

from .clients import LONG, name, shorten_pauses
from .conftest import ClientFactory
from .faulty import CUTS, DELAYS, OF_PARTS, Faulty, Kind, Plan, faulty
from .fetches import target
from .peers import lay

SMALL = random.Random(1).randbytes(1000)
PART = (10, 509)

NEED_S = 20
LONG_S = 3600.0
"""A pause that no test waits for the end of."""


@dataclass
class Seen:
    """What came over a connection, and how it ended."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    end: str = "whole"


async def ask(port: int, path: str, part: tuple[int, int] | None = None) -> Seen:
    """Ask over a connection of its own, and read as much as comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"GET {path} HTTP/1.1", "Host: x", *([f"Range: bytes={part[0]}-{part[1]}"] if part else [])]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    seen = Seen()
    try:
        async with asyncio.timeout(NEED_S):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            seen.status = int(head[0].split()[1])
            seen.headers = {
                key.lower(): value for key, _, value in (line.partition(": ") for line in head[1:-2])
            }
            length = int(seen.headers["content-length"])
            while len(seen.body) < length and (piece := await reader.read(65536)):
                seen.body += piece
            seen.end = "whole" if len(seen.body) == length else "closed"
    except ConnectionResetError:
        seen.end = "reset"
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
    return seen


@pytest.fixture
async def url(start_client: ClientFactory, directory: Path) -> str:
    """A server that has a small buffer, and a long one."""
    for body in (SMALL, LONG):
        lay(directory, body)
    return str((await start_client()).make_url("")).rstrip("/")


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The longest that each pause of a client might have been; they are cut short."""
    return shorten_pauses(monkeypatch)


async def spoiled(url: str, kind: Kind, part: tuple[int, int] | None = PART) -> tuple[Seen, Faulty]:
    """Ask for the small buffer, or a part of it, and get it spoiled."""
    async with faulty(url, rate=1, kinds=[kind], stall_s=0.05, retry_after_s=3) as proxy:
        return await ask(proxy.port, f"/{name(SMALL)}", part), proxy


async def test_nothing(url: str) -> None:
    """At a rate of 0 an answer is the server's, to the byte and to the header, whole or a part."""
    async with faulty(url, rate=0) as proxy:
        for part in (None, PART):
            theirs, ours = (
                await ask(int(url.rpartition(":")[2]), f"/{name(SMALL)}", part),
                await ask(proxy.port, f"/{name(SMALL)}", part),
            )
            theirs.headers.pop("date"), ours.headers.pop("date")
            assert ours == theirs and ours.status == (206 if part else 200)
        assert (proxy.answers, proxy.faults, proxy.body_bytes) == (2, {}, 1500)
        assert proxy.asked == [(f"/{name(SMALL)}", ""), (f"/{name(SMALL)}", "bytes=10-509")]


@pytest.mark.parametrize("part", [None, PART])
async def test_cuts(url: str, part: tuple[int, int] | None) -> None:
    """A cut is a reset, before the head or within the body; an end is a close, after too few bytes."""
    wanted = SMALL if part is None else SMALL[part[0] : part[1] + 1]
    early, _ = await spoiled(url, Kind.CUT_EARLY, part)
    assert (early.status, early.body, early.end) == (0, b"", "reset")
    for kind, end in ((Kind.CUT, "reset"), (Kind.ENDED, "closed")):
        seen, proxy = await spoiled(url, kind, part)
        assert (seen.status, seen.end) == (206 if part else 200, end)
        assert int(seen.headers["content-length"]) == len(wanted)
        assert 0 < len(seen.body) < len(wanted) and wanted.startswith(seen.body)
        assert (proxy.body_bytes, proxy.faults) == (len(seen.body), {kind: 1})


async def test_delays(url: str) -> None:
    """What is held back comes later, as it is; whoever does not wait for it keeps nobody."""
    for kind in DELAYS:
        seen, proxy = await spoiled(url, kind)
        assert (seen.status, seen.body, seen.end) == (206, SMALL[10:510], "whole")
        assert proxy.faults == {kind: 1}
        async with faulty(url, rate=1, kinds=[kind], stall_s=LONG_S) as proxy:
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            writer.write(f"GET /{name(SMALL)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            if kind is Kind.STALLED:
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(
                    b"HTTP/1.1 200"
                ) and await reader.read(1)
            while not proxy.faults:  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.01)
            writer.close()


async def test_lies(url: str) -> None:
    """A bit is another; more comes than was asked for; or the right bytes are called others."""
    right = SMALL[10:510]
    seen, _ = await spoiled(url, Kind.CORRUPTED)
    assert (seen.status, seen.end, len(seen.body)) == (206, "whole", 500)
    assert sum(a != b for a, b in zip(seen.body, right, strict=True)) == 1
    seen, _ = await spoiled(url, Kind.WHOLE)
    assert (seen.status, seen.body, "content-range" in seen.headers) == (200, SMALL, False)
    seen, _ = await spoiled(url, Kind.MISRANGED)
    assert (seen.status, seen.body, seen.headers["content-range"]) == (206, right, "bytes 9-508/1000")
    for kind in OF_PARTS:
        seen, proxy = await spoiled(url, kind, None)
        assert (seen.status, seen.body, proxy.faults) == (200, SMALL, {})


async def test_refusals(url: str) -> None:
    """A refusal says when to come back, and nothing of the buffer."""
    for kind, status in ((Kind.FAILED, 500), (Kind.BUSY, 503)):
        seen, _ = await spoiled(url, kind)
        assert (seen.status, seen.headers["retry-after"], SMALL[:5] in seen.body) == (status, "3", False)


async def test_unsized() -> None:
    """An answer that does not say its size is spoiled likewise."""

    async def chunked(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(SMALL)
        return response

    async with target({"/x": chunked}) as url, faulty(url, rate=1, kinds=[Kind.CORRUPTED]) as proxy:
        async with Client(proxy.url, algorithm="sha3-256") as client:
            reply = await client._transport.call("GET", "/x")
    assert sum(a != b for a, b in zip(reply.body, SMALL, strict=True)) == 1


async def test_without_body(url: str) -> None:
    """What has no body is passed on, and counts for nothing."""
    async with faulty(url, rate=1) as proxy, Client(proxy.url, algorithm="sha3-256") as client:
        assert (await client.stat(name(SMALL))).size == len(SMALL)
        assert (proxy.answers, proxy.body_bytes, len(proxy.asked)) == (0, 0, 1)


async def test_uploads(url: str) -> None:
    """Bodies of requests get there."""
    async with faulty(url, rate=0) as proxy, Client(proxy.url) as client:
        body = LONG[::-1]
        assert await client.put(body) == (name(body), True)
    async with Client(url) as client:
        assert await client.get(name(body)) == body


async def test_death(url: str) -> None:
    """While it is dead connections break and new ones are refused; then it is where it was."""
    async with faulty(url, rate=1, kinds=[Kind.STALLED], stall_s=LONG_S) as proxy:
        waiting = asyncio.create_task(ask(proxy.port, f"/{name(SMALL)}"))
        while not proxy.faults:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.01)
        await proxy.die()
        assert (await waiting).end == "reset"
        with pytest.raises(ConnectionRefusedError):
            await ask(proxy.port, "/")
        before, proxy.plan = proxy.url, Plan(0, 7)
        await proxy.revive()
        assert (proxy.url, (await ask(proxy.port, f"/{name(SMALL)}")).body) == (before, SMALL)


async def test_server_gone(unused_tcp_port: int) -> None:
    """Where there is no server it looks as if it had died."""
    async with faulty(f"http://127.0.0.1:{unused_tcp_port}") as proxy:
        assert (await ask(proxy.port, "/")).end == "reset"


def drawn(seed: int, kinds: Collection[Kind] = tuple(Kind), *, is_part: bool = True) -> list[object]:
    """Draw a thousand times."""
    plan = Plan(0.1, seed, kinds)
    return [plan.draw(is_part=is_part) for _ in range(1000)]


def test_plan() -> None:
    """A seed says which answers are spoiled and how; the rate says how many, all kinds among them."""
    assert drawn(7) == drawn(7) != drawn(8)
    faults = [fault for fault in drawn(7) if fault]
    assert 70 < len(faults) < 130
    where = [fault is None for fault in drawn(7)]
    assert where == [fault is None for fault in drawn(7, is_part=False)]
    assert {getattr(fault, "kind", None) for fault in drawn(7)} == {*Kind, None}
    assert drawn(7, OF_PARTS, is_part=False) == [None] * 1000


# the client through it


@pytest.mark.parametrize("seed", range(3))
async def test_client_gets(url: str, seed: int) -> None:
    """Over a line that cuts, ends, stalls and refuses, buffers come whole, and little of them comes twice."""
    kinds = CUTS | DELAYS | {Kind.BUSY, Kind.WHOLE}
    async with (
        faulty(url, rate=0.6, seed=seed, kinds=kinds, stall_s=0.01) as proxy,
        Client(proxy.url, algorithm="sha3-256") as client,
    ):
        for body in [SMALL, LONG] * 20:
            assert await client.get(name(body)) == body
        assert proxy.faults.total() > 10
        whole = proxy.faults[Kind.WHOLE] * len(LONG)
        assert proxy.body_bytes - whole < 1.05 * 20 * len(SMALL + LONG)


TOLD = {
    Kind.CORRUPTED: ({Kind.CORRUPTED}, ChecksumMismatch),
    Kind.MISRANGED: ({Kind.MISRANGED, Kind.CUT}, BadAnswer),  # a cut makes it ask for a part
    Kind.FAILED: ({Kind.FAILED}, HashserverError),
}


@pytest.mark.parametrize("kind", TOLD)
async def test_client_is_told(url: str, kind: Kind) -> None:
    """What goes wrong with a buffer that is read as one is told at once."""
    kinds, error = TOLD[kind]
    async with (
        faulty(url, rate=1, kinds=kinds) as proxy,
        Client(proxy.url, algorithm="sha3-256") as client,
    ):
        with pytest.raises(error):
            await client.get(name(LONG))
        assert proxy.faults[kind] == 1


async def test_client_outlives_the_server(url: str) -> None:
    """A server that dies in the middle of a buffer, and comes back, is asked for the rest."""
    async with (
        faulty(url, rate=1, kinds=[Kind.STALLED], stall_s=LONG_S) as proxy,
        Client(proxy.url, algorithm="sha3-256", retries=1) as client,
    ):
        got = bytearray()
        async for piece in client.stream(name(LONG)):
            if not got:
                await proxy.die()
                proxy.plan = Plan(0, 7)
                await proxy.revive()
            got += piece
        assert got == LONG and len(proxy.asked) == 2
        assert proxy.asked[1][1].startswith("bytes=") and proxy.asked[1][1] != "bytes=0-"
