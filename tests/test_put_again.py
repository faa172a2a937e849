"""Many files to a server, and what becomes of the work when it is interrupted."""

from __future__ import annotations

import json
import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from hashserver_aio import Client
from hashserver_aio.checksums import Algorithm, Checksum
from hashserver_aio.client import folders
from hashserver_aio.client.folders import Outcome, find_files, put_files
from hashserver_aio.errors import ReadOnly

from .conftest import ClientFactory, ServerFactory
from .crews import until
from .servers import COMMAND, RunningServer, environment

FILES = folders.BATCH_FILES + 100
SENT_FIRST = 30


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with more files than are asked about at a time."""
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(FILES):
        (folder / f"{number:04}").write_bytes(b"%d" % number * 100)
    return folder


def puts_of(server: RunningServer) -> int:
    """Count the uploads that a server has answered."""
    return sum("PUT /" in line for line in server.lines)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_interrupted(start_server: ServerFactory, directory: Path, folder: Path, number: int) -> None:
    """Interrupted in whatever way and started again, it sends what is not there, and only that."""
    options = ("--writable", "--no-fsync", "--access-log", "--log-level", "info")
    server = start_server(directory, *options)
    command = [*COMMAND, "put", "-r", str(folder), "--jobs", "1", "--json", "--url", server.url]
    with subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as first:
        until("it sends", lambda: puts_of(server) >= SENT_FIRST)
        first.send_signal(signal.SIGSTOP)
        assert first.poll() is None, "it was done already"
        first.send_signal(number)
        first.send_signal(signal.SIGCONT)
        _, said = first.communicate(timeout=60)
    assert b"Traceback" not in said
    assert first.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL)
    sent = puts_of(server)
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=100, check=True)
    counts = Counter(json.loads(line)["status"] for line in done.stdout.splitlines())
    assert counts.total() == FILES and counts["failed"] == 0
    assert counts["held"] >= SENT_FIRST and counts["stored"] > 0
    assert puts_of(server) - sent <= counts["stored"] + 1  # one may have been under way at the end
    again = subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=100, check=True
    )
    assert f"0 stored, {FILES} held, 0 failed" in again.stderr


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were hashed."""
    paths: list[Path] = []
    real = folders._hash

    def hash_(path: Path, algorithm: Algorithm) -> Checksum:
        paths.append(path)
        return real(path, algorithm)

    monkeypatch.setattr(folders, "_hash", hash_)
    return paths


async def test_hashed_in_batches(start_client: ClientFactory, folder: Path, hashed: list[Path]) -> None:
    """No more is hashed than what is sent next: as many files, or bytes, as a batch has."""
    url = str((await start_client(fsync=False)).make_url(""))
    ahead = []
    async with Client(url) as client:
        outcomes: list[Outcome] = []
        async for outcome in put_files(client, find_files([folder], recursive=True), lambda _: None, jobs=8):
            outcomes.append(outcome)
            ahead.append(len(hashed) - len(outcomes))
    assert len(hashed) == len(set(hashed)) == len(outcomes) == FILES
    assert max(ahead) < folders.BATCH_FILES


async def test_hashed_for_nothing(
    start_client: ClientFactory, folder: Path, hashed: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the server refuses has cost the hashing of one batch, counted in files or in bytes."""
    url = str((await start_client(writable=False)).make_url(""))
    for limit_bytes, most in ((folders.BATCH_BYTES, folders.BATCH_FILES), (1000, 10)):
        monkeypatch.setattr(folders, "BATCH_BYTES", limit_bytes)
        hashed.clear()
        async with Client(url) as client:
            with pytest.raises(ReadOnly):
                async for _ in put_files(
                    client, find_files([folder], recursive=True), lambda _: None, jobs=8
                ):
                    pass
        assert 0 < len(hashed) <= most
