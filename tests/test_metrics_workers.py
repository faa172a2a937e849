"""Several workers: whichever is asked tells the numbers of all, and none is lost with a worker."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from hashserver_aio.counting import HITS, IN_PROGRESS, WAITING, shared_counts

from .crews import Crew, answer, begin, crew_on, until
from .scrapes import Numbers, growth, numbers_in, without_prefix

BODY = b"a small buffer" * 20
NAME = "/" + hashlib.sha3_256(BODY).hexdigest()


@pytest.fixture
def quiet_crew(directory: Path) -> Iterator[Crew]:
    """Two workers that hold one small buffer."""
    with crew_on(directory, "--writable") as crew:
        assert answer(crew.connect(crew.workers[0]), "PUT", NAME, BODY)[0] == 200
        yield crew


def scraped(connection: HTTPConnection) -> Numbers:
    """Ask the worker at the other end."""
    status, text = answer(connection, "GET", "/metrics")
    assert status == 200
    return without_prefix(numbers_in(text.decode()))


def test_workers_add_up(quiet_crew: Crew) -> None:
    """What each worker did is in the numbers of all, whichever tells them."""
    connections = [quiet_crew.connect(worker) for worker in quiet_crew.workers]
    before = scraped(connections[0])
    for number, connection in enumerate(connections, 3):
        for _ in range(number):
            assert answer(connection, "GET", NAME) == (200, BODY)
    for connection in connections:
        found = growth(before, scraped(connection))
        assert found["requests_total", "hashserver", "GET", "200"] == 7
    first, second = (scraped(connection) for connection in connections)
    assert growth(first, second).keys() == {
        ("requests_total", "info", "GET", "200"),  # the scrapes themselves
        ("response_body_bytes_total",),
    }
    assert first["fsync_seconds_count",] == 1 and first["held_buffers",] == 1


def test_killed_worker(quiet_crew: Crew) -> None:
    """What a worker counted stays when it is killed; what it was doing is not being done any more."""
    victim, other = quiet_crew.workers
    connection = quiet_crew.connect(victim)
    for _ in range(5):
        assert answer(connection, "GET", NAME) == (200, BODY)
    upload, asking = begin(quiet_crew, victim), quiet_crew.connect(other)
    before = scraped(asking)
    assert before["requests_in_progress",] == 2
    os.kill(victim, signal.SIGKILL)
    until("it is buried", lambda: scraped(asking)["requests_in_progress",] == 1)
    after = scraped(asking)
    assert all(after[key] >= value for key, value in before.items() if key[0].endswith("_total"))
    assert after["requests_total", "hashserver", "GET", "200"] >= 5
    until("it is replaced", lambda: len(set(quiet_crew.workers) - {victim}) == 2)
    (replacement,) = set(quiet_crew.workers) - {other}
    connection = quiet_crew.connect(replacement)
    before = scraped(asking)
    assert answer(connection, "GET", NAME) == (200, BODY)
    found = growth(before, scraped(asking))
    assert found["requests_total", "hashserver", "GET", "200"] == 1
    upload.close()


def test_read_only_crew(directory: Path) -> None:
    """Where each worker knows something else of what is held, nothing is told of it."""
    with crew_on(directory) as crew:
        found = scraped(crew.connect(crew.workers[0]))
        assert ("held_buffers",) not in found and found["requests_in_progress",] == 1


def test_ready_crew(quiet_crew: Crew) -> None:
    """Each worker tells for itself whether it is ready."""
    for worker in quiet_crew.workers:
        assert answer(quiet_crew.connect(worker), "GET", "/healthcheck?ready") == (200, b"OK")
    assert json.loads(answer(quiet_crew.connect(worker), "GET", "/api/server")[1])["writable"]


def test_rows() -> None:
    """Each process adds to its own row; of a dead one only what it was doing is forgotten."""
    counts = shared_counts(3, more=5)
    for number, each in enumerate(counts, 1):
        each.row[HITS] += number
        each.row[IN_PROGRESS] = each.row[WAITING] = 1
    counts[1].died()
    for each in counts:
        sums = each.sums()
        assert (sums[HITS], sums[IN_PROGRESS], sums[WAITING]) == (6, 2, 2)
