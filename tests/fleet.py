"""Fleets for tests: a server and nodes, each in a process of its own, as people start them."""

from __future__ import annotations

import json
import random
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from .clients import name
from .servers import COMMAND, RunningServer

INTERVAL_S = 10
"""Between two audits of a placement, at most."""

DEADLINE_S = 4
"""For an answer: a machine that is busy with tests needs some of it."""

RULES = (
    *("--node-allow", "127.0.0.0/8", "--audit-interval", str(INTERVAL_S)),
    *("--audit-deadline", str(DEADLINE_S), "--online-minutes", "0.1", "--node-rate", "1000"),
)

PATIENCE_S = 240.0
"""What nobody waits for unless something is wrong."""


_PLACED = "SELECT checksum FROM placed"
_GOOD = """
SELECT placements.checksum, key FROM placements JOIN nodes ON seq = node WHERE placements.state = 'good'
"""


class Fleet:
    """A server and its nodes, each with a directory below `folder`."""

    def __init__(self, folder: Path, replicas: int, **env: str) -> None:
        self.env = env
        self.folder = folder
        self.replicas = replicas
        self.nodes: dict[str, RunningServer] = {}
        self.server = self.start_server()

    @property
    def directory(self) -> Path:
        """The server's directory."""
        return self.folder / "server"

    def directory_of(self, node: str) -> Path:
        """The directory of a node."""
        return self.folder / node

    def start_server(self) -> RunningServer:
        """Start a server, or one more, on the server's directory."""
        self.directory.mkdir(exist_ok=True)
        options = ("--writable", "--allow-delete", "--replicas", str(self.replicas), *RULES)
        return RunningServer(self.directory, *options, env=self.env)

    def start(
        self, node: str, *options: str, cheat: str | None = None, env: dict[str, str] | None = None
    ) -> None:
        """Start a node, with a directory of its own that stays when it ends."""
        self.directory_of(node).mkdir(exist_ok=True)
        command = COMMAND if cheat is None else (sys.executable, "-m", "tests.cheat", cheat)
        options = ("--server", self.server.url, *options)
        self.nodes[node] = RunningServer(
            self.directory_of(node), *options, command=command, verb="node", env=env
        )
        url = self.nodes[node].url
        self.until("the node is listed", lambda: url in [each["url"] for each in self.listed()["nodes"]])

    def end(self) -> None:
        """End all of it."""
        for process in (self.server, *self.nodes.values()):
            process.kill()

    # -- what there is -----------------------------------------------------------------------------------

    def put(self, bodies: list[bytes]) -> None:
        """Store buffers on the server."""
        for body in bodies:
            asked = Request(f"{self.server.url}/{name(body)}", data=body, method="PUT")
            with urlopen(asked, timeout=60) as answer:
                assert answer.status in (200, 201)

    def ask(self, method: str, path: str) -> int:
        """Ask the server for something; the status."""
        try:
            with urlopen(Request(f"{self.server.url}/{path}", method=method), timeout=60) as answer:
                status: int = answer.status
        except HTTPError as error:
            status = error.code
        return status

    def listed(self) -> dict[str, Any]:
        """What the server says of its nodes."""
        with urlopen(f"{self.server.url}/api/nodes", timeout=30) as answer:
            listing: dict[str, Any] = json.load(answer)
        return listing

    def node(self, node: str) -> dict[str, Any]:
        """What the server says of a node."""
        url = self.nodes[node].url
        return next(each for each in self.listed()["nodes"] if each["url"] == url)

    def holders(self) -> dict[str, set[str]]:
        """Tell of all buffers on which nodes they have good placements: names of buffers, ids of nodes."""
        path = self.directory / ".hashserver-aio" / "catalogue.sqlite"
        with closing(sqlite3.connect(path)) as catalogue:
            held: dict[str, set[str]] = {one.hex(): set() for (one,) in catalogue.execute(_PLACED)}
            for checksum, key in catalogue.execute(_GOOD):
                held.setdefault(checksum.hex(), set()).add(key.hex())
        return held

    def until(self, what: str, holds: Callable[[], object]) -> None:
        """Wait until something holds."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < deadline_s, f"{what}: {json.dumps(self.listed(), indent=1)}"
            time.sleep(0.25)

    def until_placed(self, bodies: list[bytes], *without: str) -> None:
        """Wait until buffers have as many replicas as they are to have, and none on some nodes."""
        outside = {self.node(node)["id"] for node in without}

        def are_placed() -> bool:
            held = self.holders()
            on = [held.get(name(body), set()) for body in bodies]
            return all(len(nodes) == self.replicas and not nodes & outside for nodes in on)

        self.until("every buffer has its replicas", are_placed)

    def lose_everything(self) -> None:
        """Lose the buffers of the server, as a disk does; the catalogue is on another one."""
        for path in self.directory.glob("??/*"):
            path.unlink()

    def are_served(self, bodies: list[bytes]) -> bool:
        """Tell whether the server gives each of some buffers whole."""
        return all(get(self.server.url, body) == body for body in bodies)


def bodies_of(count: int, seed: int, most: int = 300_000) -> list[bytes]:
    """Make buffers of many sizes, from none to some leaves."""
    chance = random.Random(seed)
    sizes = [0, 1, 65_536, 65_537, *(int(most ** chance.random()) for _ in range(count - 4))]
    return [chance.randbytes(size) for size in sizes]


def get(url: str, body: bytes) -> bytes:
    """Ask a server for a buffer."""
    with urlopen(f"{url}/{name(body)}", timeout=60) as answer:
        content: bytes = answer.read()
    return content


@contextmanager
def fleet_in(folder: Path, replicas: int = 3, **env: str) -> Iterator[Fleet]:
    """Have a server, and nodes as they are started."""
    fleet = Fleet(folder, replicas, **env)
    try:
        yield fleet
    finally:
        fleet.end()
