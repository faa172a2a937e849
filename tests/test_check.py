"""`hashserver-aio check`: what it tells of a directory, and that it leaves it alone."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hashserver_aio.cli.main import cli
from hashserver_aio.store.layout import VAULT_FOLDERS

from .conftest import ServerFactory
from .servers import COMMAND, environment
from .test_command import NAME, ask, begin_upload

Hash = Callable[[bytes], Any]
MARKER = ".HASHSERVER_PREFIX"
OLD_S = 1000


def name_of(body: bytes, hash_: Hash = hashlib.sha3_256) -> str:
    """Name a buffer."""
    digest: str = hash_(body).hexdigest()
    return digest


def flat(directory: Path, *bodies: bytes, hash_: Hash = hashlib.sha3_256) -> None:
    """Store buffers in a folder, as another program would."""
    for body in bodies:
        (directory / name_of(body, hash_)).write_bytes(body)


def prefix(directory: Path, *bodies: bytes, hash_: Hash = hashlib.sha3_256) -> None:
    """Store buffers in prefix folders, as another program would."""
    for body in bodies:
        folder = directory / name_of(body, hash_)[:2]
        folder.mkdir(exist_ok=True)
        flat(folder, body, hash_=hash_)


def corrupt(directory: Path, *bodies: bytes) -> None:
    """Store files that are named like other buffers than they hold."""
    for body in bodies:
        (directory / name_of(body + b"!")).write_bytes(body)


def listing(directory: Path) -> dict[str, tuple[object, ...]]:
    """List all there is, with what would tell that somebody changed or made it."""
    found: dict[str, tuple[object, ...]] = {}
    for path in (directory, *directory.rglob("*")):
        status = os.lstat(path)
        content = path.read_bytes() if path.is_file() else b""
        found[str(path)] = (status.st_ino, status.st_mode, status.st_mtime_ns, status.st_ctime_ns, content)
    return found


def checked(directory: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """Check a directory, which leaves it as it was: exit code and findings."""
    before = listing(directory)
    result = CliRunner().invoke(cli, ["check", str(directory), "--json", *options])
    assert listing(directory) == before
    found: dict[str, Any] = json.loads(result.stdout)
    return result.exit_code, found


def shown(directory: Path, *options: str) -> str:
    """Check a directory as a person does; what is shown."""
    before = listing(directory)
    result = CliRunner().invoke(cli, ["check", str(directory), *options])
    assert listing(directory) == before
    return result.stdout


BODIES = [b"%d" % number * number for number in range(1, 41)]
SIZE = sum(map(len, BODIES))


def test_empty(directory: Path) -> None:
    """An empty directory is of no format yet, and can be served."""
    code, found = checked(directory)
    assert (code, found["obstacles"], found["remarks"]) == (0, [], [])
    assert (found["layout"], found["algorithm"], found["buffers"], found["bytes"]) == (None, None, 0, 0)
    assert f"can be served: hashserver-aio run --dir {directory}" in shown(directory)


@pytest.mark.parametrize("hash_", [hashlib.sha256, hashlib.sha3_256])
@pytest.mark.parametrize("fill", [flat, prefix])
def test_format(directory: Path, fill: Callable[..., None], hash_: Hash) -> None:
    """Layout and algorithm are told by the names and by a sample that is hashed."""
    fill(directory, *BODIES, hash_=hash_)
    code, found = checked(directory)
    algorithm = "sha-256" if hash_ is hashlib.sha256 else "sha3-256"
    assert (code, found["layout"], found["algorithm"]) == (0, fill.__name__, algorithm)
    assert found["sampled"] == found["matching"] > 0 and found["format_recorded"] is False
    assert f"{algorithm}, {fill.__name__} layout ({found['matching']} of" in shown(directory)


def test_marker(directory: Path) -> None:
    """The marker of the prefix layout is enough where no buffer is."""
    (directory / MARKER).write_bytes(b"1\n")
    code, found = checked(directory)
    assert (code, found["layout"], found["buffers"]) == (0, "prefix", 0)


def test_vault(directory: Path) -> None:
    """A vault is known by its four folders, and all of them are counted."""
    for number, folder in enumerate(VAULT_FOLDERS):
        (directory / folder).mkdir(parents=True)
        flat(directory / folder, *BODIES[number::4])
    for options in ((), ("--full",)):
        code, found = checked(directory, *options)
        assert (code, found["layout"], found["algorithm"]) == (0, "vault", "sha3-256")
        assert (found["buffers"], found["bytes"]) == (len(BODIES), SIZE)


def test_recorded(start_server: ServerFactory, directory: Path) -> None:
    """A directory that was served tells the format recorded in it, even without a buffer."""
    server = start_server(directory, "--writable", "--layout", "flat", "--hash-algorithm", "sha-256")
    body = b"recorded"
    assert ask(server.port, "PUT", f"/{name_of(body, hashlib.sha256)}", body)[0] == 200
    assert server.stop() == 0
    (directory / name_of(body, hashlib.sha256)).unlink()
    code, found = checked(directory, "--full")
    assert (code, found["layout"], found["algorithm"]) == (0, "flat", "sha-256")
    assert (found["format_recorded"], found["buffers"], found["temps"]) == (True, 0, 0)


def test_mixed(start_server: ServerFactory, directory: Path) -> None:
    """Buffers both flat and in prefix folders stand in the way of `run`, which says the same."""
    flat(directory, *BODIES[:20])
    prefix(directory, *BODIES[20:])
    code, found = checked(directory, "--full")
    assert (code, found["layout"], found["buffers"], found["bytes"]) == (1, None, len(BODIES), SIZE)
    (obstacle,) = found["obstacles"]
    assert "--layout flat" in obstacle and obstacle in shown(directory)
    with pytest.raises(RuntimeError, match="both flat and in prefix folders"):
        start_server(directory)


def test_mixed_estimated(directory: Path) -> None:
    """The estimate does not miss what lies flat beside prefix folders."""
    flat(directory, *BODIES)
    prefix(directory, b"one")
    for _ in range(5):  # the folders that are looked at are drawn by lot
        assert len(BODIES) <= checked(directory)[1]["buffers"] <= 2 * len(BODIES)


def test_flat_beside_marker(directory: Path) -> None:
    """Flat buffers in a directory that is marked as prefix are remarked on: they won't be served."""
    (directory / MARKER).write_bytes(b"1\n")
    flat(directory, *BODIES)
    code, found = checked(directory)
    assert code == 0 and found["layout"] == "prefix"
    assert any("flat buffers" in remark for remark in found["remarks"])


