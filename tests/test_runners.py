"""Who else starts the server: gunicorn, aiohttp's own runner, systemd, and launchers with a status file."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from .programs import free_port
from .servers import environment
from .test_command import BODY, MARKER, NAME, RUN, SCRIPT, about, ask, connect, failed, port_in, started

GUNICORN = ("gunicorn", "-k", "aiohttp.GunicornWebWorker", "-b", "127.0.0.1:0", "hashserver_aio:app_factory")
NEED_S = 20


def until(what: str, holds: Any) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + NEED_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def listens(port: int) -> bool:
    """Tell whether somebody listens on a port."""
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


# gunicorn and python -m aiohttp.web


@contextmanager
def gunicorn(home: Path, *options: str, **env: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Start gunicorn with workers of ours: its process, and the port."""
    command = (sys.executable, "-m", *GUNICORN, *options)
    with started(*command, HOME=str(home), **env) as (process, line):
        assert process.stderr is not None
        while not (found := re.search(r"Listening at: https?://\S+:(\d+)", line)):
            line = process.stderr.readline()
        yield process, int(found[1])
        process.terminate()
        process.communicate(timeout=NEED_S)


def workers(master: int) -> list[int]:
    """Name the processes that a process started."""
    return [int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()]


def ask_packed(port: int, method: str, body: bytes | None = None) -> tuple[int, str | None, bytes]:
    """Send or fetch the compressed form of the buffer: status, coding and body of the answer."""
    header = "Content-Encoding" if method == "PUT" else "Accept-Encoding"
    with closing(connect(port)) as connection:
        connection.request(method, NAME, body, {header: "gzip"})
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Encoding"), answer.read()


def test_gunicorn(directory: Path, tmp_path: Path) -> None:
    """What one gunicorn worker stores another one serves; what came compressed stays compressed."""
    env = {"HASHSERVER_DIRECTORY": str(directory), "HASHSERVER_WRITABLE": "1"}
    packed = gzip.compress(BODY)
    with gunicorn(tmp_path, "-w", "2", **env) as (master, port):
        until("both workers serve", lambda: len(workers(master.pid)) == 2 and listens(port))
        one, other = workers(master.pid)
        assert about(port)["writable"] is True
        os.kill(one, signal.SIGSTOP)  # so that it is the other one that answers
        assert ask_packed(port, "PUT", packed)[0] == 200
        os.kill(other, signal.SIGSTOP)
        os.kill(one, signal.SIGCONT)
        assert ask_packed(port, "GET") == (200, "gzip", packed)
        assert ask(port, "GET", NAME) == (200, BODY)
        os.kill(other, signal.SIGCONT)
    assert (directory / NAME[1:3] / f"{NAME[1:]}.gz").read_bytes() == packed
    assert not list((directory / ".hashserver-aio" / "tmp").iterdir())


def test_gunicorn_without_directory(tmp_path: Path) -> None:
    """Without a directory to serve gunicorn says so and gives up, instead of starting workers forever."""
    command = [sys.executable, "-m", *GUNICORN]
    env = environment(HOME=str(tmp_path))
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=NEED_S, check=False)
    assert done.returncode != 0 and "Traceback" not in done.stderr
    assert "Error: Name the directory to serve: --dir DIR, or HASHSERVER_DIRECTORY.\n" in done.stderr


def test_aiohttp_web(directory: Path) -> None:
    """aiohttp's own runner serves us, configured by the environment, options after it going first."""
    port = str(free_port())
    command = (
        sys.executable,
        "-m",
        "aiohttp.web",
        "-H",
        "127.0.0.1",
        "-P",
        port,
        "hashserver_aio:app_factory",
    )
    env = {"HASHSERVER_DIRECTORY": str(directory), "HASHSERVER_WRITABLE": "1", "HASHSERVER_LAYOUT": "flat"}
    with started(*command, "--layout", "prefix", **env) as (process, _):
        until("it listens", lambda: listens(int(port)))
        assert about(int(port))["layout"] == "prefix"
        assert ask(int(port), "PUT", NAME, BODY) == (200, b"OK")
        assert ask(int(port), "GET", NAME) == (200, BODY)
        process.send_signal(signal.SIGINT)
        process.wait(NEED_S)
    assert not list((directory / ".hashserver-aio" / "tmp").iterdir())


def test_aiohttp_web_without_directory() -> None:
    """Without a directory to serve aiohttp's runner ends with a sentence."""
    command = [sys.executable, "-m", "aiohttp.web", "-P", "0", "hashserver_aio:app_factory"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=30, check=False)
    assert done.returncode != 0 and "Traceback" not in done.stderr
    assert "Error: Name the directory to serve: --dir DIR, or HASHSERVER_DIRECTORY.\n" in done.stderr


# systemd


ACTIVATED = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); "
    "os.environ['LISTEN_PID'] = str(os.getpid() + int(sys.argv[2])); os.execv(sys.argv[3], sys.argv[3:])"
)


@contextmanager
def activated(listener: socket.socket, *options: str, pid_off_by: int = 0) -> Iterator[str]:
    """Start the command with a socket as systemd hands it over; the line it says."""
    descriptor = listener.fileno()
    command = (sys.executable, "-c", ACTIVATED, str(descriptor), str(pid_off_by), *RUN, *options)
    env = environment(LISTEN_FDS="1")
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=env, pass_fds=[descriptor]
    ) as process:
        assert process.stderr is not None
        yield process.stderr.readline()
        process.terminate()
        assert process.wait(NEED_S) == 0


