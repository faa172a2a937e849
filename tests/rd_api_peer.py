"""The real `rd-api` 1.7.0.0 over a web-root, with a Redis of its own, which keeps nothing."""

from __future__ import annotations

import importlib.util
import json
import platform
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from .programs import free_port, tool
from .servers import environment

START_S = 30
NEED_S = 20

BLOCK_BYTES = 2 * 2**20
"""What it takes for a block unless it is told otherwise; it knows whole MiB only."""


@dataclass(frozen=True)
class RealRdApi:
    """A running `rd-api`, and what it serves."""

    port: int
    root: Path

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def place(self, path: str, body: bytes) -> str:
        """Place a file: its URL."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)
        return f"{self.url}/{quote(path)}"

    def status(self, path: str) -> dict[str, Any]:
        """Ask what the blocks of a file hash to, as far as it is known."""
        with urllib.request.urlopen(f"{self.url}/rd/{quote(path)}", timeout=NEED_S) as answer:
            told: dict[str, Any] = json.load(answer)
        return told

    def digested(self, path: str) -> dict[str, Any]:
        """Ask until it is all known."""
        deadline = time.monotonic() + NEED_S
        while is_pending(told := self.status(path)):
            assert time.monotonic() < deadline, told
            time.sleep(0.02)
        return told


def is_pending(told: dict[str, Any]) -> bool:
    """Tell whether there are blocks of which it is not known yet."""
    return any(sha1 == "pending" for *_, sha1 in told["blocks"])


@contextmanager
def running_rd_api(root: Path, *options: str, has_redis: bool = True) -> Iterator[RealRdApi]:
    """Run it over a folder; without Redis it is a server of files only."""
    if platform.machine() != "x86_64":
        pytest.skip("rd-api is a program for x86-64")
    spec = importlib.util.find_spec("rdapi")
    assert spec is not None and spec.origin is not None
    program = str(Path(spec.origin).with_name("rd-api"))  # its package only starts it
    port, redis_port = free_port(), free_port()
    own = root.with_name(f"{root.name}-rd-api")
    own.mkdir()
    where = ("--host", "127.0.0.1", "--port", str(port), "--web-root", str(root))
    command = [program, *where, "--redis-host", "127.0.0.1", "--redis-port", str(redis_port), *options]
    with _running(_redis(redis_port, own) if has_redis else None, own / "redis.log") as peer:
        if peer is not None:
            _await(peer, own / "redis.log", lambda: _says(redis_port, b"PING\r\n", b"+PONG"))
        with _running(command, own / "rd-api.log") as process:
            assert process is not None
            greeting = b"GET /rd/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            _await(process, own / "rd-api.log", lambda: _says(port, greeting, b"HTTP/1.1 200"))
            yield RealRdApi(port, root)


def _redis(port: int, directory: Path) -> list[str]:
    where = ("--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory))
    return [tool("redis-server"), *where, "--save", "", "--appendonly", "no", "--daemonize", "no"]


@contextmanager
def _running(command: list[str] | None, log: Path) -> Iterator[subprocess.Popen[bytes] | None]:
    if command is None:
        yield None
        return
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, env=environment(LC_ALL="C.UTF-8")
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _await(process: subprocess.Popen[bytes], log: Path, answers: Any) -> None:
    deadline = time.monotonic() + START_S
    while not answers():
        is_over = process.poll() is not None or time.monotonic() > deadline
        assert not is_over, f"it did not start: {log.read_text(errors='replace')[-2000:]}"
        time.sleep(0.02)


def _says(port: int, asked: bytes, wanted: bytes) -> bool:
    try:
        with closing(socket.create_connection(("127.0.0.1", port), NEED_S)) as connection:
            connection.sendall(asked)
            return connection.recv(1000).startswith(wanted)
    except OSError:
        return False
