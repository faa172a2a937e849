"""Two servers asked the same, a real Axon and ours, in raw bytes, each time over a new connection."""

from __future__ import annotations

import re
import socket
import ssl
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hashserver_aio.passwords import Scrypt, digest_of

from .axon_peer import PASSWORD, USERS, RealAxon
from .servers import RunningServer

PERMISSIONS = {
    "all": ["read", "write", "delete", "fetch"],
    "reader": ["read"],
    "writer": ["write"],
    "deleter": ["delete"],
    "nobody": [],
}
"""What USERS of the real one are to ours."""

KEY = "{key of all}"
"""Stands for an API key in a request: each server gives out its own."""

PATIENCE_S = 10


@dataclass(frozen=True)
class Ask:
    """A request; `user` None sends no credentials."""

    method: str
    path: str
    body: bytes = b""
    user: str | None = "all"
    password: str = PASSWORD
    headers: Mapping[str, str] = field(default_factory=dict)
    is_sized: bool = True
    """Whether Content-Length is sent with a body."""

    def worded(self, port: int, key: str) -> bytes:
        """Write it as a client does that hangs up then."""
        lines = [f"{self.method} {self.path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: close"]
        if self.user is not None:
            lines.append("Authorization: " + basic(self.user, self.password))
        lines += [f"{name}: {value.replace(KEY, key)}" for name, value in self.headers.items()]
        if self.is_sized and (self.body or self.method in ("PUT", "POST")):
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode() + self.body


@dataclass(frozen=True)
class Answer:
    """What came: headers by their names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Side:
    """One of the two."""

    port: int
    key: str
    context: ssl.SSLContext | None = None

    def ask(self, ask: Ask) -> Answer:
        """Send a request: its answer."""
        return parse(self.send(ask.worded(self.port, self.key)))

    def send(self, request: bytes) -> bytes:
        """Send bytes: all that comes until the server hangs up."""
        connection = socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)
        if self.context is not None:
            connection = self.context.wrap_socket(connection)
        with connection:
            connection.sendall(request)
            return b"".join(iter(lambda: connection.recv(65536), b""))


def parse(answer: bytes) -> Answer:
    """Read an answer; what was only announced by 100 is left out."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(re.split(r": *", line, maxsplit=1) for line in lines)
    return Answer(int(first.split(" ", 2)[1]), {name.lower(): value for name, value in headers.items()}, body)


def basic(user: str, password: str = PASSWORD) -> str:
    """Word Basic credentials."""
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


@dataclass(frozen=True)
class Pair:
    """Both."""

    theirs: Side
    ours: Side

    def ask(self, ask: Ask) -> tuple[Answer, Answer]:
        """Send both the same: the real one's answer, and ours."""
        return self.theirs.ask(ask), self.ours.ask(ask)


@contextmanager
def side_by_side(axon: RealAxon, directory: Path) -> Iterator[Pair]:
    """Start a server of ours on a new directory, that knows the users of a real Axon."""
    directory.mkdir()
    key = "key-of-all"
    access = directory.with_suffix(".toml")
    access.write_text(_access(key))
    options = ("--writable", "--allow-delete", "--auth-file", str(access))
    server = RunningServer(directory, *options)
    try:
        yield Pair(Side(axon.https, axon.keys["all"], axon.context), Side(server.port, key))
    finally:
        server.kill()


def _access(key: str) -> str:
    password = Scrypt.of(PASSWORD)
    tables = [f'[users.{user}]\npassword = "{password}"\npermissions = {PERMISSIONS[user]}' for user in USERS]
    return "\n".join(
        [*tables, f'[keys.all]\nsha256 = "{digest_of(key).hex()}"\npermissions = {PERMISSIONS["all"]}']
    )
