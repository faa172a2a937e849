"""Random steps of several servers and other programs on one directory."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from pathlib import Path

import pytest

from .peers import Peer, lay, leftovers, until

STEPS = int(os.environ.get("SHARING_STEPS", "500"))
SEED = int(os.environ.get("SHARING_SEED", random.SystemRandom().randrange(2**32)))

BODY = random.Random(4).randbytes(300_000)


class Sharing:
    """A random life of a directory; `held` is what must be there."""

    def __init__(self, seed: int, peers: tuple[Peer, Peer], directory: Path) -> None:
        self.random = random.Random(seed)
        self.peers, self.directory = peers, directory
        self.held: dict[str, bytes] = {}

    async def step(self) -> None:
        """Do something at random, with some buffer and two servers."""
        self.one, self.other = self.random.sample(self.peers, 2)
        self.body = self.random.choice([self._new(), self._new(), *self.held.values()][-20:])
        steps = (self.put, self.cut, self.race, self.promise, self.lay, self.remove, self.spoil, self.wipe)
        await self.random.choices(steps, (30, 20, 20, 15, 6, 5, 5, 1))[0]()

    def _new(self) -> bytes:
        return self.random.randbytes(self.random.choice((9, 1_000, 65_537, 400_000)))

    def _hold(self) -> None:
        self.held[self.one.name(self.body)] = self.body

    async def put(self) -> None:
        assert await self.one.put(self.body) in ((200, 201) if self.body in self.held.values() else (200,))
        assert await self.other.get(self.body) == 200
        self._hold()

    async def cut(self) -> None:
        upload = await self.one.begin(self.body, self.random.randrange(len(self.body)))
        await asyncio.sleep(self.random.choice((0, 0.01, 0.1)))
        await upload.cut(reset=self.random.random() < 0.5)
        assert await self.other.get(self.body) == (200 if self.body in self.held.values() else 404)

    async def race(self) -> None:
        puts = [peer.put(self.body) for peer in (self.one, self.other, self.one)]
        doing = asyncio.gather(*puts, *(peer.get(self.body) for peer in (*self.peers, *self.peers)))
        if self.random.random() < 0.3:
            await asyncio.sleep(self.random.uniform(0, 0.02))
            lay(self.directory, self.body)
        statuses = await doing
        assert set(statuses[:3]) <= {200, 201}
        assert set(statuses[3:]) <= {200, 404}
        self._hold()

    async def promise(self) -> None:
        self.body = self._new()
        assert await self.one.put(self.body, "/promise/") == 202
        waiting = [asyncio.ensure_future(peer.get(self.body)) for peer in self.peers]
        await asyncio.sleep(self.random.uniform(0, 0.05))
        if kept := self.random.random() < 0.7:
            assert await self.other.put(self.body) == 200
            self._hold()
        else:
            await (await self.other.begin(self.body, 0)).cut(reset=False)
        assert await asyncio.gather(*waiting) == [200 if kept else 404] * 2

    async def lay(self) -> None:
        lay(self.directory, self.body)
        self._hold()
        assert await self.one.get(self.body) == 200

    async def remove(self) -> None:
        if self.held:
            name, body = self.random.choice(list(self.held.items()))
            (self.directory / name[:2] / name).unlink()
            del self.held[name]
            assert not await self.one.has(body)
            await self._is_seen(self.other, body, 404)

    async def _is_seen(self, peer: Peer, body: bytes, status: int) -> None:
        """A file that changed is seen at once, or a second later where the answer was in memory."""
        if await peer.get(body) != status:
            await asyncio.sleep(1.05)
            assert await peer.get(body) == status

    async def spoil(self) -> None:
        lay(self.directory, self._new(), self.one.name(self.body))
        await self._is_seen(self.one, self.body, 400)
        assert await self.other.put(self.body) == 200
        assert await self.one.get(self.body) == 200
        self._hold()

    async def wipe(self) -> None:
        self.body = self._new()
        putting = asyncio.ensure_future(self.one.put(self.body))
        await asyncio.sleep(self.random.uniform(0, 0.02))
        for path in list(self.directory.iterdir()):
            shutil.rmtree(path, ignore_errors=True)
        self.held.clear()
        assert await putting in (200, 500)
        assert await self.other.get(self.body) in (200, 404)


@pytest.mark.slow
async def test_random_steps(peers: tuple[Peer, Peer], directory: Path) -> None:
    """Whatever happens, what was acknowledged and not removed is there, on both servers.

    SHARING_STEPS says how much happens, SHARING_SEED repeats a run.
    """
    print(f"SHARING_SEED={SEED}")
    life = Sharing(SEED, peers, directory)
    for _ in range(STEPS):
        await life.step()
    for body in life.held.values():
        assert [await peer.get(body) for peer in peers] == [200, 200]
    await until(lambda: not leftovers(directory))
