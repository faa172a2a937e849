"""`run --workers N`: how several processes stop, by a signal or for want of requests; and what they log."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from .crews import BODY, NAME, Crew, answer, begin, crew_on, finish, lives, until

# stopping


@pytest.mark.parametrize("how", ["supervisor", "terminal", "everybody", "supervisor killed"])
def test_stop_finishes_requests(crew: Crew, directory: Path, how: str) -> None:
    """Whoever is told to stop, requests in flight on each worker are finished first."""
    workers, pid = crew.workers, crew.process.pid
    with ExitStack() as opened:
        uploads = [opened.enter_context(closing(begin(crew, worker))) for worker in workers]
        if how == "supervisor killed":
            os.kill(pid, signal.SIGKILL)
        elif how == "supervisor":
            os.kill(pid, signal.SIGTERM)
        else:
            os.killpg(pid, signal.SIGINT if how == "terminal" else signal.SIGTERM)
        time.sleep(0.5)
        assert all(map(lives, workers))
        with socket.socket() as late:
            assert late.connect_ex(("127.0.0.1", crew.port)) != 0
        assert [finish(upload) for upload in uploads] == [200, 200]
    assert crew.wait() == (-signal.SIGKILL if how == "supervisor killed" else 0)
    assert (directory / NAME[1:3] / NAME[1:]).read_bytes() == BODY
    assert not list((directory / ".hashserver-aio" / "tmp").iterdir())
    until("they are gone", lambda: not any(map(lives, workers)), 1)
    assert len(crew.lines) == 1


def test_second_signal(crew: Crew) -> None:
    """A second signal ends all processes at once, whatever is in flight."""
    workers = crew.workers
    with closing(begin(crew, workers[0])):
        crew.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert crew.process.poll() is None
        began = time.monotonic()
        assert crew.stop() == 1 and time.monotonic() - began < 2
    until("they are gone", lambda: not any(map(lives, workers)), 1)


def test_grace(directory: Path) -> None:
    """Uploads that do not end are cut off after the grace period, on each worker."""
    with crew_on(directory, "--writable", "--grace", "0.5") as crew, ExitStack() as opened:
        for worker in crew.workers:
            opened.enter_context(closing(begin(crew, worker)))
        began = time.monotonic()
        assert crew.stop() == 0 and 0.5 <= time.monotonic() - began < 5
    assert not [path for path in directory.rglob(f"{NAME[1:]}*") if path.is_file()]


def test_hanging_worker_is_killed(directory: Path) -> None:
    """A worker that does not stop is killed when its time is up, and said so."""
    command = (sys.executable, "-c", IMPATIENT)
    with crew_on(directory, "--grace", "0.1", command=command) as crew:
        (one, _) = crew.workers
        os.kill(one, signal.SIGSTOP)
        assert crew.stop() == 0
        assert crew.says("ERROR", f"worker {one}", "killed") and not lives(one)


IMPATIENT = (
    "from hashserver_aio.server import workers; from hashserver_aio.cli import main;"
    "workers.CLEANING_UP_S = 0.5; main()"
)


# --timeout


def test_timeout_over_all(directory: Path) -> None:
    """--timeout counts for all workers together: who serves keeps the idle ones alive."""
    with crew_on(directory, "--timeout", "1.5") as crew:
        with closing(crew.connect(crew.workers[1])) as connection:
            for _ in range(4):
                time.sleep(0.8)
                assert answer(connection, "GET", "/healthcheck") == (200, b"OK")
            assert len(crew.workers) == 2
        began = time.monotonic()
        assert crew.wait() == 0 and 1 < time.monotonic() - began < 4


def test_timeout_counts_transfers(directory: Path) -> None:
    """A transfer is no idleness, however long; but if its worker is killed nobody is served any more."""
    with crew_on(directory, "--writable", "--timeout", "1") as crew:
        time.sleep(0.2)
        one, other = crew.workers
        with closing(begin(crew, one)), closing(begin(crew, other)) as upload:
            os.kill(one, signal.SIGKILL)
            time.sleep(2.5)
            assert crew.process.poll() is None
            assert finish(upload) == 200
            assert crew.wait() == 0


# what is said


def test_logs_of_workers(directory: Path) -> None:
    """Each record of each worker is a line of its own."""
    options = ("--log-format", "json", "--access-log", "--log-level", "info")
    with crew_on(directory, *options) as crew:
        connections = [crew.connect(worker) for worker in crew.workers * 4]

        def ask_often(connection: HTTPConnection) -> None:
            for _ in range(100):
                assert answer(connection, "GET", "/healthcheck") == (200, b"OK")
            connection.close()

        threads = [threading.Thread(target=ask_often, args=[connection]) for connection in connections]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert crew.stop() == 0
    records = [json.loads(line) for line in crew.lines]
    assert sum(record.get("path") == "/healthcheck" for record in records) == 808
