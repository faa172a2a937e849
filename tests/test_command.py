"""The command `hashserver-aio run` as a user, a launcher or a service manager meets it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from .conftest import ServerFactory
from .servers import COMMAND, environment

RUN = (*COMMAND, "run")
SCRIPT = Path(sys.executable).parent / "hashserver-aio"
MARKER = ".HASHSERVER_PREFIX"
BODY = b"a buffer that takes its time\n" * 10_000
NAME = "/" + hashlib.sha3_256(BODY).hexdigest()


@contextmanager
def started(*command: str, **env: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start a command that serves: its process, and the first line it says."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment(**env))
    assert process.stderr is not None
    try:
        yield process, process.stderr.readline()
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def failed(*command: str, **env: str) -> tuple[int, str]:
    """Run a command that can't serve: its exit code, and what it is sorry for."""
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment(**env), timeout=30, check=False
    )
    *usage, sentence = done.stderr.splitlines()
    assert "Traceback" not in done.stderr and done.stdout == ""
    assert done.returncode == (2 if usage else 1), done.stderr  # usage is shown for wrong options only
    return done.returncode, sentence


def port_in(line: str) -> int:
    """Read the port off the line that a server says at its start."""
    return int(line.rpartition(":")[2])


def connect(port: int) -> HTTPConnection:
    """Connect to a server on loopback."""
    return HTTPConnection("127.0.0.1", port, timeout=30)