def test_activated_tcp(directory: Path) -> None:
    """A TCP socket from systemd is the one that is served, whatever --port says."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with activated(listener, str(directory), "--port", "1") as line:
            assert line.endswith(f" on http://127.0.0.1:{port}\n")
            assert about(port)["name"] == "hashserver-aio"


def test_activated_unix(directory: Path, tmp_path: Path) -> None:
    """A unix socket from systemd is served likewise."""
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        with activated(listener, str(directory), "--writable") as line:
            assert line.endswith(f" on unix:{tmp_path / 'socket'}\n")
            client.connect(str(tmp_path / "socket"))
            connection = HTTPConnection("localhost")
            connection.sock = client
            connection.request("PUT", NAME, BODY)
            assert connection.getresponse().status == 200


def test_activated_somebody_else(directory: Path) -> None:
    """Sockets that were meant for another process are left alone."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with activated(listener, str(directory), "--port", "0", pid_off_by=1) as line:
            assert port_in(line) != listener.getsockname()[1]


@pytest.mark.parametrize("abstract", [False, True])
def test_notify(directory: Path, tmp_path: Path, abstract: bool) -> None:
    """systemd hears READY=1 only when requests are answered, and STOPPING=1 when the end begins."""
    address = f"@{tmp_path}" if abstract else str(tmp_path / "notify")
    port = free_port()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(address.replace("@", "\0"))
        channel.settimeout(NEED_S)
        with started(*RUN, str(directory), "--port", str(port), NOTIFY_SOCKET=address) as (process, _):
            assert channel.recv(100) == b"READY=1"
            assert ask(port, "GET", "/healthcheck") == (200, b"OK")
            process.terminate()
            assert channel.recv(100) == b"STOPPING=1"
            assert process.wait(NEED_S) == 0


# launchers


@pytest.fixture
def hashserver(tmp_path: Path) -> str:
    """The installed command under the name of the program it stands in for."""
    path = tmp_path / "hashserver"
    path.symlink_to(SCRIPT)
    return str(path)


GIVEN = {"pid": 1, "workdir": "~/x", "nested": {"a": [1, None]}, "status": "starting"}


def test_name_hashserver(hashserver: str, directory: Path) -> None:
    """Called `hashserver`, the command has that program's defaults."""
    directory.chmod(0o700)
    with started(hashserver, str(directory), "--writable") as (_, line):
        found = about(port_in(line))
        assert 49152 <= port_in(line) <= 65535
    assert (found["algorithm"], found["layout"], found["writable"]) == ("sha-256", "prefix", True)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o3775
    assert [path.name for path in directory.iterdir()] == [MARKER]


def test_name_hashserver_arguments(hashserver: str, directory: Path, tmp_path: Path) -> None:
    """Called `hashserver`, the command takes that program's arguments, and no other's."""
    extra, name = tmp_path / "extra", hashlib.sha3_256(b"in extra").hexdigest()
    extra.mkdir()
    (extra / name).write_bytes(b"in extra")
    options = ("--host", "127.0.0.1", "--port", "0", "--layout", "flat", "--hash-algorithm", "sha3-256")
    more = ("--extra-dirs", f"{extra};", "--lock-timeout", "5", "--timeout", "60")
    with started(hashserver, *options, *more, str(directory)) as (_, line):
        assert ask(port_in(line), "GET", f"/{name}") == (200, b"in extra")
    assert failed(hashserver, str(directory), "--dir", "x")[0] == 2


def test_status_file_is_awaited(hashserver: str, directory: Path, tmp_path: Path) -> None:
    """Nothing is served before the launcher has written its file, whole; what it says there is kept."""
    path, port = tmp_path / "status.json", free_port()
    command = [hashserver, str(directory), "--port", str(port), "--status-file", str(path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment()) as process:
        time.sleep(1)
        path.write_text(json.dumps(GIVEN)[:-5])
        time.sleep(0.5)
        assert process.poll() is None and not listens(port)
        path.write_text(json.dumps(GIVEN))
        until("it runs", lambda: json.loads(path.read_text())["status"] != "starting")
        assert json.loads(path.read_text()) == GIVEN | {"status": "running", "port": port}
        assert ask(port, "GET", "/healthcheck") == (200, b"OK")
        process.terminate()
    assert sorted(tmp_path.iterdir()) == sorted([directory, path, Path(hashserver)])


WRONG = {
    "no directory": ["{dir}/none"],
    "wrong layout": ["{dir}", "--layout", "prefix", "--hash-algorithm", "sha3-256"],
    "port taken": ["{dir}", "--layout", "flat", "--hash-algorithm", "sha3-256", "--port", "{port}"],
    "bad option": ["{dir}", "--bad"],
    "bad value": ["{dir}", "--port", "many"],
    "contradiction": ["{dir}", "--port-range", "3", "2"],
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("as_hashserver", [True, False])
def test_status_file_failed(
    hashserver: str, directory: Path, tmp_path: Path, wrong: str, as_hashserver: bool
) -> None:
    """Whatever keeps the server from starting, the launcher reads `failed` in its file."""
    (directory / NAME[1:]).write_bytes(BODY)
    path = tmp_path / "status.json"
    path.write_text(json.dumps(GIVEN))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        values = {"dir": str(directory), "port": str(taken.getsockname()[1])}
        command = (hashserver,) if as_hashserver else RUN
        failed(*command, "--status-file", str(path), *(part.format(**values) for part in WRONG[wrong]))
    assert json.loads(path.read_text()) == GIVEN | {"status": "failed"}
