"""What the fast path keeps: it is fresh, bounded, and only what was found to be good."""

from __future__ import annotations

import asyncio
import gzip
import os
import random
from pathlib import Path

import pytest

from hashserver_aio.server import fast_path
from hashserver_aio.server.audiences import MAX_HEADS
from hashserver_aio.server.fast_path import FastPath
from hashserver_aio.store import directory as directory_module

from .conftest import Client, ClientFactory
from .fast import Clock, count_answers, name_of, path_of, stored
from .peers import Peer, lay, until
from .wire import Wire, body_of, get, put, status_of

BODY = b"some buffer" * 10
NAME = name_of(BODY)
WRONG = b"x" + BODY[1:]


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The requests that the fast path answered."""
    return count_answers(monkeypatch)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the fast path."""
    return Clock(monkeypatch)


def file_of(directory: Path, name: str = NAME) -> Path:
    """Tell where a buffer lies."""
    return directory / name[:2] / name


# freshness


def delete(path: Path) -> None:
    """Take the file away."""
    path.unlink()


def replace(path: Path) -> None:
    """Put another file of the same size in its place."""
    aside = path.with_name("aside")
    aside.write_bytes(WRONG)
    aside.rename(path)


def truncate(path: Path) -> None:
    """Cut the file short."""
    os.truncate(path, 5)


def corrupt(path: Path) -> None:
    """Change a byte in place; size and mtime stay as they were."""
    before = path.stat()
    with path.open("r+b") as file:
        file.write(WRONG[:1])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(
    ("change", "status"), [(delete, 404), (replace, 400), (truncate, 400), (corrupt, 400)]
)
@pytest.mark.parametrize("looked_at", [0, 3])
async def test_change_is_noticed(
    client: Client,
    directory: Path,
    clock: Clock,
    answered: list[bytes],
    change: object,
    status: int,
    looked_at: int,
) -> None:
    """What is changed or gone is not served a second later, however often it was found unchanged."""
    wire = await (await Wire.to(client)).watched(await stored(client, BODY))
    await wire.ask(get(NAME))
    for _ in range(looked_at):
        clock.ahead_s += 1.01
        assert body_of(await wire.ask(get(NAME))) == BODY
    assert len(answered) == 1 + looked_at
    assert callable(change)
    change(file_of(directory))
    clock.ahead_s += 1.0
    for _ in range(2):
        assert status_of(await wire.ask(get(NAME))) == status
    assert len(answered) == 1 + looked_at


async def test_date(client: Client, clock: Clock, answered: list[bytes]) -> None:
    """The Date of a kept answer is never more than a second behind."""
    wire = await (await Wire.to(client)).watched(await stored(client, BODY))
    dates = set()
    for _ in range(5):
        dates.add((await wire.ask(get(NAME))).partition(b"\r\nDate: ")[2][:29])
        clock.ahead_s += 1.0
    assert len(dates) == 5 == len(answered)


async def test_put_again(client: Client, directory: Path, clock: Clock, answered: list[bytes]) -> None:
    """A buffer that was deleted and is put again is served again, also the fast way."""
    wire = await (await Wire.to(client)).watched(await stored(client, BODY))
    before = await wire.ask(get(NAME))
    file_of(directory).unlink()
    clock.ahead_s += 1.0
    assert status_of(await wire.ask(get(NAME))) == 404
    assert status_of(await wire.ask(put(NAME, BODY))) == 200
    answers = [await wire.ask(get(NAME)) for _ in range(3)]
    assert {body_of(answer) for answer in (before, *answers)} == {BODY}
    assert len(answered) == 3  # not the first: it came after a body


async def test_replaced_by_a_good_one(
    client: Client, directory: Path, clock: Clock, answered: list[bytes]
) -> None:
    """A good file that takes the place of another is served as what it is: with its own date."""
    wire = await (await Wire.to(client)).watched(await stored(client, BODY))
    assert b"\r\nLast-Modified: Sun, 09 Sep 2001" not in await wire.ask(get(NAME))
    lay(directory, BODY)
    clock.ahead_s += 1.0
    assert b"\r\nLast-Modified: Sun, 09 Sep 2001" in await wire.ask(get(NAME))
    assert len(answered) == 1


async def test_two_servers(peers: tuple[Peer, Peer], directory: Path) -> None:
    """A second after a deletion no server serves the buffer; what one takes again both serve."""
    assert await peers[0].put(BODY) == 200
    for _ in range(2):
        assert [await peer.get(BODY) for peer in peers * 4] == [200] * 8
        file_of(directory).unlink()
        await asyncio.sleep(1.05)
        assert [await peer.get(BODY) for peer in peers * 2] == [404] * 4
        assert await peers[1].put(BODY) == 200
    assert [await peer.get(BODY) for peer in peers * 4] == [200] * 8


# bounds


def reckoned(path: FastPath) -> int:
    """Add up what is kept."""
    return sum(fast_path._size(answer) for answer in path._answers.values())


async def test_bytes_are_bounded(
    client: Client, directory: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, answered: list[bytes]
) -> None:
    """What is kept never takes more than its bound, whatever is asked for; all dropped, nothing is left."""
    monkeypatch.setattr(fast_path, "MAX_BYTES", 150_000)
    dice, path = random.Random(1), path_of(client)
    sizes = (1, 100, 5_000, 40_000, 65_536)
    bodies = [bytes([n]) * sizes[n % len(sizes)] for n in range(30)]
    names = [await stored(client, body) for body in bodies]
    wire, most = await (await Wire.to(client)).watched(names[0]), 0
    for _ in range(300):
        n = min(dice.randrange(30), dice.randrange(30))
        assert body_of(await wire.ask(get(names[n]))) == bodies[n]
        clock.ahead_s += dice.choice([0.0, 0.3, 1.1])
        if n % 7 == 3 and not dice.randrange(9):
            lay(directory, bodies[n])
        assert path._bytes == reckoned(path) <= 150_000
        most = max(most, path._bytes)
    assert len(answered) > 200 and most > 75_000
    for name in names:
        file_of(directory, name).unlink()
    clock.ahead_s += 1.0
    for name in names:
        assert status_of(await wire.ask(get(name))) == 404
    assert path._bytes == 0 and not path._answers


