"""Long uploads: pieces that several threads take at their own pace."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import io
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hashserver_aio.store import streaming
from hashserver_aio.store.lanes import PIECES_A_TURN, Lane

from .conftest import Client
from .crashes import Calls

LONG = bytes(range(256)) * 4096 * 5


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Two threads."""
    with ThreadPoolExecutor(2) as threads:
        yield threads


def test_lane_keeps_the_order(pool: ThreadPoolExecutor) -> None:
    """Every piece is taken once and in order, also when it comes while the thread is about to leave."""
    taken: list[bytes] = []
    lane = Lane(pool, taken.append, lambda: None)
    pieces = [number.to_bytes(4, "big") for number in range(5_000)]
    for number, piece in enumerate(pieces):
        lane.push(piece)
        if not number % 100:
            time.sleep(0.0005)  # so that the lane runs empty now and then
    while lane.behind:
        time.sleep(0.001)
    assert taken == pieces


def test_lane_ends_with_an_error(pool: ThreadPoolExecutor) -> None:
    """After an error nothing more is taken, and who waits is told."""
    told = threading.Event()

    def fail(piece: bytes) -> None:
        raise OSError(errno.EIO, "gone")

    lane = Lane(pool, fail, told.set)
    lane.push(b"one")
    assert told.wait(5)
    assert isinstance(lane.error, OSError)
    lane.push(b"two")
    lane.stop()
    assert lane.behind == 1


def test_stopped_lane_touches_nothing_more(pool: ThreadPoolExecutor) -> None:
    """Once `stop` returns, no piece is being taken, and none will be."""
    entered, leave = threading.Event(), threading.Event()
    taken: list[bytes] = []

    def slow(piece: bytes) -> None:
        entered.set()
        leave.wait(5)
        taken.append(piece)

    lane = Lane(pool, slow, lambda: None)
    for piece in (b"one", b"two", b"three"):
        lane.push(piece)
    assert entered.wait(5)
    stopping = pool.submit(lane.stop)
    time.sleep(0.05)
    assert not stopping.done()
    leave.set()
    stopping.result(5)
    time.sleep(0.05)
    assert taken == [b"one"]


def test_stopping_in_the_same_threads() -> None:
    """Who stops lanes in all the threads that they run in waits for no turn that none is left for."""
    with ThreadPoolExecutor(2) as threads:
        lanes = [Lane(threads, lambda piece: time.sleep(0.005), lambda: None) for _ in range(2)]
        for _ in range(20 * PIECES_A_TURN):
            for lane in lanes:
                lane.push(b"piece")
        time.sleep(0.005 * (PIECES_A_TURN - 0.5))
        stopping = [threads.submit(lane.stop) for lane in lanes]
        for each in stopping:
            each.result(5)


def test_lane_of_a_closed_pool() -> None:
    """A lane whose threads are gone ends with an error, and can be stopped."""
    with ThreadPoolExecutor(1) as threads:
        lane = Lane(threads, lambda piece: None, lambda: None)
    lane.push(b"piece")
    assert isinstance(lane.error, RuntimeError)
    lane.stop()


def test_lanes_take_turns() -> None:
    """A lane that is always behind leaves the thread to others after a few pieces."""
    order: list[bytes] = []
    with ThreadPoolExecutor(1) as thread:
        begin = threading.Event()
        thread.submit(begin.wait, 5)
        greedy = Lane(thread, order.append, lambda: None)
        modest = Lane(thread, order.append, lambda: None)
        for _ in range(10 * PIECES_A_TURN):
            greedy.push(b"greedy")
        modest.push(b"modest")
        begin.set()
        while greedy.behind or modest.behind:
            time.sleep(0.001)
    assert order.index(b"modest") == PIECES_A_TURN


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch, directory: Path) -> Calls:
    """The calls on the directory's files, made to fail."""
    monkeypatch.setattr(streaming, "FLUSHED_BYTES", 1024 * 1024)
    return Calls(monkeypatch, directory)


async def test_early_syncs(client: Client, faults: Calls) -> None:
    """A long upload is synced while the rest arrives, and once more at its end."""
    path = "/" + hashlib.sha3_256(LONG).hexdigest()
    assert (await client.put(path, data=_slowly(LONG))).status == 200
    synced = [name for name, file in faults.made if name in ("fdatasync", "fsync") and path in file]
    assert synced[0] == "fdatasync"
    assert synced.index("fsync") == synced.count("fdatasync")


async def test_failed_early_sync(client: Client, faults: Calls) -> None:
    """An early sync that fails fails the upload: the kernel tells of lost pages only once."""
    path = "/" + hashlib.sha3_256(LONG).hexdigest()
    faults.errors = {("fdatasync", "temp"): errno.EIO}
    assert (await client.put(path, data=_slowly(LONG))).status == 500
    assert (await client.get(path)).status == 404
    faults.errors = {}
    assert (await client.put(path, data=io.BytesIO(LONG))).status == 200
    assert await (await client.get(path)).read() == LONG


async def test_early_sync_that_outlasts_the_body(client: Client, faults: Calls) -> None:
    """The end of an upload waits for an early sync under way, and hears of its failure."""
    path = "/" + hashlib.sha3_256(LONG).hexdigest()
    faults.held_up = ("fdatasync", "")
    faults.errors = {("fdatasync", "temp"): errno.EIO}
    putting = asyncio.ensure_future(client.put(path, data=io.BytesIO(LONG)))
    assert await asyncio.to_thread(faults.reached.wait, 10)
    await asyncio.sleep(0.3)
    assert not putting.done()
    faults.released.set()
    assert (await putting).status == 500
    assert (await client.get(path)).status == 404


async def _slowly(body: bytes) -> AsyncIterator[bytes]:
    """Send a body in pieces, so that syncs can keep up."""
    for begin in range(0, len(body), 1024 * 1024):
        yield body[begin : begin + 1024 * 1024]
        await asyncio.sleep(0.02)
