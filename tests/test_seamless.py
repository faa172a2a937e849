"""The real peers: Seamless's buffer client, and the launcher that starts servers for it.

They run in a process of their own: Seamless starts threads and handles signals where it is imported.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import ServerFactory
from .servers import environment

SCRIPTS = Path(sys.executable).parent

HEAD = """
import asyncio, json, os, sys, time
import seamless
from seamless import Buffer, Checksum
from seamless_remote.buffer_client import BufferClient, BufferLaunchedClient

def named(data):
    buffer = Buffer(data)
    return buffer.get_checksum(), buffer

def connected(url, directory=None, readonly=False):
    client = BufferClient(readonly=readonly)
    client.url, client.directory = url, directory
    return client
"""

TAIL = """
result = asyncio.run(main(*sys.argv[1:]))
seamless.close()
print("RESULT " + json.dumps(result))
"""

LAUNCHED = """
import pathlib, seamless_config, yaml
from seamless_config.cluster import define_clusters
from seamless_config.tools import define_tools

define_tools(yaml.safe_load((pathlib.Path(seamless_config.__file__).parent / "tools.yaml").read_text()))

def launched(buffers, interface, **limits):
    hashserver = {"bufferdir": buffers, "network_interface": interface, **limits}
    here = {"type": "local", "frontends": [{"hashserver": hashserver}]}
    define_clusters({"local_cluster": "here", "here": here})
    client = BufferLaunchedClient(readonly=False)
    client.config("here", "project", None, "one")
    return client
"""


def seamless(script: str, *arguments: object, home: Path, **more: str) -> Any:
    """Run `async def main(..)` of a script beside Seamless; what it returned."""
    command = (sys.executable, "-c", HEAD + script + TAIL, *map(str, arguments))
    env = environment(HOME=str(home), **more)
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    marked = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert done.returncode == 0 and marked, done.stdout + done.stderr
    return json.loads(marked[-1].removeprefix("RESULT "))


WRITE_AND_READ = """
async def main(url, directory):
    client = connected(url, directory)
    found = []
    for data in (b"", b"x", b"y" * 100_000, b"z" * 5_000_000):
        checksum, buffer = named(data)
        before = await client.get(checksum)
        await client.promise(checksum)
        written = await client.write(checksum, buffer)
        again = await client.write(checksum, buffer)
        back = await client.get(checksum)
        read = await client.get_file_buffer(checksum)
        found.append([before is None, written, again, back.content == data, read.content == data])
    return found
"""


def test_client_writes_and_reads(start_server: ServerFactory, directory: Path, tmp_path: Path) -> None:
    """What Seamless's client promises and writes it reads back, over HTTP and from the directory."""
    server = start_server(directory, "--writable", "--hash-algorithm", "sha-256")
    found = seamless(WRITE_AND_READ, server.url, directory, home=tmp_path)
    assert found == [[True] * 5] * 4


ASK = """
async def main(url, directory):
    client = connected(url, directory)
    held, promised, absent = (named(data)[0] for data in (b"held", b"promised", b"absent"))
    await client.write(held, Buffer(b"held"))
    await client.promise(promised)
    return {
        "each": [await client.buffer_length(c) for c in (held, promised, absent)],
        "together": await client.buffer_lengths([held, promised, absent]),
        "none": await client.buffer_lengths([]),
        "absent": await client.get(absent) is None and await client.get_file_buffer(absent) is None,
    }
"""


def test_client_asks(start_server: ServerFactory, directory: Path, tmp_path: Path) -> None:
    """Seamless's client is told what is held and what is promised; what is absent it gets as None."""
    server = start_server(directory, "--writable", "--hash-algorithm", "sha-256")
    found = seamless(ASK, server.url, directory, home=tmp_path)
    told = [True, True, False]
    assert found == {"each": told, "together": told, "none": [], "absent": True}


MANY = """
async def main(url, count):
    client = connected(url)
    buffers = [named(b"%d " % number * (1 + number % 50)) for number in range(int(count))]
    async def put(checksum, buffer):
        await client.promise(checksum)
        return await client.write(checksum, buffer)
    written = await asyncio.gather(*(put(*one) for one in buffers))
    held = await client.buffer_lengths([checksum for checksum, _ in buffers])
    back = await asyncio.gather(*(client.get(checksum) for checksum, _ in buffers))
    same = [b.content == buffer.content for b, (_, buffer) in zip(back, buffers)]
    return [sum(written), sum(held), sum(same)]
"""


def test_client_many_at_once(start_server: ServerFactory, directory: Path, tmp_path: Path) -> None:
    """Hundreds of buffers that one client promises, writes and reads at once all arrive."""
    server = start_server(directory, "--writable", "--hash-algorithm", "sha-256")
    assert seamless(MANY, server.url, 400, home=tmp_path) == [400, 400, 400]


WAIT = """
async def main(url):
    reader, writer = connected(url), connected(url)
    checksum, buffer = named(b"w" * 300_000)
    await writer.promise(checksum)
    reading = asyncio.create_task(reader.get(checksum))
    done, _ = await asyncio.wait([reading], timeout=0.5)
    await writer.write(checksum, buffer)
    back = await asyncio.wait_for(reading, 10)
    return [len(done), back.content == buffer.content]
"""


