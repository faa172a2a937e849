"""What is no HTTP: answered with 400, and logged without a word of it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from .conftest import ServerFactory

GARBAGE = (
    b"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Basic c2VjcmV0\r\nbad header c2VjcmV0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nAuthorization\x00: c2VjcmV0\r\n\r\n",
    b"PUT /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: c2VjcmV0, chunked\r\nContent-Length: 3\r\n\r\n",
    b"GET / HTTP/1.1\r\nX-API-KEY: " + 9000 * b"c2VjcmV0" + b"\r\n\r\n",
)


@pytest.mark.parametrize("level", ["warning", "info"])
def test_garbage(start_server: ServerFactory, directory: Path, level: str) -> None:
    """A request that can't be read may hold a secret: its log line names the fault alone, for who asks for
    it.
    """
    server = start_server(directory, "--log-level", level)
    for sent in GARBAGE:
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
            client.sendall(sent)
            assert client.recv(12)[8:] == b" 400"
    server.stop()
    lines = [line for line in server.lines if "aiohttp.server" in line]
    assert len(lines) == (len(GARBAGE) if level == "info" else 0)
    text = "".join(server.lines)
    assert "c2VjcmV0" not in text and "Traceback" not in text
