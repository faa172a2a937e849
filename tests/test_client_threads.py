"""What the client does with files in threads, when it is left in the middle."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from hashserver_aio.client.bodies import Body
from hashserver_aio.client.threads import in_thread


@pytest.mark.parametrize("cancels", [1, 3])
async def test_waited_for(cancels: int) -> None:
    """Whoever is cancelled, however often, is told when the work has ended, whatever became of it."""
    for failure in (None, OSError("mine")):
        go_on, ended = threading.Event(), threading.Event()

        def work(go_on: threading.Event, ended: threading.Event, failure: Exception | None) -> None:
            go_on.wait(20)
            ended.set()
            if failure is not None:
                raise failure

        task = asyncio.create_task(in_thread(work, go_on, ended, failure))
        for _ in range(cancels):
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.sleep(0.05)
        assert not task.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended.is_set()


async def test_results() -> None:
    """Else it is what the work gives, or fails with."""
    assert await in_thread(int, "12") == 12
    with pytest.raises(ValueError, match="twelve"):
        await in_thread(int, "twelve")


async def test_left_while_opening(tmp_path: Path) -> None:
    """A file that was being opened for whoever has left is closed again."""
    path = tmp_path / "pipe"
    os.mkfifo(path)  # to open it takes until somebody writes
    body = await Body.of(path)
    pieces = body.pieces()
    task = asyncio.ensure_future(anext(pieces))
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.sleep(0.05)
    writing = await asyncio.to_thread(os.open, path, os.O_WRONLY)
    try:
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(BrokenPipeError):  # nobody reads: it is closed
            os.write(writing, b"hello")
    finally:
        os.close(writing)