def ask(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Send one request: status and body of the answer."""
    with closing(connect(port)) as connection:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()


def about(port: int) -> dict[str, Any]:
    """Ask a server what it is."""
    found: dict[str, Any] = json.loads(ask(port, "GET", "/api/server")[1])
    return found


def begin_upload(port: int, sent: int = 1000) -> HTTPConnection:
    """Send the first bytes of an upload, and wait until the server has noticed."""
    connection = connect(port)
    connection.putrequest("PUT", NAME)
    connection.putheader("Content-Length", str(len(BODY)))
    connection.endheaders(BODY[:sent])
    while ask(port, "POST", "/has", json.dumps([NAME[1:]]).encode()) != (200, b"[true]"):
        time.sleep(0.05)
    return connection


# what it says and where it takes its settings from


@pytest.mark.parametrize(
    ("options", "mode"),
    [("", "read-only"), ("--writable", "writable"), ("--writable --no-fsync", "writable, without fsync")],
)
def test_start_line(start_server: ServerFactory, directory: Path, options: str, mode: str) -> None:
    """One line says what is served, how, and where; then the server is quiet."""
    server = start_server(directory, *options.split())
    assert ask(server.port, "PUT", NAME, BODY)[0] == (200 if options else 405)
    assert server.stop() == 0
    assert server.lines == [f"serving {directory} (sha3-256, prefix layout, {mode}) on {server.url}\n"]


def test_directory_positional(directory: Path) -> None:
    """The directory may stand alone, and then goes before the environment's."""
    with started(*RUN, str(directory), "--port", "0", HASHSERVER_DIRECTORY="/nowhere") as (_, line):
        assert line.startswith(f"serving {directory} ") and about(port_in(line))["writable"] is False


@pytest.mark.parametrize("spelling", ["HASHSERVER_WRITABLE", "HASHSERVER_WRITEABLE"])
def test_environment(directory: Path, spelling: str) -> None:
    """Every setting can come from the environment; `writable` also in its old spelling."""
    settings = {"DIRECTORY": str(directory), "LAYOUT": "flat", "HASH_ALGORITHM": "sha-256"}
    settings |= {"PORT": "0", "MAX_BUFFER_SIZE": "1K"}
    env = {f"HASHSERVER_{name}": value for name, value in settings.items()}
    with started(*RUN, **env, **{spelling: "1"}) as (_, line):
        found, large = about(port_in(line)), ask(port_in(line), "PUT", NAME, BODY)
    assert (found["layout"], found["algorithm"], found["writable"]) == ("flat", "sha-256", True)
    assert large[0] == 413


def test_environment_says_no(directory: Path) -> None:
    """HASHSERVER_WRITABLE=0 is no permission, and an option goes before the environment."""
    env = {"HASHSERVER_WRITABLE": "0", "HASHSERVER_PORT": "1"}
    with started(*RUN, str(directory), "--port", "0", **env) as (_, line):
        assert ", read-only) on " in line and port_in(line) != 1


def test_port_range(directory: Path) -> None:
    """Of a range any free port is taken; when none is free, a sentence says so."""
    first, last = "57310", "57312"
    with started(*RUN, str(directory), "--port-range", first, last) as (_, line):
        assert int(first) <= port_in(line) <= int(last)
        taken = str(port_in(line))
        _, sentence = failed(*RUN, str(directory), "--port-range", taken, taken)
    assert taken in sentence


def test_help() -> None:
    """The help shows an example, and each option's default and name in the environment."""
    shown = subprocess.run([*RUN, "--help"], capture_output=True, text=True, check=True).stdout
    options = set(re.findall(r"^  (--[a-z-]+)", shown, re.MULTILINE)) - {"--help", "--dir"}
    variables = set(re.findall(r"HASHSERVER_[A-Z_]+", shown))
    assert "  hashserver-aio run --dir /srv/buffers --writable\n" in shown
    assert {"HASHSERVER_" + option[2:].replace("-", "_").upper() for option in options} <= variables
    assert {"HASHSERVER_DIRECTORY", "HASHSERVER_WRITEABLE"} <= variables
    assert options >= {
        "--extra-dirs",
        "--lock-timeout",
        "--timeout",
        "--grace",
        "--cors-origin",
        "--log-format",
    }


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    """Each shell gets a completion script for the installed command."""
    env = environment(_HASHSERVER_AIO_COMPLETE=f"{shell}_source")
    shown = subprocess.run([SCRIPT], capture_output=True, text=True, env=env, check=True).stdout
    assert f"_HASHSERVER_AIO_COMPLETE={shell}_complete" in shown and "hashserver-aio" in shown


# what it refuses


REFUSED = [
    (["{dir}", "--port", "0", "--bad"], 2, "--bad"),
    (["{dir}", "--port", "99999"], 2, "99999"),
    (["{dir}", "--port", "1", "--port-range", "2", "3"], 2, "--port or --port-range"),
    (["{dir}", "--port-range", "3", "2"], 2, "3 2"),
    (["{dir}", "--layout", "tree"], 2, "tree"),
    (["{dir}", "--max-buffer-size", "much"], 2, "much"),
    (["{dir}", "--timeout", "nan"], 2, "nan"),
    ([], 2, "--dir"),
    (["{dir}/none"], 1, "{dir}/none is not a directory"),
    (["{dir}/{marker}"], 1, "{dir}/{marker} is not a directory"),
    (["{dir}", "--extra-dirs", "{dir}/none"], 1, "{dir}/none is not a directory"),
    (["{dir}", "--layout", "flat"], 1, "--layout prefix"),
    (["{dir}", "--hash-algorithm", "sha-256"], 1, "--hash-algorithm sha3-256"),
    (["{dir}", "--host", "192.0.2.1"], 1, "192.0.2.1"),
]


@pytest.mark.parametrize(("arguments", "code", "words"), REFUSED, ids=str)
def test_refused(directory: Path, arguments: list[str], code: int, words: str) -> None:
    """What can't be served as asked is refused in a sentence that names it; nothing is changed."""
    (directory / MARKER).write_bytes(b"1\n")
    (directory / NAME[1:3]).mkdir()
    (directory / NAME[1:3] / NAME[1:]).write_bytes(BODY)
    values = {"dir": str(directory), "marker": MARKER}
    found, sentence = failed(*RUN, *(argument.format(**values) for argument in arguments))
    assert found == code and words.format(**values) in sentence
    assert sorted(path.name for path in directory.iterdir()) == sorted([MARKER, NAME[1:3]])


def test_port_taken(start_server: ServerFactory, directory: Path) -> None:
    """A port that is taken is named, with what to do about it."""
    port = start_server(directory).port
    code, sentence = failed(*RUN, str(directory), "--port", str(port))
    assert code == 1 and f"port {port} on 127.0.0.1 is taken" in sentence and "--port" in sentence


def test_unwritable_directory(directory: Path) -> None:
    """--writable where nothing can be written is refused; reading is not."""
    directory.chmod(0o555)
    command: tuple[str, ...] = RUN
    if os.getuid() == 0:  # root may write everywhere, unless this is taken from it
        command = (str(shutil.which("setpriv")), "--bounding-set=-dac_override", "--", *RUN)
    code, sentence = failed(*command, str(directory), "--writable", "--port", "0")
    assert code == 1 and "can't be written" in sentence and "--writable" in sentence
    with started(*command, str(directory), "--port", "0") as (_, line):
        assert ask(port_in(line), "GET", NAME)[0] == 404


# how it ends


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_finishes_upload(start_server: ServerFactory, directory: Path, number: int) -> None:
    """A signal ends the server only when an upload under way has been stored and acknowledged."""
    server = start_server(directory, "--writable")
    with closing(begin_upload(server.port)) as connection:
        server.process.send_signal(number)
        time.sleep(0.5)
        connection.send(BODY[1000:])
        assert connection.getresponse().status == 200
    assert server.process.wait(10) == 0
    assert (directory / NAME[1:3] / NAME[1:]).read_bytes() == BODY


def test_signal_bounded_by_grace(start_server: ServerFactory, directory: Path) -> None:
    """An upload that does not end is cut off after the grace period, and leaves nothing behind."""
    server = start_server(directory, "--writable", "--grace", "0.5")
    with closing(begin_upload(server.port)):
        began = time.monotonic()
        assert server.stop() == 0
        assert 0.5 <= time.monotonic() - began < 5
    assert not [path for path in directory.rglob(f"{NAME[1:]}*") if path.is_file()]


def test_signal_releases_waiting(start_server: ServerFactory, directory: Path) -> None:
    """Who waits for a promised buffer is told at once that the server stops."""
    server = start_server(directory, "--writable", "--grace", "30")
    assert ask(server.port, "PUT", f"/promise{NAME}")[0] == 202
    with closing(connect(server.port)) as connection:
        connection.request("GET", NAME)
        threading.Timer(0.5, server.process.send_signal, [signal.SIGTERM]).start()
        began = time.monotonic()
        assert connection.getresponse().status == 503
    assert server.process.wait(10) == 0 and 0.4 < time.monotonic() - began < 10


def test_timeout_when_idle(directory: Path) -> None:
    """With --timeout the server ends by itself, well, once nobody has asked for so long."""
    with started(*RUN, str(directory), "--port", "0", "--timeout", "1.5") as (process, line):
        for _ in range(3):
            time.sleep(0.8)
            assert ask(port_in(line), "GET", "/healthcheck") == (200, b"OK")
        began = time.monotonic()
        assert process.wait(10) == 0 and time.monotonic() - began > 1


def test_timeout_counts_transfers(directory: Path) -> None:
    """A transfer that lasts longer than --timeout is no idleness: it is finished first."""
    options = ("--port", "0", "--writable", "--timeout", "0.5")
    with started(*RUN, str(directory), *options) as (process, line):
        with closing(begin_upload(port_in(line))) as connection:
            time.sleep(1.5)
            connection.send(BODY[1000:])
            assert connection.getresponse().status == 200
        assert process.wait(10) == 0


def test_log_as_json(start_server: ServerFactory, directory: Path) -> None:
    """Every log line in JSON is one object that tells when, how bad, who and what."""
    options = ("--writable", "--log-format", "json", "--log-level", "info", "--access-log")
    server = start_server(directory, *options)
    assert ask(server.port, "PUT", NAME, BODY)[0] == 200
    assert server.stop() == 0
    lines = [json.loads(line) for line in server.lines[1:]]
    assert all(line.keys() >= {"time", "level", "logger", "message"} for line in lines)
    assert f"put {NAME[1:]} {len(BODY)}" in [line["message"] for line in lines]
    (access,) = (line for line in lines if line.get("path") == NAME)
    assert (access["method"], access["status"], access["remote"]) == ("PUT", 200, "127.0.0.1")


def test_access_log(start_server: ServerFactory, directory: Path) -> None:
    """--access-log alone logs each request, and nothing else of it than its first line."""
    server = start_server(directory, "--access-log")
    assert ask(server.port, "GET", NAME)[0] == 404
    assert server.stop() == 0
    (line,) = server.lines[1:]
    assert f"127.0.0.1 GET {NAME} 404 " in line
