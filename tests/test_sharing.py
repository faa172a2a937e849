"""Two servers, and programs that know nothing of them, on one directory."""

from __future__ import annotations

import asyncio
import os
import random
import time
from pathlib import Path

import pytest

from .peers import Peer, lay, leftovers, until

BODY = random.Random(4).randbytes(300_000)


@pytest.mark.parametrize("promised", [True, False])
@pytest.mark.parametrize("end", ["finished", "closed", "reset"])
async def test_slow_upload(peers: tuple[Peer, Peer], directory: Path, end: str, promised: bool) -> None:
    """An upload is seen and waited for on all servers, and by other programs after a second.

    When it ends, well or not, those who wait are answered within a second, and no trace is left.
    """
    one, other = peers
    assert not promised or await other.put(BODY, "/promise/") == 202
    upload = await one.begin(BODY, 100_000)
    await until(lambda: other.has(BODY))
    assert not await other.has(BODY, "/has-now")
    waiting = [asyncio.ensure_future(peer.get(BODY)) for peer in peers]
    lock = directory / one.name(BODY)[:2] / f"{one.name(BODY)}.LOCK"
    await until(lock.exists, 2)
    assert not any(get.done() for get in waiting)
    if end == "finished":
        assert await upload.finish() == 200
    else:
        await upload.cut(reset=end == "reset")
    answers = await asyncio.wait_for(asyncio.gather(*waiting), 1)
    assert answers == ([200, 200] if end == "finished" else [404, 404])
    assert [await peer.has(BODY) for peer in peers] == [end == "finished"] * 2
    await until(lambda: not leftovers(directory))


@pytest.mark.parametrize("how", ["other server", "other program"])
async def test_promise(peers: tuple[Peer, Peer], directory: Path, how: str) -> None:
    """A promise made to one server is known to all, and kept by whoever brings the buffer."""
    one, other = peers
    assert await one.put(BODY, "/promise/") == 202
    assert [await other.has(BODY), await other.has(BODY, "/has-now")] == [True, False]
    waiting = [asyncio.ensure_future(peer.get(BODY)) for peer in peers]
    await asyncio.sleep(0.6)
    assert not any(get.done() for get in waiting)
    if how == "other server":
        assert await other.put(BODY) == 200
        assert leftovers(directory) == []
    else:
        lay(directory, BODY)
    assert await asyncio.wait_for(asyncio.gather(*waiting), 1) == [200, 200]


@pytest.mark.parametrize("lock", ["{0}/{1}.LOCK", "{0}/.LOCK", ".LOCK"])
@pytest.mark.parametrize("wrong", [True, False])
async def test_foreign_lock(peers: tuple[Peer, Peer], directory: Path, lock: str, wrong: bool) -> None:
    """A fresh lock is waited for where the file is missing or wrong, and there only; none is removed."""
    one, other = peers
    path = lay(directory, b"wrong", one.name(BODY))
    if not wrong:
        path.unlink()
    locked = directory / lock.format(path.parent.name, path.name)
    locked.write_text("theirs")
    os.utime(locked, (time.time() - 200, time.time() - 200))
    assert await asyncio.wait_for(one.get(BODY), 1) == (400 if wrong else 404)
    locked.touch()
    waiting = asyncio.ensure_future(other.get(BODY))
    await asyncio.sleep(0.6)
    assert not waiting.done()
    lay(directory, BODY)
    assert await asyncio.wait_for(waiting, 1) == 200
    assert await asyncio.wait_for(one.get(BODY), 1) == 200
    path.unlink()
    upload = await one.begin(BODY, 100_000)
    await asyncio.sleep(1.2)
    assert await upload.finish() == 200
    assert locked.read_text() == "theirs"
