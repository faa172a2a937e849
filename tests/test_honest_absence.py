"""What is not said to be absent, or to be there: a directory that is gone, a file known to be corrupt."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from hashserver_aio.checksums import Algorithm
from hashserver_aio.errors import CannotStart
from hashserver_aio.settings import Settings
from hashserver_aio.store.admission import settle_format

from .axon import API, result, sha256
from .conftest import Client, ClientFactory
from .fast import stored
from .peers import lay
from .servers import COMMAND, environment

BODY = b"too long to be kept in memory" * 5_000


async def test_directory_that_is_gone(client: Client, directory: Path) -> None:
    """While the whole directory is away, nothing is said to be absent; when it is back, all is as before."""
    path = "/" + await stored(client, BODY)
    move(directory, directory.with_name("away"))
    assert (await client.get(path)).status == 500
    assert (await client.get("/" + "0" * 64)).status == 500
    assert (await client.post("/has", json=[path[1:]])).status == 500
    move(directory.with_name("away"), directory)
    assert await (await client.get(path)).read() == BODY
    assert (await client.get("/" + "0" * 64)).status == 404
    assert await (await client.post("/has", json=[path[1:], "0" * 64])).json() == [True, False]


async def test_corrupt_is_not_held(client: Client, directory: Path) -> None:
    """A buffer whose only file was found to be corrupt is not said to be held, until it is repaired."""
    name = await stored(client, BODY)
    rot(directory / name[:2] / name)
    assert (await client.get(f"/{name}")).status == 400
    for route in ("/has", "/has-now"):
        assert await (await client.post(route, json=[name])).json() == [False]
    assert await result(await client.get(f"{API}/files/has/sha256/{sha256(BODY)}")) is False
    assert (await client.put(f"/{name}", data=BODY)).status == 200
    assert await (await client.post("/has", json=[name])).json() == [True]


def move(old: Path, new: Path) -> None:
    """Rename a directory."""
    old.rename(new)


def rot(path: Path) -> None:
    """Change a byte of a file."""
    path.chmod(0o644)
    path.write_bytes(b"T" + path.read_bytes()[1:])


async def test_extra_directory_of_another_algorithm(start_client: ClientFactory, directory: Path) -> None:
    """A directory whose buffers are named otherwise is not searched in vain, but refused."""
    extra = directory.with_name("extra")
    extra.mkdir()
    client = await start_client(directory=extra, algorithm=Algorithm.SHA_256)
    await client.put("/" + sha256(b"x"), data=b"x")
    with pytest.raises(CannotStart, match="sha-256"):
        settle_format(Settings(directory=directory, extra_dirs=(extra,)))
    lay(directory, b"x")
    assert settle_format(Settings(directory=directory)).algorithm is Algorithm.SHA3_256


@pytest.mark.parametrize("options", [("--allow-delete", "--host", "0.0.0.0"), ("--fetch-allow", "a/b"), ()])
def test_a_start_that_fails_changes_nothing(directory: Path, options: tuple[str, ...]) -> None:
    """A server that can't be started leaves the directory as it was."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1]) if not options else "0"
        arguments = [*COMMAND, "run", str(directory), "--writable", "--port", port, *options]
        ended = subprocess.run(arguments, env=environment(), capture_output=True, text=True, timeout=20)
    assert ended.returncode == 1 and "Traceback" not in ended.stderr
    assert list(directory.iterdir()) == []
