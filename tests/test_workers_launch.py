"""`run --workers N` as systemd and launchers meet it: they see one server."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import struct
from pathlib import Path

import pytest

from .crews import NEED_S, answer, crew_on, until
from .programs import free_port
from .test_command import BODY, NAME, RUN, SCRIPT, ask, failed, started
from .test_runners import activated, workers

TWO = ("--workers", "2")


def test_activated(directory: Path) -> None:
    """A socket from systemd is the one that all workers take connections from."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with activated(listener, str(directory), "--writable", *TWO) as line:
            assert line.endswith(f", writable, 2 workers) on http://127.0.0.1:{port}\n")
            assert ask(port, "PUT", NAME, BODY) == (200, b"OK")
            assert ask(port, "GET", NAME) == (200, BODY)


def test_notify(directory: Path, tmp_path: Path) -> None:
    """systemd hears from the main process only: READY=1 once all workers serve, then STOPPING=1."""
    address, port = str(tmp_path / "notify"), free_port()
    size = socket.CMSG_LEN(struct.calcsize("3i"))

    def heard() -> tuple[bytes, int]:
        said, ((_, _, credentials),), _, _ = channel.recvmsg(100, size)
        return said, struct.unpack("3i", credentials)[0]

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(address)
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        channel.settimeout(NEED_S)
        options = ("--port", str(port), *TWO)
        with started(*RUN, str(directory), *options, NOTIFY_SOCKET=address) as (process, line):
            assert heard() == (b"READY=1", process.pid) and line.startswith("serving ")
            assert ask(port, "GET", "/healthcheck") == (200, b"OK")
            (one, _) = workers(process.pid)
            os.kill(one, signal.SIGKILL)
            until("it is replaced", lambda: len({*workers(process.pid)} - {one}) == 2)
            process.terminate()
            assert heard() == (b"STOPPING=1", process.pid)
            assert process.wait(NEED_S) == 0
        channel.setblocking(False)
        with pytest.raises(BlockingIOError):
            channel.recv(100)


def newer_catalogue(directory: Path) -> None:
    """Let the directory have a catalogue of a version that only workers find out they can't read."""
    own = directory / ".hashserver-aio"
    own.mkdir()
    with sqlite3.connect(own / "catalogue.sqlite") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()


@pytest.mark.parametrize("why", ["no directory", "port taken", "workers can't", "bad option"])
def test_cannot_start(directory: Path, tmp_path: Path, why: str) -> None:
    """Whatever keeps the server from starting is said once, in a sentence, also to the launcher."""
    path = tmp_path / "status.json"
    path.write_text('{"pid": 1}')
    more: tuple[str, ...] = ("--port", "0")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        if why == "no directory":
            directory.rmdir()
        elif why == "port taken":
            more = ("--port", str(taken.getsockname()[1]))
        elif why == "workers can't":
            newer_catalogue(directory)
        else:
            more = ("--port-range", "2", "1")
        command = (*RUN, str(directory), "--writable", *TWO, *more, "--status-file", str(path))
        code, sentence = failed(*command)
    says = {"no directory": "is not a directory", "port taken": "is taken", "bad option": "backwards"}
    assert says.get(why, "newer") in sentence and code == (2 if why == "bad option" else 1)
    assert json.loads(path.read_text()) == {"pid": 1, "status": "failed"}


def test_status_file(directory: Path, tmp_path: Path) -> None:
    """The launcher reads `running` and the port when all workers serve; nothing else is left there."""
    path = tmp_path / "status.json"
    path.write_text('{"pid": 1}')
    with crew_on(directory, "--status-file", str(path)) as crew:
        assert json.loads(path.read_text()) == {"pid": 1, "status": "running", "port": crew.port}
        for worker in crew.workers:
            assert answer(crew.connect(worker), "GET", "/healthcheck") == (200, b"OK")
        assert crew.stop() == 0
    assert sorted(tmp_path.iterdir()) == [directory, path]


def test_name_hashserver_has_one(directory: Path, tmp_path: Path) -> None:
    """Called `hashserver` there is one process, whatever the environment says, and no such option."""
    hashserver = tmp_path / "hashserver"
    hashserver.symlink_to(SCRIPT)
    with started(str(hashserver), str(directory), HASHSERVER_WORKERS="2") as (process, line):
        assert "workers" not in line and workers(process.pid) == []
    assert failed(str(hashserver), str(directory), *TWO)[0] == 2
