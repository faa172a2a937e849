"""reindex, verify and the scrub: what is there is known, what rotted is found, nothing good is touched."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from .conftest import ServerFactory
from .peers import Peer
from .servers import COMMAND, environment


def body(number: int) -> bytes:
    """Make a buffer, the same one for the same number."""
    return f"buffer {number} ".encode() * 50


def lay(directory: Path, data: bytes, name: str = "") -> Path:
    """Put a file where a buffer lies, as another program would."""
    name = name or hashlib.sha3_256(data).hexdigest()
    path = directory / name[:2] / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


def command(*arguments: str | Path) -> tuple[int, dict[str, Any]]:
    """Run a command with --json: its exit code and what it printed."""
    ran = subprocess.run(
        [*COMMAND, *map(str, arguments), "--json"], capture_output=True, text=True, env=environment()
    )
    return ran.returncode, json.loads(ran.stdout) if ran.stdout else {"error": ran.stderr}


def listed(directory: Path) -> list[tuple[int, str]]:
    """Read the feed from the file."""
    with closing(sqlite3.connect(directory / ".hashserver-aio/catalogue.sqlite")) as connection:
        statement = "SELECT seq, hex(checksum) FROM arrivals WHERE deleted_ms IS NULL ORDER BY seq"
        return [(seq, name.lower()) for seq, name in connection.execute(statement)]


def test_reindex(directory: Path) -> None:
    """Every buffer that other programs put there is listed once, with its digests and its size."""
    for number in range(300):
        lay(directory, body(number))
    code, found = command("reindex", directory)
    assert (code, found["good"], found["known"], found["bad"], found["gone"]) == (0, 300, 0, 0, 0)
    assert found["size"] == sum(len(body(number)) for number in range(300))
    names = {hashlib.sha3_256(body(number)).hexdigest() for number in range(300)}
    assert {name for _, name in listed(directory)} == names
    with closing(sqlite3.connect(directory / ".hashserver-aio/catalogue.sqlite")) as connection:
        rows = dict(connection.execute("SELECT sha256, size FROM arrivals"))
        totals = connection.execute("SELECT count, size FROM totals").fetchone()
    assert rows == {hashlib.sha256(body(n)).digest(): len(body(n)) for n in range(300)}
    assert totals == (300, found["size"])


def test_reindex_again(directory: Path) -> None:
    """What is known is skipped and keeps its number; what is gone is listed as deleted."""
    paths = [lay(directory, body(number)) for number in range(20)]
    assert command("reindex", directory)[0] == 0
    before = listed(directory)
    paths[3].unlink()
    lay(directory, body(50))
    code, found = command("reindex", directory)
    assert (code, found["good"], found["known"], found["gone"]) == (0, 1, 19, 1)
    assert listed(directory)[:19] == [row for row in before if row[1] != paths[3].name]
    code, found = command("reindex", directory, "--verify")
    assert (code, found["good"], found["known"]) == (0, 20, 0)


@pytest.mark.parametrize("how", ["verify", "verify --quarantine", "reindex", "reindex --verify"])
def test_corrupt(directory: Path, how: str) -> None:
    """A file that rotted is reported, and fails the command; the others are not touched."""
    for number in range(10):
        lay(directory, body(number))
    assert command("reindex", directory)[0] == 0
    rotten = lay(directory, b"rotten", name="ab" * 32)
    code, found = command(*how.split(), directory)
    assert (code, found["bad"]) == (1, 1)
    assert found["good"] + found["known"] == 10
    assert rotten.exists()  # too young to be taken away: somebody may be writing it
    assert "ab" * 32 not in {name for _, name in listed(directory)}


def test_resumed_verify(directory: Path) -> None:
    """reindex --verify goes on where it was interrupted, with what it had found; a plain one looks at all."""
    for number in range(300):
        lay(directory, body(number))
    assert command("reindex", directory)[1]["good"] == 300
    half = ["", "80", "80" + "0" * 62, {"good": 100, "bad": 2, "size": 5}]
    with closing(sqlite3.connect(directory / ".hashserver-aio/catalogue.sqlite")) as connection, connection:
        connection.execute("INSERT INTO meta VALUES ('note reindex --verify', ?)", (json.dumps(half),))
    code, found = command("reindex", directory)
    assert (code, found["known"]) == (0, 300)
    behind = sum(hashlib.sha3_256(body(number)).hexdigest() >= "80" for number in range(300))
    code, found = command("reindex", "--verify", directory)
    assert (code, found["good"], found["bad"]) == (1, 100 + behind, 2)
    assert command("reindex", "--verify", directory)[1]["good"] == 300


def test_uncatalogued(directory: Path) -> None:
    """A reindex that could not write the catalogue says so, and fails."""
    for number in range(3):
        lay(directory, body(number))
    assert command("reindex", directory)[0] == 0
    lay(directory, body(7))
    with closing(sqlite3.connect(directory / ".hashserver-aio/catalogue.sqlite")) as connection:
        connection.execute("BEGIN IMMEDIATE")
        code, found = command("reindex", directory)
    assert (code, found["good"], found["uncatalogued"]) == (1, 1, 1)


def test_elsewhere(directory: Path, tmp_path: Path) -> None:
    """With a catalogue elsewhere a directory that can't be written is catalogued too."""
    for number in range(3):
        lay(directory, body(number))
    url = f"sqlite:{tmp_path}/elsewhere.sqlite"
    for good in (3, 0):
        assert command("reindex", directory, "--catalogue", url)[1]["good"] == good
    assert not (directory / ".hashserver-aio").exists()


