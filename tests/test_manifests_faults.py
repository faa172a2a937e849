"""What befalls buffers while, and after, their blocks are digested; and servers that are too busy, or end."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from aiohttp import web

from hashserver_aio import Settings, create_app, digesting
from hashserver_aio import manifests as room
from hashserver_aio.checksums import Checksum
from hashserver_aio.server.keys import MANIFESTS

from .conftest import Client, ClientFactory
from .manifests import TURN, Turns, blocks, manifest_of, name_of, status, status_of, stored
from .peers import lay, until

BODY = random.Random(2).randbytes(2 * TURN + 5)
NAME = name_of(BODY)


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> Turns:
    """Every stored file is read a turn at a time."""
    return Turns(monkeypatch)


def path_in(directory: Path) -> Path:
    """Say where the buffer lies."""
    return directory / NAME[:2] / NAME


def spoil(path: Path, at: int) -> None:
    """Change a byte of a file."""
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))


async def asked(client: Client, path: str) -> asyncio.Task[int]:
    """Ask for something that is not there yet: its status, later."""

    async def ask() -> int:
        async with client.get(path) as answer:
            await answer.read()
            return answer.status

    task = asyncio.create_task(ask())
    await asyncio.sleep(0)
    return task


async def test_pending(client: Client, turns: Turns) -> None:
    """Blocks appear as they are digested; the last one not before the whole is known to be good."""
    await stored(client, BODY)
    for known in (2, 4, 4):
        assert await status(client, NAME) in [status_of(BODY, known=n) for n in (0, known)]
        await turns.read_one()
        assert await status(client, NAME) == status_of(BODY, known=known)
        turns.go_on(1)
    turns.go_on()
    assert await blocks(client, NAME) == manifest_of(BODY)
    assert await status(client, NAME) == status_of(BODY)


async def test_last_block(client: Client, turns: Turns) -> None:
    """The last block is not told before the end of the file was seen, even if all of it was read."""
    body = BODY[: 2 * TURN]
    name = await stored(client, body)
    await status(client, name)
    await turns.read_one()
    turns.go_on(1)
    await turns.read_one()
    assert await status(client, name) == status_of(body, known=3)
    turns.go_on()
    assert await blocks(client, name) == manifest_of(body)


async def test_nobody_waits_for_it(client: Client, turns: Turns) -> None:
    """What was begun is done to its end, whoever has gone."""
    await stored(client, BODY)
    await status(client, NAME)
    waiting = await asked(client, f"/{NAME}/blocks")
    await turns.read_one()
    waiting.cancel()
    turns.go_on()
    assert await blocks(client, NAME) == manifest_of(BODY)
    assert turns.reads == [NAME]


async def test_not_yet(client: Client, turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits long enough is told how far it is, and when to come again."""
    monkeypatch.setattr(room, "WAIT_S", 0.1)
    await stored(client, BODY)
    await status(client, NAME)
    await turns.read_one()
    for path in ("blocks", "proof?leaf=0"):
        answer = await client.get(f"/{NAME}/{path}")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        assert "2 of 5" in (await answer.json())["message"]
    turns.go_on()
    await until(lambda: has_all(client), 10)


async def has_all(client: Client) -> bool:
    """Tell whether the manifest is there."""
    async with client.get(f"/{NAME}/blocks") as answer:
        return answer.status == 200


