"""Running servers: each as a user starts it, on loopback, ready when the context is entered."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .failures import MeasurementFailed
from .peers import AXON_USERS, Contender, Peers
from .processes import Cores, end, spawn, wait_until

START_S = 60.0

_URL = re.compile(r" on https?://[^\s\"]*:([0-9]+)")

NGINX = """\
{user}worker_processes 1;
daemon off;
pid nginx.pid;
error_log error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    default_type application/octet-stream;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location ~ "^/(([0-9a-f]{{2}})[0-9a-f]{{62}})$" {{ alias {directory}/$2/$1; }}
    }}
}}
"""


@dataclass
class Server:
    """A running server."""

    contender: Contender
    process: subprocess.Popen[str]
    directory: Path
    port: int
    started_s: float

    @property
    def url(self) -> str:
        """The URL that it answers to."""
        scheme = "https" if self.contender.tls else "http"
        return f"{scheme}://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The id of its first process."""
        return self.process.pid

    def check_alive(self) -> None:
        """Raise MeasurementFailed if it has ended."""
        if self.process.poll() is not None:
            raise MeasurementFailed(f"the server ended with code {self.process.returncode}")


@contextmanager
def running(peers: Peers, contender: Contender, directory: Path, cores: Cores) -> Iterator[Server]:
    """Run a server on a directory until the context is left."""
    private = Path(tempfile.mkdtemp(prefix="server-", dir=directory.parent))
    try:
        is_axon = contender.kind == "axon"
        port = 0 if is_axon or contender.kind == "ours" else _free_port()
        config = private / "nginx.conf"
        user = "user root;\n" if os.geteuid() == 0 else ""
        config.write_text(NGINX.format(user=user, port=port, directory=directory))
        started_s = time.perf_counter()
        process = spawn(
            peers.command(contender, directory, port, config),
            cores,
            stdin=subprocess.PIPE if is_axon else subprocess.DEVNULL,
            stdout=subprocess.PIPE if is_axon else subprocess.DEVNULL,
            env=_environment(),
        )
        lines = Lines(process)
        try:
            port = port or (_port_of_axon(process, contender) if is_axon else lines.port())
            wait_until(lambda: process.poll() is not None or _listens(port), START_S, "no answer")
            if process.poll() is not None:
                raise MeasurementFailed(f"{contender.name} did not start: {lines.text()}")
            yield Server(contender, process, directory, port, started_s)
        finally:
            end(process)
            lines.close()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
    finally:
        shutil.rmtree(private, ignore_errors=True)


class Lines:
    """What a server says on stderr; read always, or a full pipe would stop it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._last: list[str] = []
        self._port = 0
        self._said = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._last = [*self._last[-9:], line]
            found = _URL.search(line)
            if found and not self._port:
                self._port = int(found[1])
                self._said.set()
        self._said.set()

    def port(self) -> int:
        """Wait for the port it says it serves on.

        Raises: MeasurementFailed, with what it said instead.
        """
        if not self._said.wait(START_S) or not self._port:
            raise MeasurementFailed(f"the server did not start: {self.text()}")
        return self._port

    def text(self) -> str:
        """Give the last lines."""
        return " ".join("".join(self._last).split())[-500:]

    def close(self) -> None:
        """Read to the end; the process has ended."""
        self._thread.join(5)
        if self._process.stderr is not None and not self._thread.is_alive():
            self._process.stderr.close()


def _port_of_axon(process: subprocess.Popen[str], contender: Contender) -> int:
    """Tell it its users; the port that it says.

    Raises: MeasurementFailed.
    """
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(json.dumps(AXON_USERS) + "\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise MeasurementFailed(f"{contender.name} did not start")
    return int(json.loads(line)["https" if contender.tls else "http"])


def _environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("HASHSERVER_")}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def _connection(server: Server, timeout_s: float) -> http.client.HTTPConnection:
    if not server.contender.tls:
        return http.client.HTTPConnection("127.0.0.1", server.port, timeout=timeout_s)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # signed by themselves
    return http.client.HTTPSConnection("127.0.0.1", server.port, timeout=timeout_s, context=context)


def ask(
    server: Server,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    timeout_s: float = 120,
) -> tuple[int, dict[str, str], bytes]:
    """Send one request; the status, the headers (names in lower case) and the body.

    Raises: MeasurementFailed, if there is no whole answer.
    """
    connection = _connection(server, timeout_s)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise MeasurementFailed(f"{method} {path[:12]}..: {error!r}") from None
    finally:
        connection.close()