def test_verify_changes_nothing(directory: Path) -> None:
    """verify needs no right to write, and leaves no trace."""
    lay(directory, body(1))
    lay(directory, body(2))
    before = sorted((path, path.stat().st_mtime_ns) for path in directory.rglob("*"))
    assert command("verify", directory)[0] == 0
    assert sorted((path, path.stat().st_mtime_ns) for path in directory.rglob("*")) == before


def test_young_files(directory: Path) -> None:
    """Files that were written this very moment are catalogued too."""
    lay(directory, body(1))
    assert command("reindex", directory)[1]["good"] == 1
    assert len(listed(directory)) == 1


def test_extra_dirs(directory: Path, tmp_path: Path) -> None:
    """Buffers of extra directories are gone through too, and are not gone as long as these are named."""
    extra = tmp_path / "extra"
    extra.mkdir()
    lay(extra, body(1))
    lay(directory, body(2))
    for good in (2, 0):
        code, found = command("reindex", directory, "--extra-dirs", extra)
        assert (code, found["good"], found["gone"]) == (0, good, 0)
    assert len(listed(directory)) == 2
    code, found = command("reindex", directory)  # which knows nothing of the other directory
    assert (code, found["gone"], len(listed(directory))) == (0, 0, 2)


def test_scrub_writes_nothing_new(directory: Path) -> None:
    """Hashing again what is known changes nothing in the catalogue."""
    for number in range(5):
        lay(directory, body(number))
    assert command("reindex", directory)[1]["good"] == 5
    with closing(sqlite3.connect(directory / ".hashserver-aio/catalogue.sqlite")) as connection:
        before = connection.execute("SELECT * FROM stored").fetchall()
        assert command("reindex", directory, "--verify")[1]["good"] == 5
        assert connection.execute("SELECT * FROM stored").fetchall() == before


def test_not_a_directory(tmp_path: Path) -> None:
    """What can't be gone through is refused in a sentence."""
    code, found = command("reindex", tmp_path / "none")
    assert code == 1 and "is not a directory" in found["error"]


async def test_while_serving(start_server: ServerFactory, directory: Path) -> None:
    """The catalogue of a running server is removed and rebuilt: no buffer is lost, none hidden."""
    server = start_server(directory, "--writable")
    peer = Peer(server.url)
    assert {await peer.put(body(number)) for number in range(40)} == {200}
    for path in (directory / ".hashserver-aio").glob("catalogue.sqlite*"):
        path.unlink()
    assert {await peer.get(body(number)) for number in range(0, 40, 2)} == {200}
    code, found = await asyncio.to_thread(command, "reindex", directory)
    assert (code, found["good"] + found["known"], found["gone"]) == (0, 40, 0)
    assert len(listed(directory)) == 40
    assert {await peer.get(body(number)) for number in range(40)} == {200}
    assert await peer.put(body(41)) == 200
    assert len(listed(directory)) == 41
    await peer.session.close()


def test_interrupted(directory: Path) -> None:
    """A reindex that is killed and started again ends with everything listed once."""
    for number in range(3000):
        lay(directory, body(number))
    for _ in range(3):
        process = subprocess.Popen([*COMMAND, "reindex", str(directory)], env=environment())
        time.sleep(1.2)
        process.kill()
        process.wait()
    code, found = command("reindex", directory)
    assert (code, found["good"] + found["known"]) == (0, 3000)
    assert len(listed(directory)) == 3000


@pytest.mark.parametrize("layout", ["prefix", "flat"])
def test_layouts(directory: Path, layout: str) -> None:
    """Both layouts are gone through, and only files that are named like buffers are looked at."""
    for number in range(40):
        name = hashlib.sha3_256(body(number)).hexdigest()
        path = directory / name[:2] / name if layout == "prefix" else directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(body(number))
    (directory / "README").write_text("not a buffer")
    os.symlink("/nowhere", directory / "link")
    code, found = command("reindex", directory, "--layout", layout)
    assert (code, found["good"], found["bad"], found["unreadable"]) == (0, 40, 0, 0)
