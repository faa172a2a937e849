"""What tests of the fast path share: what it answered, a server without it, and its clock."""

from __future__ import annotations

import hashlib
import time
from types import ModuleType
from typing import Any

import pytest

from hashserver_aio.server import fast_path
from hashserver_aio.server.fast_path import FastPath
from hashserver_aio.server.keys import FAST_PATH

from .conftest import Client, ClientFactory
from .wire import Wire, normal, put, status_of


def name_of(body: bytes) -> str:
    """Name a buffer."""
    return hashlib.sha3_256(body).hexdigest()


def path_of(client: Client) -> FastPath:
    """Take the fast path of a server."""
    app = client.app
    assert app is not None
    return app[FAST_PATH]


def without_fast_path(client: Client, monkeypatch: pytest.MonkeyPatch) -> Client:
    """Let a server answer everything the ordinary way."""
    monkeypatch.setattr(path_of(client), "find", lambda head: None)
    return client


async def stored(client: Client, body: bytes, *headers: str, name: str = "") -> str:
    """Store a buffer: its name."""
    name = name or name_of(body)
    wire = await Wire.to(client)
    assert status_of(await wire.ask(put(name, body, *headers))) in (200, 201)
    wire.transport.abort()
    return name


class Clock:
    """The clock of the fast path, of other rooms that are given, and of nobody else; put forward by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *rooms: ModuleType) -> None:
        self.ahead_s = 0.0
        for room in (fast_path, *rooms):
            monkeypatch.setattr(room, "time", self)

    def monotonic(self) -> float:
        """Stand in for time.monotonic."""
        return time.monotonic() + self.ahead_s

    def time(self) -> float:
        """Stand in for time.time."""
        return time.time() + self.ahead_s


def count_answers(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """List the requests that the fast path answers from now on, of all servers of this process."""
    answered: list[bytes] = []
    ordinary = FastPath.find

    def find(self: FastPath, head: bytes) -> Any:
        whole = ordinary(self, head)
        if whole is not None:
            answered.append(head)
        return whole

    monkeypatch.setattr(FastPath, "find", find)
    return answered


async def ordinary_answer(
    start_client: ClientFactory, monkeypatch: pytest.MonkeyPatch, request: bytes, **settings: Any
) -> bytes:
    """Ask another server of the same directory, one without the fast path."""
    client = without_fast_path(await start_client(**settings), monkeypatch)
    wire = await Wire.to(client)
    return normal(await wire.ask(request))
