"""Crews of works that are due."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter

import pytest

from hashserver_aio.fleet.crew import Crew


class Works:
    """Works that are due until they are done; each goes on until it is let."""

    def __init__(self, *names: str) -> None:
        self.due = list(names)
        self.begun = Counter[str]()
        self.most = self.now = 0
        self.gates = {name: asyncio.Event() for name in names}

    async def find(self) -> list[str]:
        """Name what is due."""
        await asyncio.sleep(0)
        return list(self.due)

    async def work(self, name: str) -> None:
        """Do one, when it is let."""
        self.begun[name] += 1
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.gates[name].wait()
            self.due.remove(name)
            if name.startswith("bad"):
                raise OSError("it can't be done")
        finally:
            self.now -= 1


async def until_begun(works: Works, count: int) -> None:
    """Wait until so many were begun."""
    while works.begun.total() < count:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.001)


@pytest.mark.timeout(20)
async def test_crew(caplog: pytest.LogCaptureFixture) -> None:
    """No more are under way than may be, none twice, and one that takes long or fails holds up no other."""
    works = Works("slow", "bad", "a", "b", "c")
    running = asyncio.create_task(Crew(works.work, str, 2).run(works.find, 0.001))
    with caplog.at_level(logging.ERROR):
        for name, begun in [("bad", 2), ("a", 3), ("b", 4), ("c", 5)]:
            await until_begun(works, begun)
            works.gates[name].set()
    while len(works.due) > 1:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    assert works.due == ["slow"] and works.most == 2 and set(works.begun.values()) == {1}
    assert "it can't be done" in caplog.text
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert works.now == 0


@pytest.mark.timeout(20)
async def test_crew_rests(caplog: pytest.LogCaptureFixture) -> None:
    """What fails, and so is due still, is not done over and over at once."""

    async def find() -> list[str]:
        looks.append("bad")
        return ["bad"]

    async def work(name: str) -> None:
        works.append(name)
        raise OSError("the disk is full")

    looks: list[str] = []
    works: list[str] = []
    running = asyncio.create_task(Crew(work, str, 2).run(find, 0.001))
    with caplog.at_level(logging.ERROR):
        while len(looks) < 50:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert works == ["bad"] and caplog.text.count("the disk is full") == 1


@pytest.mark.timeout(20)
async def test_crew_ends_with_its_source() -> None:
    """Where it can't be told what is due, nothing is left under way, and it says why."""

    async def find() -> list[str]:
        if works.begun:
            raise OSError("gone")
        return ["slow"]

    works = Works("slow")
    with pytest.raises(OSError, match="gone"):
        await Crew(works.work, str, 2).run(find, 0.001)
    assert works.now == 0