async def test_too_much(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where too much waits, `rd` sees blocks that are pending, others a 503; later it is as ever."""
    await stored(client, BODY)
    with monkeypatch.context() as context:
        context.setattr(digesting, "MAX_JOBS", 0)
        assert await status(client, NAME) == status_of(BODY, known=0)
        answer = await client.get(f"/{NAME}/blocks")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert await blocks(client, NAME) == manifest_of(BODY)


async def test_few_at_a_time(client: Client, turns: Turns) -> None:
    """Others wait for their turn, and get it."""
    bodies = [BODY + bytes([n]) for n in range(digesting.AT_ONCE + 2)]
    names = [await stored(client, body) for body in bodies]
    for name in names:
        await status(client, name)
    assert len(turns.reads) == digesting.AT_ONCE
    turns.go_on()
    for name, body in zip(names, bodies, strict=True):
        assert await blocks(client, name) == manifest_of(body)


async def test_deleted_meanwhile(start_client: ClientFactory, turns: Turns) -> None:
    """What is deleted in the middle of the work has no manifest, and nothing of it is kept."""
    client = await start_client(allow_delete=True)
    await stored(client, BODY)
    waiting = await asked(client, f"/{NAME}/blocks")
    await turns.read_one()
    assert (await client.delete(f"/{NAME}")).status == 200
    turns.go_on()
    assert await waiting == 404
    assert (await status(client, NAME))["msg"] == f"getFileStatus on {NAME} failed"


async def test_replaced_meanwhile(client: Client, directory: Path, turns: Turns) -> None:
    """What is replaced in the middle of the work, by as good a file, is read once more."""
    await stored(client, BODY)
    await status(client, NAME)
    await turns.read_one()
    path_in(directory).unlink()
    lay(directory, BODY)
    turns.go_on()
    assert await blocks(client, NAME) == manifest_of(BODY)
    assert turns.reads == [NAME] * 2


@pytest.mark.parametrize("at", [0, TURN, len(BODY) - 1], ids=["read", "to be read", "last"])
async def test_written_meanwhile(client: Client, directory: Path, turns: Turns, at: int) -> None:
    """Of what another program writes to in the middle of the work nobody ever has all digests."""
    await stored(client, BODY)
    await status(client, NAME)
    await turns.read_one()
    spoil(path_in(directory), at)
    turns.go_on()
    async with client.get(f"/{NAME}/blocks") as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, "BufferCorrupt")
    assert not (await status(client, NAME))["ok"]
    assert (await client.get(f"/{NAME}/proof?leaf=0")).status == 400


@pytest.mark.parametrize("is_listed", [True, False])
async def test_corrupt(client: Client, directory: Path, reads: list[str], is_listed: bool) -> None:
    """A file that does not hash to its name never gets digests, and is hashed no more than once."""
    if is_listed:
        await stored(client, BODY)
        spoil(path_in(directory), 5)
    else:
        lay(directory, BODY[:-1], NAME)
    for _ in range(3):
        async with client.get(f"/{NAME}/blocks") as answer:
            assert (answer.status, (await answer.json())["code"]) == (400, "BufferCorrupt")
        assert (await status(client, NAME))["code"] == "BufferCorrupt"
    assert len(reads) == 1


@pytest.mark.parametrize("at", [7, 70_000])
async def test_rotten_under_a_proof(
    client: Client, directory: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """A block that rotted, though its file looks as it did, is not proved: the buffer is found corrupt."""
    same = classmethod(lambda cls, status: cls(status.st_size, 1, 2, 3))
    monkeypatch.setattr("hashserver_aio.store.files.Identity.of", same)
    await stored(client, BODY)
    await blocks(client, NAME)
    spoil(path_in(directory), at)
    for _ in range(2):
        async with client.get(f"/{NAME}/proof?leaf=0") as answer:
            assert (answer.status, (await answer.json())["code"]) == (400, "BufferCorrupt")


async def test_two_servers(start_client: ClientFactory, turns: Turns) -> None:
    """Of two servers of a directory one does the work, and both tell what it found."""
    one, other = await start_client(), await start_client()
    await stored(one, BODY)
    await status(one, NAME)
    await turns.read_one()
    assert await status(other, NAME) == status_of(BODY, known=0)
    turns.go_on()
    assert [await blocks(each, NAME) for each in (other, one)] == [manifest_of(BODY)] * 2
    assert turns.reads == [NAME]


async def test_other_server_ends(start_client: ClientFactory, directory: Path, turns: Turns) -> None:
    """When the server that does the work ends, soon and in the middle, another one does it."""
    runner = web.AppRunner(create_app(Settings(directory=directory, writable=True)))
    await runner.setup()
    client = await start_client()
    await stored(client, BODY)
    await runner.app[MANIFESTS].progress(Checksum(NAME))
    await turns.read_one()
    waiting = await asked(client, f"/{NAME}/blocks")
    await asyncio.sleep(0.3)
    assert turns.reads == [NAME]
    async with asyncio.timeout(2):
        await runner.cleanup()
    turns.go_on()
    assert await waiting == 200
    assert turns.reads == [NAME] * 2


async def test_end_of_the_server(start_client: ClientFactory, directory: Path, turns: Turns) -> None:
    """A server that stops ends the work, and tells who waits for it."""
    client = await start_client()
    await stored(client, BODY)
    waiting = await asked(client, f"/{NAME}/blocks")
    await turns.read_one()
    app = client.app
    assert app is not None
    await app[MANIFESTS].close()
    async with asyncio.timeout(2):
        assert await waiting == 503
    assert (await status(client, NAME))["msg"] == "the server is stopping"
