"""The reference, hashserver 1.1.0, at work on the same directory as we are."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from .conftest import ServerFactory
from .peers import Peer
from .servers import environment

REFERENCE = Path(sys.executable).with_name("hashserver")

BODY = random.Random(4).randbytes(300_000)


@contextlib.contextmanager
def reference(directory: Path) -> Iterator[str]:
    """Run hashserver 1.1.0 on a directory."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    arguments = (REFERENCE, directory, "--writable", "--port", port)
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(arguments, env=environment(), stdout=quiet, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        assert any("running on" in line for line in process.stderr)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.communicate()


async def test_beside_the_reference(start_server: ServerFactory, directory: Path) -> None:
    """What is stored through hashserver 1.1.0 is served by ours, and the other way round."""
    server = await asyncio.to_thread(start_server, directory, "--writable", "--hash-algorithm", "sha-256")
    with reference(directory) as url:
        ours, theirs = Peer(server.url, "sha256"), Peer(url, "sha256")
        for number, size in enumerate((1, 70_000, 2_000_000) * 2):
            body = random.Random(number).randbytes(size)
            writer, reader = (ours, theirs) if number % 2 else (theirs, ours)
            assert await writer.put(body) == 200
            assert await reader.has(body)
            assert await reader.get(body) == 200
            assert await reader.put(body) in (200, 201)
            raced = body + b"raced"
            await asyncio.gather(ours.put(raced), theirs.put(raced))
            assert [await ours.get(raced), await theirs.get(raced)] == [200, 200]
        await ours.session.close()
        await theirs.session.close()
    assert await asyncio.to_thread(server.stop) == 0