def test_some_corrupt(directory: Path) -> None:
    """A corrupt buffer in the sample is told of, but does not hide the algorithm."""
    flat(directory, BODIES[0], BODIES[1])
    corrupt(directory, b"bad")
    code, found = checked(directory)
    assert (code, found["algorithm"], found["sampled"], found["matching"]) == (0, "sha3-256", 3, 2)
    assert any("1 of 3" in remark for remark in found["remarks"])


def test_all_corrupt(directory: Path) -> None:
    """A directory in which nothing hashes to its name is not passed off as a store."""
    corrupt(directory, *BODIES)
    code, found = checked(directory)
    assert code == 1 and found["matching"] == 0
    assert any("none of" in obstacle for obstacle in found["obstacles"])


@pytest.mark.parametrize("record", [b"nonsense", b'{"version": 99}', b"[]"])
def test_record_not_understood(directory: Path, record: bytes) -> None:
    """A format record from the future or from nowhere stands in the way, and is left as it is."""
    (directory / ".hashserver-aio").mkdir()
    (directory / ".hashserver-aio" / "format").write_bytes(record)
    code, found = checked(directory)
    assert code == 1 and "can't be understood" in found["obstacles"][0]


@pytest.mark.parametrize("options", [(), ("--full",)])
@pytest.mark.parametrize("fill", [flat, prefix])
def test_stale_locks(directory: Path, fill: Callable[..., None], options: tuple[str, ...]) -> None:
    """Lock files older than the timeout are counted, each once; fresh ones are in use."""
    fill(directory, BODIES[0])
    (buffer,) = (path for path in directory.rglob("*") if path.is_file())
    stale = [directory / ".LOCK", buffer.with_name(buffer.name + ".LOCK")]
    for lock in stale:
        lock.touch()
        os.utime(lock, (time.time() - OLD_S,) * 2)
    buffer.with_name("0" * 64 + ".LOCK").touch()
    assert checked(directory, *options)[1]["stale_locks"] == len(stale)
    assert checked(directory, *options, "--lock-timeout", str(2 * OLD_S))[1]["stale_locks"] == 0


