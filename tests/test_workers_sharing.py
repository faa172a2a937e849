"""What holds across the workers of one server: they agree through the directory."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from .crews import BODY, NAME, Crew, answer, begin, crew_on, finish, until
from .peers import lay, leftovers


def later(connection: HTTPConnection, path: str = NAME) -> Callable[[], tuple[int, bytes] | None]:
    """Ask for a buffer in a thread; what is returned tells the answer once there is one."""
    answers: list[tuple[int, bytes]] = []
    threading.Thread(target=lambda: answers.append(answer(connection, "GET", path)), daemon=True).start()
    return lambda: answers[0] if answers else None


def test_promise(crew: Crew, directory: Path) -> None:
    """A promise made through one worker is waited for in the other, and kept by any."""
    one, other = map(crew.connect, crew.workers)
    assert answer(one, "PUT", f"/promise{NAME}")[0] == 202
    waiting = later(other)
    time.sleep(0.7)
    assert waiting() is None
    assert answer(one, "PUT", NAME, BODY) == (200, b"OK")
    until("it is there", lambda: waiting() == (200, BODY), 1)
    assert leftovers(directory) == []


@pytest.mark.parametrize("end", ["finished", "cut", "killed"])
def test_upload_in_flight(crew: Crew, end: str) -> None:
    """An upload through one worker is waited for in the other, until it ends, well or not."""
    one, other = crew.workers
    upload = begin(crew, one)
    waiting = later(crew.connect(other))
    time.sleep(0.7)
    assert waiting() is None
    if end == "finished":
        assert finish(upload) == 200
    elif end == "cut":
        upload.close()
    else:
        os.kill(one, signal.SIGKILL)
    until("they are answered", waiting, 1)
    found = waiting()
    assert found == (200, BODY) if end == "finished" else found is not None and found[0] == 404


def test_deletion(crew: Crew, directory: Path) -> None:
    """A file that somebody removes is gone for every worker within a second, often as it was served."""
    connections = [crew.connect(worker) for worker in crew.workers]
    small = b"small and hot"
    path = f"/{hashlib.sha3_256(small).hexdigest()}"
    assert answer(connections[0], "PUT", path, small) == (200, b"OK")
    for connection in connections * 20:
        assert answer(connection, "GET", path) == (200, small)
    (directory / path[1:3] / path[1:]).unlink()
    time.sleep(1)
    assert [answer(connection, "GET", path)[0] for connection in connections] == [404, 404]


def test_replacement_of_bytes(crew: Crew, directory: Path) -> None:
    """A file that is replaced by wrong bytes is served by no worker, often as it was served."""
    connections = [crew.connect(worker) for worker in crew.workers]
    assert answer(connections[0], "PUT", NAME, BODY) == (200, b"OK")
    for connection in connections * 5:
        assert answer(connection, "GET", NAME) == (200, BODY)
    lay(directory, b"wrong", NAME[1:])
    assert {answer(connection, "GET", NAME)[0] for connection in connections} <= {400, 404}


def test_quarantined_once(directory: Path) -> None:
    """A corrupt file that all workers meet at once goes to quarantine once, and a PUT repairs it."""
    with crew_on(directory, "--writable", "--lock-timeout", "0.5") as crew:
        connections = [crew.connect(worker) for worker in crew.workers]
        assert answer(connections[0], "PUT", NAME, BODY) == (200, b"OK")
        lay(directory, os.urandom(20_000_000), NAME[1:])
        time.sleep(0.7)
        waiting = [later(connection) for connection in connections]
        until("all are answered", lambda: all(ask() for ask in waiting))
        assert {found[0] for ask in waiting if (found := ask())} <= {400, 404}
        assert len(list((directory / ".hashserver-aio" / "quarantine").iterdir())) == 1
        until("it is logged", lambda: any("moved to quarantine" in line for line in crew.lines))
        assert sum("moved to quarantine" in line for line in crew.lines) == 1
        assert answer(connections[0], "PUT", NAME, BODY) == (200, b"OK")
        assert [answer(connection, "GET", NAME) for connection in connections] == [(200, BODY)] * 2


def bytes_read(pid: int) -> int:
    """Tell how many bytes a process has read."""
    fields = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(fields["rchar"])


def test_verified_once(crew: Crew, directory: Path) -> None:
    """A file that another program put there is hashed by the first worker that is asked, by no other."""
    body = os.urandom(30_000_000)
    name = lay(directory, body).name
    read = []
    for worker in crew.workers:
        with closing(crew.connect(worker)) as connection:
            time.sleep(1.1)  # a younger file is not remembered as good
            before = bytes_read(worker)
            assert answer(connection, "HEAD", f"/{name}") == (200, b"")
            read.append(bytes_read(worker) - before)
    assert read[0] >= len(body) and read[1] < len(body) / 10


# crashes


class Storing(threading.Thread):
    """A client that puts buffers, its own and those that all put, and notes what was acknowledged."""

    def __init__(self, port: int, number: int, ended: threading.Event) -> None:
        super().__init__()
        self.stored: dict[str, bytes] = {}
        self._port, self._ended = port, ended
        self._random = random.Random(number)
        self.broken = 0

    def run(self) -> None:
        """Put one buffer after the other; a connection that breaks is made anew."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=60)
        while not self._ended.is_set():
            number, kind = self._random.random(), self._random.randrange(4)
            source = random.Random(int(number * 40)) if kind < 2 else self._random
            body = source.randbytes(source.choice((10, 5_000, 100_000, 1_500_000)))
            name = hashlib.sha3_256(body).hexdigest()
            try:
                status, _ = answer(connection, "PUT", f"/{name}", body)
            except (OSError, HTTPException):
                self.broken += 1
                connection.close()
                continue
            assert status in (200, 201)
            self.stored[name] = body
        connection.close()


@pytest.mark.slow
def test_crashes_lose_nothing(crew: Crew, directory: Path) -> None:
    """Workers that are killed at any moment take nothing away that was acknowledged through them."""
    ended, chance = threading.Event(), random.Random(7)
    clients = [Storing(crew.port, number, ended) for number in range(16)]
    for client in clients:
        client.start()
    killed = 0
    for _ in range(8):
        time.sleep(chance.uniform(0.7, 1.5))
        if crew.workers:
            os.kill(chance.choice(crew.workers), signal.SIGKILL)
            killed += 1
    ended.set()
    for client in clients:
        client.join()
    stored = {name: body for client in clients for name, body in client.stored.items()}
    assert killed > 4 and len(stored) > 50 and sum(client.broken for client in clients) > 0
    until("both are back", lambda: len(crew.workers) == 2)
    connections = [crew.connect(worker) for worker in crew.workers]
    for name, body in stored.items():
        assert (directory / name[:2] / name).read_bytes() == body
        for connection in connections:
            assert answer(connection, "GET", f"/{name}") == (200, body)
    assert crew.stop() == 0
    assert leftovers(directory) == [] and not list((directory / ".hashserver-aio" / "tmp").iterdir())
