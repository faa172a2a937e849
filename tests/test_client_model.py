"""A server through the client, beside a dictionary; and how much memory a long buffer takes."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hashserver_aio import Client
from hashserver_aio.checksums import Algorithm
from hashserver_aio.errors import BufferNotFound

from .clients import name, sha256
from .conftest import ClientFactory, ServerFactory
from .servers import environment

BODIES = [random.Random(size).randbytes(size) for size in (0, 1, 1000, 65_536, 65_537, 1_100_000)]
STEPS = 150


@pytest.mark.parametrize("seed", range(4))
async def test_like_a_dictionary(start_client: ClientFactory, tmp_path: Path, seed: int) -> None:
    """Whatever is done in whatever order and by whichever name, a server holds what a dictionary would."""
    algorithm = list(Algorithm)[seed % 2]
    url = str((await start_client(allow_delete=True, algorithm=algorithm)).make_url(""))
    chance, held = random.Random(seed), dict[str, bytes]()
    own = name if algorithm is Algorithm.SHA3_256 else sha256
    async with Client(url) as client:
        for _ in range(STEPS):
            body, by_sha256 = chance.choice(BODIES), chance.random() < 0.5
            by = "sha-256" if by_sha256 else None
            called = sha256(body) if by_sha256 else own(body)
            match chance.choice(["put", "puts", "get", "has", "remove", "dels", "download", "upload"]):
                case "put":
                    stored = await client.put(body, algorithm=by)
                    assert stored == (called, sha256(body) not in held)
                    held[sha256(body)] = body
                case "puts":
                    assert await client.puts([body, body]) == [(len(body), sha256(body))] * 2
                    held[sha256(body)] = body
                case "upload":
                    async with await client.upload() as upload:
                        await upload.write(body)
                        assert await upload.save() == (len(body), sha256(body))
                    held[sha256(body)] = body
                case "remove":
                    assert await client.remove(called, algorithm=by) == (
                        held.pop(sha256(body), None) is not None
                    )
                case "dels":
                    assert await client.dels([sha256(body)] * 2) == [sha256(body) in held, False]
                    held.pop(sha256(body), None)
                case "download":
                    got = await _or_none(client.download(called, tmp_path / "file", algorithm=by))
                    assert got == (len(body) if sha256(body) in held else None)
                case "get":
                    assert await _or_none(client.get(called, algorithm=by)) == held.get(sha256(body))
                case "has":
                    assert await client.has(called, algorithm=by) == (sha256(body) in held)
        assert await client.has(list(map(own, BODIES))) == [sha256(body) in held for body in BODIES]
        await _check_totals(client, held)


async def _check_totals(client: Client, held: dict[str, bytes]) -> None:
    assert {each async for _, (each, _) in client.hashes()} == set(held)
    totals = {"file:count": len(held), "size:bytes": sum(map(len, held.values()))}
    assert await client.metrics() == totals


async def _or_none(asking: Any) -> Any:
    try:
        return await asking
    except BufferNotFound:
        return None


async def test_many_at_once(start_client: ClientFactory) -> None:
    """Many may put and get through one client at a time, also the same buffers."""
    url = str((await start_client()).make_url(""))
    async with Client(url) as client:

        async def one(number: int) -> None:
            body = b"%d" % (number % 50) * 3000
            stored = await client.put(body)
            assert await client.get(stored.name) == body

        await asyncio.gather(*map(one, range(300)))
        assert (await client.metrics())["file:count"] == 50


PROGRAM = """
import asyncio, json, sys
from hashserver_aio import Client

def peak():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024

async def pieces():
    for number in range(200):
        yield number.to_bytes(2, "big") * 2**19

async def main(url, path):
    async with Client(url) as client:
        small = await client.put(bytes(2_000_000))
        await client.get(small.name)
        peaks = [peak()]
        stored = await client.put(pieces)
        peaks.append(peak())
        size = sum([len(piece) async for piece in client.stream(stored.name)])
        peaks.append(peak())
        await client.download(stored.name, path)
        peaks.append(peak())
        await client.upload(path)
        async with await client.upload() as upload:
            async for piece in pieces():
                await upload.write(piece)
            await upload.save()
        peaks.append(peak())
    print(json.dumps([size, peaks]))

asyncio.run(main(*sys.argv[1:]))
"""

MOST_MIB = 24


def test_memory(start_server: ServerFactory, directory: Path, tmp_path: Path) -> None:
    """Buffers of 200 MiB go each way, in every way, in memory that does not grow with them."""
    server = start_server(directory, "--writable")
    command = [sys.executable, "-c", PROGRAM, server.url, str(tmp_path / "file")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=200, check=True)
    size, peaks = json.loads(done.stdout)
    print(f"MiB at most: {peaks}")
    assert size == 200 * 2**20 and peaks[-1] - peaks[0] < MOST_MIB


def test_killed(start_server: ServerFactory, directory: Path, unused_tcp_port: int) -> None:
    """A server that is killed while buffers come and go, and started again, is no reason to fail."""
    port = ("--writable", "--port", str(unused_tcp_port))
    body = random.Random(7).randbytes(40_000_000)

    def restart(server: Any) -> Any:
        server.kill()
        return start_server(directory, *port)

    async def work() -> None:
        server = await asyncio.to_thread(start_server, directory, *port)
        async with Client(server.url, retries=10) as client:
            for act in (_put, _get):
                task = asyncio.create_task(act(client, body))
                await asyncio.sleep(0.15)
                server = await asyncio.to_thread(restart, server)
                await task

    asyncio.run(work())


async def _put(client: Client, body: bytes) -> None:
    assert (await client.put(body)).name == name(body)


async def _get(client: Client, body: bytes) -> None:
    got = bytearray()
    async for piece in client.stream(name(body)):
        got += piece
        await asyncio.sleep(0.001)
    assert got == body
