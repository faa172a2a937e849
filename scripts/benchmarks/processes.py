"""Processes: pinned to cores, ended by their ids, and how much memory they hold.

A process is pinned before it starts: a mask that is set later misses the threads it has by then.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO

from .failures import BenchError, MeasurementFailed

SAMPLE_S = 0.05
GRACE_S = 15.0

Cores = frozenset[int]


def two_cores() -> tuple[Cores, Cores]:
    """Choose the server's core and the load's.

    The first and the last one: on machines with hyper-threads these are never one core's.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise BenchError(
            "two cores are needed, one for the server and one for the load; this machine has one"
        )
    return frozenset({cores[0]}), frozenset({cores[-1]})


@contextmanager
def on_cores(cores: Cores) -> Iterator[None]:
    """Keep this thread on some cores; what is started meanwhile inherits them."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def spawn(
    command: Sequence[str],
    cores: Cores,
    *,
    stdin: int | None = subprocess.DEVNULL,
    stdout: int | IO[str] | None = subprocess.PIPE,
    stderr: int | IO[str] | None = subprocess.PIPE,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.Popen[str]:
    """Start a process on some cores, in a session of its own: Ctrl-C is for us, who end it then."""
    with on_cores(cores):
        return subprocess.Popen(
            list(command),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=env,
            cwd=cwd,
            text=True,
            start_new_session=True,
        )


def end(process: subprocess.Popen[str]) -> None:
    """End a process and its children: politely, then not."""
    pids = tree(process.pid)
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
    for pid in pids:
        with suppress(ProcessLookupError):
            if pid != process.pid and _group(pid) == process.pid:
                os.kill(pid, signal.SIGKILL)
    if process.poll() is None:
        process.kill()
        process.wait()


def _group(pid: int) -> int:
    # A child that ended may have left its number to a stranger; the group tells.
    return os.getpgid(pid)


def tree(pid: int) -> list[int]:
    """List a process and its descendants; those that ended meanwhile are left out."""
    pids = [pid]
    for parent in pids:
        with suppress(OSError):
            for children in Path(f"/proc/{parent}/task").glob("*/children"):
                pids += map(int, children.read_text().split())
    return pids


def rss_mib(pid: int) -> float:
    """Add up the resident memory of a process and its descendants, in MiB."""
    return sum(_rss_kib(each) for each in tree(pid)) / 1024


def _rss_kib(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0


def cpu_ticks(pid: int) -> int:
    """Add up the processor time that a process and its descendants have used, in clock ticks."""
    return sum(map(_ticks, tree(pid)))


def _ticks(pid: int) -> int:
    with suppress(OSError):
        # The name, in parentheses, may hold blanks; fields 14 and 15 of proc(5) are counted after it.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])
    return 0


def falls_idle(pid: int, timeout_s: float) -> bool:
    """Wait until a process tree uses next to no processor; whether it did in time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        before = cpu_ticks(pid)
        time.sleep(0.2)
        if cpu_ticks(pid) - before <= 1:
            return True
    return False


class PeakMemory:
    """The most memory that a process tree was seen to hold between enter and exit, in MiB."""

    def __init__(self, pid: int) -> None:
        self.mib = rss_mib(pid)
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._over.wait(SAMPLE_S):
            self.mib = max(self.mib, rss_mib(self._pid))

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self.mib = max(self.mib, rss_mib(self._pid))


def wait_until(ready: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Ask every 20 ms until it is so.

    Raises: MeasurementFailed, naming `what`, after `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > deadline:
            raise MeasurementFailed(f"{what} in {timeout_s:g} s")
        time.sleep(0.02)