async def test_oldest_makes_room(client: Client, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    """What was asked for longest ago makes room for what is asked for now."""
    bodies = [bytes([n]) * 10_000 for n in range(6)]
    names = [await stored(client, body) for body in bodies]
    monkeypatch.setattr(fast_path, "MAX_BYTES", 5 * 13_700)
    wire = await (await Wire.to(client)).watched(names[5])
    for n in (0, 1, 2, 3, 4, 0, 1, 5):
        await wire.ask(get(names[n]))
    kept = [key[:64].decode() for key in path_of(client)._answers]
    assert kept == [names[n] for n in (3, 4, 0, 1, 5)]


async def test_heads_are_bounded(client: Client, answered: list[bytes]) -> None:
    """However different their headers are, requests are answered, and few headers are remembered."""
    wire = await (await Wire.to(client)).watched(await stored(client, BODY))
    audiences = path_of(client)._audiences
    for known, header in ((audiences._open, "User-Agent"), (audiences._sealed, "X-API-KEY")):
        answered.clear()
        for n in range(MAX_HEADS + 50):
            await wire.ask(get(NAME, f"{header}: {n}"))
            assert len(known) <= MAX_HEADS
        assert len(answered) == MAX_HEADS + 50
    await wire.send(*(get(NAME, f"User-Agent: {n}", "Accept: " + "x" * 2048) for n in range(3)))
    assert all(len(head) <= fast_path.MAX_HEAD_BYTES for head in audiences._open)


async def test_one_answer_for_many_heads(client: Client) -> None:
    """A buffer is kept once for all clients that take the same form of it."""
    wire = await (await Wire.to(client)).watched(await stored(client, BODY))
    for n in range(5):
        await wire.ask(get(NAME, f"User-Agent: {n}", "Accept-Encoding: br"))
    assert len(path_of(client)._answers) == 1


# never from memory


async def test_foreign_file(client: Client, directory: Path, answered: list[bytes], reads: list[str]) -> None:
    """Another program's file is hashed before it is sent fast, and again as long as it is too young."""
    other = await stored(client, b"other")
    lay(directory, BODY)
    wire = await (await Wire.to(client)).watched(other)
    for times in range(1, 4):
        assert body_of(await wire.ask(get(NAME))) == BODY
        assert reads == [NAME] * times and answered == []
    await asyncio.sleep(1.1)
    assert body_of(await wire.ask(get(NAME))) == BODY
    assert len(reads) == 4 and answered == []
    assert body_of(await wire.ask(get(NAME))) == BODY
    assert len(reads) == 4 and len(answered) == 1


@pytest.mark.parametrize("ending", ["", ".gz"])
async def test_corrupt(client: Client, directory: Path, answered: list[bytes], ending: str) -> None:
    """A corrupt file is never sent, old or young, and repaired by a PUT."""
    lay(directory, gzip.compress(WRONG) if ending else WRONG, NAME + ending)
    wire = await (await Wire.to(client)).watched(await stored(client, b"other"))
    await asyncio.sleep(1.1)
    for _ in range(3):
        assert status_of(await wire.ask(get(NAME, "Accept-Encoding: gzip"))) == 400
    assert answered == []
    assert status_of(await wire.ask(put(NAME, BODY))) == 200
    assert [body_of(await wire.ask(get(NAME))) for _ in range(3)] == [BODY] * 3
    assert len(answered) == 2  # not the first: it came after a body


async def test_network(
    start_client: ClientFactory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answered: list[bytes]
) -> None:
    """On a network file system, where opening a file may take long, no request is answered fast."""
    monkeypatch.setattr(directory_module, "is_network", lambda path: True)
    monkeypatch.setenv("HOME", str(tmp_path))
    client = await start_client()
    wire = await (await Wire.to(client)).watched(await stored(client, BODY))
    for _ in range(3):
        assert body_of(await wire.ask(get(NAME))) == BODY
    assert answered == [] and not path_of(client)._answers


async def test_promised(client: Client, answered: list[bytes]) -> None:
    """A buffer that is promised is waited for, and then sent."""
    wire = await (await Wire.to(client)).watched(await stored(client, b"other"))
    promise = put(f"promise/{NAME}", b"")
    assert status_of(await wire.ask(promise)) == 202
    asked = asyncio.ensure_future(wire.ask(get(NAME)))
    await asyncio.sleep(0.3)
    assert not asked.done() and answered == []
    await stored(client, BODY)
    assert body_of(await asked) == BODY


async def test_unreadable(client: Client, monkeypatch: pytest.MonkeyPatch, answered: list[bytes]) -> None:
    """A file that can't be opened or read just now is left to the ordinary way, and served later."""
    wire = await (await Wire.to(client)).watched(await stored(client, BODY))
    for call, error in (("open", OSError(24, "too many")), ("pread", OSError(5, "broken"))):
        with monkeypatch.context() as patch:
            patch.setattr(os, call, _failing(error))
            assert status_of(await wire.ask(get(NAME))) in (500, 503)
    assert answered == []
    await until(lambda: _served(wire))
    assert len(answered) == 1


def _failing(error: OSError) -> object:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


async def _served(wire: Wire) -> bool:
    return body_of(await wire.ask(get(NAME))) == BODY
