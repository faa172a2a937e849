"""`run --workers N`: how several processes start, share connections, are replaced and stop."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections import Counter
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from .crews import BODY, NAME, NEED_S, Crew, answer, begin, crew_on, finish, until
from .servers import COMMAND
from .test_command import RUN, ask, failed, started

# starting


def test_one_worker_is_the_process(directory: Path) -> None:
    """A single worker needs no supervisor: the process itself serves, and says what it always said."""
    with crew_on(directory, workers=1) as crew:
        assert crew.workers == [] and ask(crew.port, "GET", "/healthcheck") == (200, b"OK")
        assert crew.stop() == 0
        line = f"serving {directory} (sha3-256, prefix layout, read-only) on http://127.0.0.1:{crew.port}\n"
        assert crew.lines == [line]


def test_start_line(crew: Crew, directory: Path) -> None:
    """One line says what is served by how many workers; then the server is quiet, to its end."""
    assert len(crew.workers) == 2
    assert ask(crew.port, "PUT", NAME, BODY) == (200, b"OK")
    assert crew.stop() == 0
    what = f"serving {directory} (sha3-256, prefix layout, writable, 2 workers)"
    assert crew.lines == [f"{what} on http://127.0.0.1:{crew.port}\n"]
    assert not list((directory / ".hashserver-aio" / "tmp").iterdir())


def test_auto(directory: Path) -> None:
    """`auto` is a worker for each core that the process may use."""
    cores = len(os.sched_getaffinity(0))
    with started(*RUN, str(directory), "--port", "0", "--workers", "auto") as (_, line):
        assert (f", {cores} workers) on " in line) is (cores > 1)
    one = ("taskset", "-c", str(min(os.sched_getaffinity(0))))
    with started(*one, *RUN, str(directory), "--port", "0", HASHSERVER_WORKERS="auto") as (_, line):
        assert ", read-only) on " in line


@pytest.mark.parametrize("number", ["0", "-1", "x", "1.5", "257", "", "²"])
def test_no_number(directory: Path, number: str) -> None:
    """What is no number of workers is a usage error."""
    code, sentence = failed(*RUN, str(directory), "--port", "0", "--workers", number)
    assert code == 2 and "--workers" in sentence and "from 1 to 256" in sentence


def test_port_taken(crew: Crew, directory: Path) -> None:
    """A port that is taken is said once, in a sentence, before any worker is started."""
    code, sentence = failed(*RUN, str(directory), "--port", str(crew.port), "--workers", "2")
    assert code == 1 and f"port {crew.port} on 127.0.0.1 is taken" in sentence


def test_supervisor_has_no_threads(directory: Path, tmp_path: Path) -> None:
    """The process that forks has one thread, also after it dealt with a status file."""
    status = tmp_path / "status.json"
    status.write_text("{}")
    command = (sys.executable, "-W", "always", *COMMAND[1:])
    with crew_on(directory, "--status-file", str(status), command=command) as crew:
        (one, _) = crew.workers
        os.kill(one, signal.SIGKILL)
        until("it is replaced", lambda: one not in crew.workers and len(crew.workers) == 2)
        assert len(os.listdir(f"/proc/{crew.process.pid}/task")) == 1
        assert not crew.says("multi-threaded")
        assert json.loads(status.read_text()) == {"status": "running", "port": crew.port}


# connections


def test_balance(crew: Crew) -> None:
    """Connections that are opened at once are shared among the workers, every time."""
    for _ in range(8):
        time.sleep(0.6)  # until the end of the earlier ones is known
        with ExitStack() as opened:
            clients = [opened.enter_context(socket.socket()) for _ in range(16)]
            for client in clients:
                client.setblocking(False)
                client.connect_ex(("127.0.0.1", crew.port))
            until("all are taken", lambda: all(map(crew.owner, clients)))  # noqa: B023
            shares = Counter(map(crew.owner, clients))
        assert len(shares) == 2 and min(shares.values()) >= 3


def test_hanging_worker(crew: Crew) -> None:
    """A worker that hangs holds up nobody who connects after that."""
    os.kill(crew.workers[0], signal.SIGSTOP)
    for _ in range(20):
        assert ask(crew.port, "GET", "/healthcheck") == (200, b"OK")


def test_queue_outlives_workers(crew: Crew) -> None:
    """Who waits in the queue when all workers die is answered by those that come after them."""
    time.sleep(1.1)  # they have lived
    old = crew.workers
    for pid in old:
        os.kill(pid, signal.SIGSTOP)
    with closing(HTTPConnection("127.0.0.1", crew.port, timeout=NEED_S)) as client:
        client.request("GET", "/healthcheck")
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        assert client.getresponse().read() == b"OK"
    assert not set(old) & set(crew.workers)


# replacing


def test_killed_worker_is_replaced(crew: Crew) -> None:
    """A worker that dies is replaced, and said so with its process id and what killed it."""
    time.sleep(1.1)
    one, other = crew.workers
    os.kill(one, signal.SIGKILL)
    until("it is replaced", lambda: len(crew.workers) == 2 and one not in crew.workers, 1)
    assert crew.workers[0] == other
    until("it is said", lambda: crew.says("ERROR", f"worker {one} was killed by signal 9"))
    with closing(crew.connect(crew.workers[1])) as connection:
        assert answer(connection, "PUT", NAME, BODY) == (200, b"OK")
    assert crew.stop() == 0


def test_stopped_worker_is_replaced(crew: Crew) -> None:
    """A worker that somebody sends SIGTERM, twice even, finishes its requests, and is replaced."""
    one, other = crew.workers
    with closing(begin(crew, one)) as connection:
        os.kill(one, signal.SIGTERM)
        time.sleep(0.2)
        os.kill(one, signal.SIGTERM)
        time.sleep(0.2)
        assert finish(connection) == 200
    until("it is replaced", lambda: len(crew.workers) == 2 and one not in crew.workers)
    assert crew.workers[0] == other and crew.says("WARNING", f"worker {one} ended")


@pytest.mark.slow
def test_start_that_fails_again(directory: Path) -> None:
    """Workers that can't start are tried again after pauses that grow; the others go on serving."""
    with crew_on(directory) as crew:
        time.sleep(1.1)
        one, other = crew.workers
        directory.rename(aside := directory.with_name("aside"))
        os.kill(one, signal.SIGKILL)
        for pause in (1, 2, 4):
            why = f"{directory} is not a directory; create it or name another one; another one is started"
            until("it is tried again", lambda: crew.says("ERROR", f"{why} in {pause} s"))  # noqa: B023
            assert crew.workers == [other]
        aside.rename(directory)
        until("it is replaced", lambda: len(crew.workers) == 2)
        assert ask(crew.port, "GET", "/healthcheck") == (200, b"OK")
        assert len(crew.lines) == 5 and crew.stop() == 0


def test_ignored_child_signal(directory: Path) -> None:
    """Also where whoever started it ignores SIGCHLD, workers are replaced and stop."""
    command = (sys.executable, "-c", IGNORING, *COMMAND)
    with crew_on(directory, command=command) as crew:
        (one, _) = crew.workers
        os.kill(one, signal.SIGKILL)
        until("it is replaced", lambda: one not in crew.workers and len(crew.workers) == 2)
        assert crew.stop() == 0


IGNORING = (
    "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)
