"""Servers of several workers, and connections to a chosen one of them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path

from .servers import COMMAND, environment

NEED_S = 20

BODY = b"a buffer that takes its time\n" * 10_000
SENT = 100_000
"""What an upload begins with: more than the 64 KiB that a worker keeps to itself."""

NAME = "/" + hashlib.sha3_256(BODY).hexdigest()


def until(what: str, holds: Callable[[], object], within_s: float = NEED_S) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def lives(pid: int) -> bool:
    """Tell whether a process runs, be it suspended; one that nobody has buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def sockets_of(pid: int) -> set[str]:
    """Name the inodes of a process's sockets."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(descriptor))
        except OSError:
            continue
        if found:
            inodes.add(found[1])
    return inodes


class Crew:
    """`hashserver-aio run --workers N` in a process group of its own, and what it says."""

    def __init__(
        self,
        directory: Path,
        *options: str,
        command: tuple[str, ...] = COMMAND,
        context: ssl.SSLContext | None = None,
    ) -> None:
        """`context`: what to trust, if the options are such that it speaks HTTPS."""
        arguments = (*command, "run", str(directory), "--port", "0", *options)
        self.process = subprocess.Popen(
            arguments, stderr=subprocess.PIPE, text=True, env=environment(), start_new_session=True
        )
        self.lines: list[str] = []
        self._connections: list[HTTPConnection] = []
        self._context = context
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        until("it serves", lambda: self._port() or self.process.poll() is not None)
        self.port = self._port()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)

    def _port(self) -> int:
        found = [re.search(r" on https?://\S+:(\d+)", line) for line in self.lines]
        return next((int(match[1]) for match in found if match), 0)

    @property
    def workers(self) -> list[int]:
        """The process ids of the workers, the oldest first."""
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    @property
    def servers(self) -> list[int]:
        """The processes that serve: the workers, or the only one there is."""
        return self.workers or [self.process.pid]

    def says(self, *words: object) -> bool:
        """Tell whether a line that has all these words was said."""
        return any(all(str(word) in line for word in words) for line in self.lines)

    def connect(self, worker: int) -> HTTPConnection:
        """Connect to a worker: the others are suspended until it has answered.

        The connection is closed when the server is.
        """
        others = [other for other in self.servers if other != worker]
        for other in others:
            os.kill(other, signal.SIGSTOP)
        try:
            connection = self._connection()
            self._connections.append(connection)
            connection.request("GET", "/healthcheck")
            assert connection.getresponse().read() == b"OK"
            assert self.owner(connection.sock) == worker
            return connection
        finally:
            for other in others:
                os.kill(other, signal.SIGCONT)

    def _connection(self) -> HTTPConnection:
        if self._context is None:
            return HTTPConnection("127.0.0.1", self.port, timeout=NEED_S)
        return HTTPSConnection("127.0.0.1", self.port, timeout=NEED_S, context=self._context)

    def owner(self, client: socket.socket) -> int | None:
        """Tell which worker has taken a connection; None if none has."""
        port = client.getsockname()[1]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            local, remote = (int(address.rpartition(":")[2], 16) for address in fields[1:3])
            if (local, remote) == (self.port, port):
                return next((pid for pid in self.servers if fields[9] in sockets_of(pid)), None)
        return None

    def wait(self) -> int:
        """Wait for the end; the exit code. Nothing is left running."""
        code = self.process.wait(NEED_S)
        self._reader.join(NEED_S)  # its end: no process holds stderr any more
        assert not self._reader.is_alive()
        return code

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it with a signal to the supervisor; the exit code."""
        self.process.send_signal(number)
        return self.wait()

    def close(self) -> None:
        """End all that is left."""
        for connection in self._connections:
            connection.close()
        for pid in [*(self.workers if self.process.poll() is None else ()), self.process.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()
        self._reader.join(5)
        assert self.process.stderr is not None
        self.process.stderr.close()


@contextmanager
def crew_on(
    directory: Path,
    *options: str,
    workers: int = 2,
    command: tuple[str, ...] = COMMAND,
    context: ssl.SSLContext | None = None,
) -> Iterator[Crew]:
    """Start a server of several workers that ends with the test."""
    crew = Crew(directory, "--workers", str(workers), *options, command=command, context=context)
    try:
        yield crew
    finally:
        crew.close()


def answer(connection: HTTPConnection, method: str, path: str, body: str | bytes = b"") -> tuple[int, bytes]:
    """Send a request over a connection that stays open: status and body of the answer."""
    connection.request(method, path, body)
    response = connection.getresponse()
    return response.status, response.read()


def begin(crew: Crew, worker: int) -> HTTPConnection:
    """Begin to upload through a worker, and wait until it has noticed."""
    connection = crew.connect(worker)
    connection.putrequest("PUT", NAME)
    connection.putheader("Content-Length", str(len(BODY)))
    connection.endheaders(BODY[:SENT])
    with closing(crew.connect(worker)) as other:
        asked = json.dumps([NAME[1:]])
        until("it is noticed", lambda: answer(other, "POST", "/has", asked) == (200, b"[true]"))
    return connection


def finish(connection: HTTPConnection) -> int:
    """Send the rest of an upload: the status."""
    connection.send(BODY[SENT:])
    return connection.getresponse().status
