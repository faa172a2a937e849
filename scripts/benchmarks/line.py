"""A line between clients and a server that breaks now and then: a relay that resets connections.

What comes from the server goes from socket to socket within the kernel, so that the line is no bottleneck. It
is a process of its own, `python -m benchmarks.line PORT MEAN_BYTES SEED`, which says its port, and when its
stdin ends what it did.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import random
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from .failures import MeasurementFailed
from .processes import Cores, end, spawn

PIECE_BYTES = 2**18


class Relay:
    """Passes connections on to a port, and resets one after so many bytes of answers, drawn by lot."""

    def __init__(self, port: int, mean_bytes: float, seed: int) -> None:
        self._port = port
        self._mean_bytes = mean_bytes
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._left = self._drawn()
        self.passed = 0
        self.cuts = 0
        self.connections = 0

    def _drawn(self) -> float:
        # Every byte is as likely as any other to be the last one of its connection.
        return self._random.expovariate(1 / self._mean_bytes) if self._mean_bytes else math.inf

    def listen(self, listener: socket.socket) -> None:
        """Take connections for ever."""
        while True:
            client, _ = listener.accept()
            self.connections += 1
            threading.Thread(target=self._relay, args=[client], daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._port)) as server:
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            asking = threading.Thread(target=_ask, args=[client, server], daemon=True)
            asking.start()
            with suppress(OSError):
                if self._answer(server, client):  # as linger says, closing it is a reset
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            for each in (client, server):
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RD)  # wakes the other thread, which has to let go of it
            asking.join()

    def _answer(self, server: socket.socket, client: socket.socket) -> bool:
        """Pass answers on; whether it is to end by a reset."""
        reading, writing = os.pipe()
        try:
            fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIECE_BYTES)
            while size := os.splice(server.fileno(), writing, PIECE_BYTES):
                while size:
                    moved = os.splice(reading, client.fileno(), size)
                    size -= moved
                    if self._count(moved):
                        return True
            return False
        finally:
            os.close(reading)
            os.close(writing)

    def _count(self, size: int) -> bool:
        """Count bytes; whether the connection is cut behind them."""
        with self._lock:
            self.passed += size
            self._left -= size
            if self._left > 0:
                return False
            self._left = self._drawn()
            self.cuts += 1
            return True


def _ask(client: socket.socket, server: socket.socket) -> None:
    """Pass requests on."""
    with suppress(OSError):
        while said := client.recv(2**16):
            server.sendall(said)
        server.shutdown(socket.SHUT_WR)


@dataclass
class Line:
    """A running one: its port, and once it has ended what went over it."""

    port: int
    told: dict[str, int] = field(default_factory=dict)


@contextmanager
def running_line(port: int, cores: Cores, *, mean_bytes: float, seed: int) -> Iterator[Line]:
    """Have a line to a server, that is cut every `mean_bytes` on average; never if that is 0."""
    env = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    command = [sys.executable, "-m", "benchmarks.line", str(port), str(mean_bytes), str(seed)]
    process = spawn(command, cores, stdin=subprocess.PIPE, env=env)
    assert process.stdout is not None
    try:
        said = process.stdout.readline()
        if not said:
            raise MeasurementFailed("the line did not start")
        line = Line(int(said))
        yield line
        out, _ = process.communicate(timeout=20)
        line.told = json.loads(out)
    finally:
        end(process)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def main() -> None:
    """Be a line until stdin ends."""
    port, mean_bytes, seed = sys.argv[1:]
    relay = Relay(int(port), float(mean_bytes), int(seed))
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    threading.Thread(target=relay.listen, args=[listener], daemon=True).start()
    print(listener.getsockname()[1], flush=True)
    sys.stdin.read()
    told = {"bytes": relay.passed, "cuts": relay.cuts, "connections": relay.connections}
    print(json.dumps(told), flush=True)
    os._exit(0)  # threads may wait for ever


if __name__ == "__main__":
    main()
