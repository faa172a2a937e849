"""Files of the web-root that change while, or after, their blocks are digested: no digest is ever wrong."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hashserver_aio import digesting, file_manifests
from hashserver_aio.server.keys import MANIFESTS
from hashserver_aio.server.webroot import validators
from hashserver_aio.store import Identity

from .conftest import Client, ClientFactory
from .manifests import (
    TURN,
    FileTurns,
    file_asked,
    file_blocks,
    file_manifest_of,
    file_status_of,
    has_file_blocks,
    status,
)
from .peers import until

BODY = random.Random(2).randbytes(2 * TURN + 5)
OTHER = BODY[::-1]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A web-root with a file."""
    root = tmp_path / "www"
    root.mkdir()
    (root / "f").write_bytes(BODY)
    return root


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take files for settled, though the test has just made them."""
    monkeypatch.setattr(validators, "SETTLED_S", -1e9)
    monkeypatch.setattr(file_manifests, "SETTLED_S", -1e9)


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> FileTurns:
    """Every file is read a turn at a time."""
    return FileTurns(monkeypatch)


@pytest.fixture
async def web(start_client: ClientFactory, root: Path) -> Client:
    """A client of a server with the web-root."""
    return await start_client(web_root=root)


def write(path: Path) -> None:
    """Write to the middle of a file, and set back what can be set back of its times."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(TURN - 1)
        file.write(bytes([BODY[TURN - 1] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(path: Path) -> None:
    """Put another file of the same size and time in a file's place."""
    before = path.stat()
    (path.parent / "new").write_bytes(OTHER)
    os.utime(path.parent / "new", ns=(before.st_atime_ns, before.st_mtime_ns))
    (path.parent / "new").replace(path)


def link(path: Path) -> None:
    """Put a link to another file in a file's place."""
    (path.parent / "other").write_bytes(OTHER)
    path.unlink()
    path.symlink_to("other")


CHANGES: dict[str, Callable[[Path], object]] = {
    "written to": write,
    "replaced": replace,
    "a link": link,
    "appended to": lambda path: path.write_bytes(BODY + b"x"),
    "cut": lambda path: os.truncate(path, 100),
    "emptied": lambda path: path.write_bytes(b""),
}


async def is_good(client: Client, told: tuple[int, Any], body: bytes) -> bool:
    """Tell whether somebody was told to come again, or (he came late) all of the file that is there now."""
    code, answer = told
    async with client.head("/f") as head:
        etag = head.headers.get("ETag")
    return code == 503 or answer == file_manifest_of("f", body) | {"etag": etag}


@pytest.mark.parametrize("how", CHANGES)
@pytest.mark.parametrize("turn", [0, 1, 2], ids=["before", "in the middle", "at the end"])
async def test_changed_meanwhile(web: Client, root: Path, turns: FileTurns, how: str, turn: int) -> None:
    """Of what changes in the middle of the work nothing is told any more; who asks then has it done anew."""
    await status(web, "f")
    waiting = await file_asked(web)
    for _ in range(turn):
        await turns.read_one()
        turns.go_on(1)
    await turns.read_one()
    CHANGES[how](root / "f")
    now = (root / "f").read_bytes()
    told = await status(web, "f")
    assert told in [file_status_of("f", now, known=known) for known in range(len(told["blocks"]) + 1)]
    turns.go_on()
    assert await is_good(web, await waiting, now)
    assert await file_blocks(web, "f") == file_manifest_of("f", now)
    assert await status(web, "f") == file_status_of("f", now)


@pytest.mark.parametrize("how", [*CHANGES, "removed"])
async def test_changed_before_its_turn(
    start_client: ClientFactory, root: Path, turns: FileTurns, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What changes while it waits for its turn is not read for those who asked before."""
    monkeypatch.setattr(digesting, "AT_ONCE", 1)
    web = await start_client(web_root=root)
    turns.go_on()
    assert web.app is not None
    async with web.app[MANIFESTS].digesting.turn:
        assert await status(web, "f") == file_status_of("f", BODY, known=0)
        waiting = await file_asked(web)
        (CHANGES | {"removed": Path.unlink})[how](root / "f")
    told = await waiting
    if how == "removed":
        assert told[0] in (404, 503)
    else:
        assert await is_good(web, told, (root / "f").read_bytes())
        assert await file_blocks(web, "f") == file_manifest_of("f", (root / "f").read_bytes())


@pytest.mark.parametrize("how", CHANGES)
async def test_changed_while_told(
    web: Client, root: Path, turns: FileTurns, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read while a file changed is not told, though nobody has found out yet."""
    await status(web, "f")
    await turns.read_one()
    assert await status(web, "f") == file_status_of("f", BODY, known=2)

    async def wait(self: object, at_most_s: float) -> None:
        CHANGES[how](root / "f")

    monkeypatch.setattr(digesting.Job, "wait", wait)
    told = await status(web, "f")
    assert (told["ok"], told["code"], told["blocks"]) == (False, "FileChanged", [])


async def test_untrue_size(web: Client, turns: FileTurns, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that has not as many bytes as the system says has no manifest, rather than a wrong one."""
    turns.go_on()
    ordinary = Identity.of.__func__  # type: ignore[attr-defined]

    def larger(cls: type[Identity], found: os.stat_result) -> Identity:
        identity: Identity = ordinary(cls, found)
        return identity._replace(size=identity.size + 1)

    monkeypatch.setattr(Identity, "of", classmethod(larger))
    assert (await web.get("/f?blocks")).status == 503
    assert not (await status(web, "f"))["ok"]


@pytest.mark.parametrize("how", CHANGES)
async def test_changed_later(web: Client, root: Path, turns: FileTurns, how: str) -> None:
    """What was kept is told no more once a file has changed, though size and time may look as they did."""
    turns.go_on()
    assert await file_blocks(web, "f") == file_manifest_of("f", BODY)
    CHANGES[how](root / "f")
    now = (root / "f").read_bytes()
    told = await status(web, "f")
    assert told in [file_status_of("f", now, known=known) for known in range(len(told["blocks"]) + 1)]
    assert await file_blocks(web, "f") == file_manifest_of("f", now)


async def test_changed_within_a_tick(
    start_client: ClientFactory, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that the file system's clock does not show is not missed: no old digest for new bytes."""
    monkeypatch.setattr(file_manifests, "SETTLED_S", 1.0)
    tick = 10**9

    def coarse(cls: type[Identity], found: os.stat_result) -> Identity:
        return cls(found.st_size, found.st_mtime_ns // tick * tick, found.st_ctime_ns // tick * tick, 1)

    monkeypatch.setattr(Identity, "of", classmethod(coarse))
    client = await start_client(web_root=root)
    seen = set()
    for _ in range(3):
        (root / "f").write_bytes(b"before")
        waiting = [await file_asked(client), await file_asked(client, "/rd/f")]
        await asyncio.sleep(0.05)
        (root / "f").write_bytes(b"behind")
        seen |= {(await each)[0] for each in waiting}
        assert await status(client, "f") in [file_status_of("f", b"behind", known=n) for n in (0, 1)]
        await until(lambda: has_file_blocks(client), 10)
        assert await file_blocks_now(client) == file_manifest_of("f", b"behind")
    assert seen <= {200, 503}


async def file_blocks_now(client: Client) -> object:
    """Ask for a manifest whose ETag is no matter."""
    manifest = await (await client.get("/f?blocks")).json()
    manifest.pop("etag")
    return manifest


async def test_from_the_future(
    web: Client, root: Path, turns: FileTurns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the file system's clock is ahead there are manifests too, but no ETag to tie them to."""
    turns.go_on()
    monkeypatch.setattr(file_manifests, "SETTLED_S", 0.1)
    monkeypatch.setattr(validators, "SETTLED_S", 0.1)
    ordinary = Identity.of.__func__  # type: ignore[attr-defined]

    def ahead(cls: type[Identity], found: os.stat_result) -> Identity:
        identity: Identity = ordinary(cls, found)
        return identity._replace(ctime_ns=identity.ctime_ns + 10**15)

    monkeypatch.setattr(Identity, "of", classmethod(ahead))
    for _ in range(2):
        answer = await (await web.get("/f?blocks")).json()
        assert answer.pop("etag") is None
        assert answer == file_manifest_of("f", BODY)
    assert turns.reads == ["a file"]
