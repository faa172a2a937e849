"""SIGHUP: a certificate that was renewed is shown to who comes next, and nobody is cut off."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from .authority import Authority, shown_by
from .crews import BODY, NAME, Crew, answer, crew_on, lives, until
from .servers import COMMAND
from .test_tls import LARGE


def shown_by_all(crew: Crew) -> set[str]:
    """Tell which certificates are shown by those who serve."""
    return {shown_by(crew.connect(pid)) for pid in crew.servers}


@pytest.mark.parametrize("workers", [1, 2])
def test_reload(authority: Authority, directory: Path, workers: int) -> None:
    """All workers show what was renewed; downloads and connections from before go on."""
    body = LARGE * 8  # more than the system's buffers hold
    name = hashlib.sha3_256(body).hexdigest()
    (directory / name).write_bytes(body)
    options = ("--log-level", "info", *authority.options)
    with crew_on(directory, *options, workers=workers, context=authority.context) as crew:
        old, pids = shown_by_all(crew), crew.workers
        with ExitStack() as opened:
            connections = [opened.enter_context(closing(crew.connect(pid))) for pid in crew.servers]
            answers = []
            for connection in connections:
                connection.request("GET", f"/{name}")
                answers.append(connection.getresponse())
            begun = [answer.read(100_000) for answer in answers]
            new = authority.issue()
            crew.process.send_signal(signal.SIGHUP)
            until("all show it", lambda: shown_by_all(crew) == {new})
            assert [one + answer.read() for one, answer in zip(begun, answers, strict=True)] == [
                body
            ] * workers
            for connection in connections:
                assert answer(connection, "GET", "/healthcheck") == (200, b"OK")
                assert {shown_by(connection)} == old
        assert crew.workers == pids and crew.stop() == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_wrong_renewal(authority: Authority, directory: Path, workers: int) -> None:
    """A certificate that can't be used is said once and changes nothing, also for workers that come later."""
    with crew_on(directory, *authority.options, workers=workers, context=authority.context) as crew:
        old = shown_by_all(crew)
        chain = authority.files.certificate
        chain.write_bytes(chain.read_bytes()[:300])
        crew.process.send_signal(signal.SIGHUP)
        until(
            "it is said",
            lambda: crew.says("ERROR", str(chain), "the certificate from before is still in use"),
        )
        if workers > 1:
            time.sleep(1.1)
            os.kill(killed := crew.workers[0], signal.SIGKILL)
            until("it is replaced", lambda: len({*crew.workers} - {killed}) == 2)
        assert shown_by_all(crew) == old
        new = authority.issue()
        crew.process.send_signal(signal.SIGHUP)
        until("all show it", lambda: shown_by_all(crew) == {new})
        assert len([line for line in crew.lines if "certificate" in line]) == 1
        assert not crew.says("Traceback") and crew.stop() == 0


@pytest.mark.slow
def test_reload_while_workers_start(authority: Authority, directory: Path) -> None:
    """Also a worker that is just being started shows in the end what was renewed meanwhile."""
    with crew_on(directory, *authority.options, workers=3, context=authority.context) as crew:
        for pause_s in (0.0, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2):
            time.sleep(1.1)
            before = crew.workers
            for pid in before[:2]:
                os.kill(pid, signal.SIGKILL)
            time.sleep(pause_s)
            new = authority.issue()
            for _ in range(3):
                crew.process.send_signal(signal.SIGHUP)
            until("they are replaced", lambda: len({*crew.workers} - {*before[:2]}) == 3)  # noqa: B023
            until("all show it", lambda: shown_by_all(crew) == {new})  # noqa: B023
            assert before[2] in crew.workers
        assert crew.stop() == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_signal_to_all(authority: Authority, directory: Path, workers: int) -> None:
    """A SIGHUP that every process gets, many times, ends none of them."""
    with crew_on(directory, *authority.options, workers=workers, context=authority.context) as crew:
        pids = crew.workers
        new = authority.issue()
        for _ in range(50):
            os.killpg(crew.process.pid, signal.SIGHUP)
        until("all show it", lambda: shown_by_all(crew) == {new})
        assert crew.workers == pids and crew.stop() == 0
        assert len(crew.lines) == 1


# without TLS


@pytest.mark.parametrize("workers", [1, 2])
def test_service_without_certificate(directory: Path, workers: int) -> None:
    """Where no terminal is, and no certificate, SIGHUP does nothing: `systemctl reload` is no end."""
    with crew_on(directory, "--writable", workers=workers) as crew:
        pids = crew.workers
        with closing(crew.connect(crew.servers[0])) as connection:
            os.killpg(crew.process.pid, signal.SIGHUP)
            time.sleep(0.3)
            assert answer(connection, "PUT", NAME, BODY) == (200, b"OK")
        assert crew.workers == pids and crew.stop() == 0
        assert len(crew.lines) == 1


ON_A_TERMINAL = (
    "import os, signal, sys; main, tty = os.openpty(); os.close(os.open(os.ttyname(tty), os.O_RDWR)); "
    "sys.argv[1] == 'nohup' and signal.signal(signal.SIGHUP, signal.SIG_IGN); "
    "os.set_inheritable(main, True); os.execv(sys.argv[2], sys.argv[2:])"
)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("how", ["", "nohup"])
def test_terminal_without_certificate(directory: Path, how: str, workers: int) -> None:
    """On a terminal SIGHUP means what it always did: the end, but not with nohup."""
    command = (sys.executable, "-c", ON_A_TERMINAL, how, *COMMAND)
    with crew_on(directory, workers=workers, command=command) as crew:
        pids = crew.workers
        os.killpg(crew.process.pid, signal.SIGHUP)
        if how == "nohup":
            time.sleep(0.3)
            assert crew.workers == pids and crew.stop() == 0
        else:
            assert crew.wait() == -signal.SIGHUP
            until("they are gone", lambda: not any(map(lives, pids)), 1)
