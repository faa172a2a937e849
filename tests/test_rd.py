"""The real `rd` 1.7.0.0, a program for Linux, downloads buffers from a running server."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import platform
import random
import re
import signal
import subprocess
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from hashserver_aio import digesting
from hashserver_aio.server.keys import MANIFESTS

from .conftest import ClientFactory, ServerFactory
from .peers import lay
from .servers import RunningServer, environment

BLOCK = 2 * 1024 * 1024
BODY = random.Random(3).randbytes(3 * BLOCK)

PATIENCE_S = 100

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="rd is a program for x86-64")


def command() -> str:
    """Say where the program is; its package only starts it."""
    spec = importlib.util.find_spec("rdclient")
    assert spec is not None and spec.origin is not None
    return str(Path(spec.origin).with_name("rd"))


def rd(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start it in a folder."""
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [command(), "--verbose", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(LC_ALL="C.UTF-8"),
    )


async def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for its end: its exit code, and what it said."""
    said, _ = await asyncio.to_thread(process.communicate, timeout=PATIENCE_S)
    return process.returncode, said


def blocks_of(said: str) -> set[int]:
    """Tell which blocks were downloaded."""
    return {int(number) for number in re.findall(r"downloading \w+ block (\d+)", said)}


def name_of(body: bytes) -> str:
    """Name a buffer."""
    return hashlib.sha3_256(body).hexdigest()


@pytest.fixture
def server(start_server: ServerFactory, directory: Path) -> RunningServer:
    """A server with small blocks."""
    return start_server(directory, "--block-size", "64K")


@pytest.mark.parametrize("size", [1, BLOCK - 1, BLOCK, BLOCK + 1, len(BODY)])
async def test_download(start_server: ServerFactory, directory: Path, tmp_path: Path, size: int) -> None:
    """It gets what is asked for, whatever lies at the edge of a block."""
    body = BODY[:size]
    lay(directory, body)
    server = start_server(directory, "--writable")
    code, said = await ended(rd(tmp_path / "here", f"{server.url}/{name_of(body)}"))
    assert code == 0, said
    assert (tmp_path / "here" / name_of(body)).read_bytes() == body
    assert blocks_of(said) == set(range(-(-size // BLOCK)))


async def test_nothing(server: RunningServer, directory: Path, tmp_path: Path) -> None:
    """Of an empty buffer it is told that there are no blocks; then it divides by them."""
    lay(directory, b"")
    code, said = await ended(rd(tmp_path / "here", f"{server.url}/{name_of(b'')}"))
    assert (code, "divide by zero" in said) == (1, True)
    assert "all 0 block(s) ready" in said


async def test_refused(server: RunningServer, directory: Path, tmp_path: Path) -> None:
    """Of what is absent, no name, or corrupt, it says in a line that it can't have it."""
    lay(directory, b"wrong", name_of(b"right"))
    for name in ("ab" * 32, "nonsense", name_of(b"right")):
        code, said = await ended(rd(tmp_path / "here", f"{server.url}/{name}"))
        assert code == 1 and "GET /rd/ api failed: " in said and "json" not in said


async def test_many_at_once(server: RunningServer, directory: Path, tmp_path: Path) -> None:
    """Ten of them, of five buffers each, get all of them."""
    bodies = [BODY[number:BLOCK] for number in range(5)]
    for body in bodies:
        lay(directory, body)
    urls = [f"{server.url}/{name_of(body)}" for body in bodies]
    folders = [tmp_path / f"here-{number}" for number in range(10)]
    for code, said in await asyncio.gather(*(ended(rd(folder, *urls)) for folder in folders)):
        assert code == 0, said
    for folder in folders:
        assert [(folder / name_of(body)).read_bytes() for body in bodies] == bodies


async def test_resumed(server: RunningServer, directory: Path, tmp_path: Path) -> None:
    """Killed in the middle and started again, it goes on with the blocks that it does not have."""
    lay(directory, BODY)
    url, count = f"{server.url}/{name_of(BODY)}", len(BODY) // 65536
    process = rd(tmp_path / "here", url)
    assert process.stdout is not None
    fetched = 0
    while fetched < count // 2:
        line = await asyncio.to_thread(process.stdout.readline)
        assert line, "it ended too early"
        fetched += "fetched" in line
    # It takes what it was writing when it was killed for whole: so it is killed while nothing comes.
    server.process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(0.5)
    process.kill()
    server.process.send_signal(signal.SIGCONT)
    await ended(process)
    code, said = await ended(rd(tmp_path / "here", url))
    assert code == 0, said
    assert (tmp_path / "here" / name_of(BODY)).read_bytes() == BODY
    assert 0 < len(blocks_of(said)) <= count - fetched


async def test_pending(
    start_client: ClientFactory, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the blocks are still to be digested it waits for them, and asks again."""
    monkeypatch.setattr(digesting, "AT_ONCE", 1)
    lay(directory, BODY)
    client = await start_client(block_size=65536)
    server = client.server
    assert isinstance(server, TestServer)
    async with server.app[MANIFESTS].digesting.turn:  # as long as another buffer has it
        process = rd(tmp_path / "here", str(client.make_url(f"/{name_of(BODY)}")))
        assert process.stdout is not None
        while "No new block ready" not in await asyncio.to_thread(process.stdout.readline):
            assert process.poll() is None, "it ended too early"
    code, said = await ended(process)
    assert code == 0, said
    assert (tmp_path / "here" / name_of(BODY)).read_bytes() == BODY


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_large(start_server: ServerFactory, directory: Path, tmp_path: Path) -> None:
    """It gets 3 GiB."""
    path = directory / "large"
    await asyncio.to_thread(make, path, 3 * 2**30)
    with path.open("rb") as file:
        name = (await asyncio.to_thread(hashlib.file_digest, file, "sha3_256")).hexdigest()
    (directory / name[:2]).mkdir()
    path.rename(directory / name[:2] / name)
    server = start_server(directory, "--writable", "--hash-algorithm", "sha3-256")
    process = rd(tmp_path / "here", "--rolling-combine", f"{server.url}/{name}")
    said, _ = await asyncio.to_thread(process.communicate, timeout=1500)
    assert process.returncode == 0, said[-2000:]
    with (tmp_path / "here" / name).open("rb") as file:
        assert (await asyncio.to_thread(hashlib.file_digest, file, "sha3_256")).hexdigest() == name
    (tmp_path / "here" / name).unlink()


def make(path: Path, size: int) -> None:
    """Make a file that is mostly holes, and no block of which is like another."""
    with path.open("wb") as file:
        for at in range(0, size, BLOCK):
            file.seek(at)
            file.write(b"block %d" % at)
        file.truncate(size)