def test_client_waits_for_promise(start_server: ServerFactory, directory: Path, tmp_path: Path) -> None:
    """A read of a promised buffer lasts until another client has written it."""
    server = start_server(directory, "--writable", "--hash-algorithm", "sha-256")
    assert seamless(WAIT, server.url, home=tmp_path) == [0, True]


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH on which this package's command is called `hashserver`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "hashserver").symlink_to(SCRIPTS / "hashserver-aio")
    return f"{folder}:{SCRIPTS}:{os.environ['PATH']}"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home folder; servers that were launched from it end with the test."""
    folder = tmp_path / "home"
    folder.mkdir()
    yield folder
    for status in states(folder):
        if (pid := status["pid"]) and is_ours(pid, folder.parent):
            os.kill(pid, signal.SIGKILL)


def states(home: Path) -> list[dict[str, Any]]:
    """Read what the launcher and the servers wrote about each other."""
    folder = home / ".remote-http-launcher" / "server"
    return [json.loads(path.read_bytes()) for path in folder.glob("*.json")]


def is_ours(pid: int, folder: Path) -> bool:
    """Tell whether a process runs that serves something below `folder`."""
    try:
        return str(folder).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


LAUNCH = (
    LAUNCHED
    + """
async def main(buffers, interface, first, last):
    limits = {"port_start": int(first), "port_end": int(last)} if int(first) else {}
    client = launched(buffers, interface, **limits)
    checksum, buffer = named(b"launched")
    await client._wait_for_init()
    await client.write(checksum, buffer)
    read = await client.get_file_buffer(checksum)
    back = await client.get(checksum)
    return [client.url, client.directory, str(checksum), back.content == read.content == b"launched"]
"""
)


def launch(path: str, home: Path, first: int = 0, last: int = 0) -> tuple[list[Any], dict[str, Any]]:
    """Let a launched client start a server: what it found, and the status file afterwards."""
    buffers = home.parent / "launched"
    found = seamless(LAUNCH, buffers, "127.0.0.1", first, last, home=home, PATH=path)
    (status,) = states(home)
    return found, status


def test_launcher_starts_us(path: str, home: Path) -> None:
    """Seamless's launcher starts us under the name `hashserver`, and its client works at once."""
    (url, served, checksum, works), status = launch(path, home)
    assert works
    assert (Path(served) / checksum[:2] / checksum).read_bytes() == b"launched"
    assert (Path(served) / ".HASHSERVER_PREFIX").read_bytes() == b"1\n"
    assert stat.S_IMODE(os.stat(served).st_mode) == 0o3775
    assert url == f"http://127.0.0.1:{status['port']}" and 49152 <= status["port"] <= 65535


def test_launcher_status_file(path: str, home: Path) -> None:
    """The status file keeps all that the launcher wrote, and tells that and where we run."""
    _, status = launch(path, home, 56100, 56199)
    assert status["status"] == "running" and 56100 <= status["port"] <= 56199
    assert {"workdir", "log", "command", "uid", "pid", "network_interface"} <= status.keys()
    command = Path(f"/proc/{status['pid']}/cmdline").read_bytes().decode().split("\0")
    assert [part for part in command if part.endswith("/bin/hashserver")]
    assert status["command"].split()[1:] == command[command.index("--port-range") : -1]


def test_launcher_reuses_us(path: str, home: Path) -> None:
    """A second client finds the server that runs already, instead of starting another one."""
    found, status = launch(path, home)
    assert launch(path, home) == (found, status)


def test_launcher_stops_us(path: str, home: Path) -> None:
    """The launcher's own stop command ends us with its first signal, SIGINT, within its five seconds."""
    _, status = launch(path, home)
    assert is_ours(status["pid"], home.parent)
    (state,) = (home / ".remote-http-launcher" / "server").glob("*.json")
    command = [str(SCRIPTS / "rhl-stop"), state.stem]
    began = time.monotonic()
    done = subprocess.run(
        command, env=environment(HOME=str(home)), capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == (f"{state.stem}: stopped\n", 0)
    assert time.monotonic() - began < 4.5
    assert not is_ours(status["pid"], home.parent)


def test_launcher_told_of_failure(path: str, home: Path) -> None:
    """A server that can't start says so in the status file, and in one sentence in the launcher's log."""
    flat = home.parent / "launched" / "project" / "STAGE-one"
    flat.mkdir(parents=True)
    (flat / "fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9").write_bytes(b"bar")
    script = """
async def main(home):
    import remote_http_launcher as launcher
    remove, logs = launcher.RemoteState.remove, []
    def removed(self):
        logs.append([self.read()["status"], self.read_log()])
        remove(self)
    launcher.RemoteState.remove = removed
    client = launched(home + "/launched", "127.0.0.1")
    try:
        await client._wait_for_init()
    except launcher.LauncherError:
        return logs[0]
"""
    status, log = seamless(LAUNCHED + script, home.parent, home=home, PATH=path)
    assert status == "failed"
    assert "has the flat layout, not prefix" in log and len(log.splitlines()) == 1
