"""Clients that do not read, and clients that vanish: they cost nothing, and others do not notice."""

from __future__ import annotations

import contextlib
import hashlib
import re
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import ServerFactory
from .servers import RunningServer
from .wire import get

SMALL = bytes(range(256)) * 256
BIG = 50 * 2**20
ORDINARY = ("Cookie: a=b",)
MIB = 2**20

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: on close, throw away what is unsent and send a reset."""


def name_of(body: bytes) -> str:
    """Name a buffer."""
    return hashlib.sha3_256(body).hexdigest()


SMALL_NAME, BIG_NAME = name_of(SMALL), name_of(bytes(BIG))


def memory(server: RunningServer, field: str = "VmRSS") -> int:
    """Tell how many bytes of memory a server takes, or (VmHWM) took at most."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    found = re.search(rf"{field}:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


def descriptors(server: RunningServer) -> int:
    """Count what a server has open."""
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def connect(server: RunningServer) -> socket.socket:
    """Connect; small buffers of the kernel's, so that it is the server who has to hold back."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    client.settimeout(30)
    client.connect(("127.0.0.1", server.port))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def read_whole(client: socket.socket, body: bytes = SMALL) -> bool:
    """Read one answer, byte for byte: whether it is the buffer."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += client.recv(1)
    rest = memoryview(bytearray(len(body)))
    count = 0
    while count < len(body):
        got = client.recv_into(rest[count:])
        assert got
        count += got
    return data.startswith(b"HTTP/1.1 200 ") and bytes(rest) == body


def watched(server: RunningServer) -> socket.socket:
    """Connect, and be sent two answers, so that the next one is a fast one."""
    client = connect(server)
    for _ in range(2):
        client.sendall(get(SMALL_NAME))
        assert read_whole(client)
    return client


def put(server: RunningServer, body: bytes) -> None:
    """Store a buffer."""
    with connect(server) as client:
        head = f"PUT /{name_of(body)} HTTP/1.1\r\nHost: t\r\nContent-Length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body)
        assert client.recv(100).startswith(b"HTTP/1.1 20")


def test_slow_reader(start_server: ServerFactory, directory: Path) -> None:
    """Answers that are not read are not piled up, and all come, whole and in order, once they are."""
    server = start_server(directory, "--writable")
    put(server, SMALL)
    for _ in range(3):
        watched(server).close()
    before = memory(server)
    with watched(server) as client:
        for number in range(1000):
            client.sendall(get(SMALL_NAME))
            time.sleep(0.0005)  # each on its own, as the fast path wants them
            assert number % 100 or memory(server) - before < 8 * MIB
        assert memory(server, "VmHWM") - before < 8 * MIB
        assert all(read_whole(client) for _ in range(1000))
        client.sendall(get(SMALL_NAME))
        assert read_whole(client)
    assert server.stop() == 0


def test_other_clients_of_a_slow_reader(start_server: ServerFactory, directory: Path) -> None:
    """A hundred clients that read nothing keep nobody else from being served."""
    server = start_server(directory, "--writable")
    put(server, SMALL)
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            client = stack.enter_context(watched(server))
            client.sendall(get(SMALL_NAME) * 10)
        began = time.monotonic()
        other = stack.enter_context(watched(server))
        for _ in range(20):
            other.sendall(get(SMALL_NAME))
            assert read_whole(other)
        assert time.monotonic() - began < 5


def in_fast(server: RunningServer) -> socket.socket:
    """Ask for fast answers, and read the beginning of the first."""
    client = watched(server)
    for _ in range(3):
        client.sendall(get(SMALL_NAME))
    assert client.recv(100)
    return client


def in_ordinary(server: RunningServer) -> socket.socket:
    """Ask for ordinary small answers, and read the beginning of the first."""
    client = watched(server)
    client.sendall(get(SMALL_NAME, *ORDINARY) * 3)
    assert client.recv(100)
    return client


def in_sendfile(server: RunningServer) -> socket.socket:
    """Ask for a big buffer on a watched connection, and read the beginning of it."""
    client = watched(server)
    client.sendall(get(BIG_NAME))
    assert client.recv(100_000)
    return client


def vanish(client: socket.socket, reset: bool) -> None:
    """Hang up, politely or not."""
    if reset:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()


@pytest.mark.slow
@pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])
@pytest.mark.parametrize("begin", [in_fast, in_ordinary, in_sendfile])
def test_vanishing_clients(
    start_server: ServerFactory, directory: Path, begin: Callable[[RunningServer], socket.socket], reset: bool
) -> None:
    """Two hundred clients that vanish in the middle of an answer leave no descriptor and no memory."""
    server = start_server(directory, "--writable")
    put(server, SMALL)
    put(server, bytes(BIG))
    watched(server).close()
    at_rest, sizes = descriptors(server), []
    for _ in range(5):
        for _ in range(4):
            for client in [begin(server) for _ in range(50)]:
                vanish(client, reset)
        deadline_s = time.monotonic() + 10
        while descriptors(server) > at_rest:
            assert time.monotonic() < deadline_s, (descriptors(server), at_rest)
            time.sleep(0.05)
        sizes.append(memory(server))
    assert sorted(sizes[2:])[1] - sizes[1] < 4 * MIB, sizes  # what leaks is there each time
    with watched(server) as client:
        client.sendall(get(SMALL_NAME))
        assert read_whole(client)
    assert server.stop() == 0
    assert "Traceback" not in "".join(server.lines)