def test_temps_and_quarantine(start_server: ServerFactory, directory: Path) -> None:
    """What a killed server left is told of, and is no obstacle."""
    server = start_server(directory, "--writable")
    with closing(begin_upload(server.port, sent=200_000)):
        while not list(directory.rglob(f"tmp/*/{NAME[1:]}*")):
            time.sleep(0.05)
        server.kill()
    (directory / ".hashserver-aio" / "quarantine").mkdir()
    (directory / ".hashserver-aio" / "quarantine" / f"{name_of(b'y')}.1").touch()
    code, found = checked(directory, "--full")
    assert (code, found["buffers"], found["quarantined"]) == (0, 0, 1) and found["temps"] > 0


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_no_directory(tmp_path: Path, kind: str) -> None:
    """What is no directory is said to be none, in the exit code too."""
    path = tmp_path / kind
    if kind == "file":
        path.touch()
    result = CliRunner().invoke(cli, ["check", str(path)])
    assert result.exit_code == 1 and f"{path} is not a directory" in result.output
    assert path.exists() == (kind == "file")


def test_full_is_exact(directory: Path) -> None:
    """--full counts each buffer once, in whatever forms it is kept, and no other file."""
    bodies = [b"%d" % number for number in range(3000)]
    prefix(directory, *bodies)
    packed = directory / name_of(bodies[0])[:2] / f"{name_of(bodies[0])}.gz"
    packed.write_bytes(gzip.compress(bodies[0]))
    packed.with_name(f"{name_of(bodies[0])}.BUFFERLENGTH").write_bytes(b"1")
    packed.with_name("notes.txt").write_bytes(b"no buffer")
    (directory / "zz").mkdir()
    flat(directory / "zz", b"no prefix folder")
    _, found = checked(directory, "--full")
    assert (found["buffers"], found["exact"]) == (len(bodies), True)
    assert found["bytes"] == sum(map(len, bodies)) + packed.stat().st_size


def test_estimate_is_close(directory: Path) -> None:
    """Without --full number and size are told as estimates, and are of the right magnitude."""
    bodies = [random.Random(number).randbytes(100 + number % 200) for number in range(10_000)]
    prefix(directory, *bodies)
    _, found = checked(directory)
    assert found["exact"] is False
    assert found["buffers"] == pytest.approx(len(bodies), rel=0.3)
    assert found["bytes"] == pytest.approx(sum(map(len, bodies)), rel=0.35)


def test_owner_and_mode(directory: Path) -> None:
    """Owner, group, mode and file system are told, by the installed command too."""
    directory.chmod(0o2770)
    command = [*COMMAND, "check", str(directory), "--json"]
    done = subprocess.run(command, capture_output=True, env=environment(), check=True)
    found = json.loads(done.stdout)
    assert (found["owner"], found["group"]) == (directory.owner(), directory.group())
    assert found["mode"] == "2770" and found["file_system"] not in ("", "unknown")
