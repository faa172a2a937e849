"""Loads: wrk and our jobs, run on the load's core, and their figures."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .failures import MeasurementFailed
from .peers import wrk as wrk_path
from .processes import Cores, end, spawn

SCRIPT = Path(__file__).with_name("wrk.lua")
PUT_SCRIPT = Path(__file__).with_name("wrk_put.lua")
LONGER_S = 60
"""Who has not answered one request a connection in the usual time gets this long."""

LARGE_BYTES = 2**20

Figures = dict[str, float]


def wrk(
    url: str,
    cores: Cores,
    *,
    connections: int,
    seconds: int,
    size: int,
    names: Path | None = None,
    headers: tuple[str, ...] = (),
) -> Figures:
    """Load a URL with wrk; of large answers the rate is that of their bytes, so that unfinished ones count.

    Raises: MeasurementFailed, on any status of 400 or more, a socket error or a timeout.
    """
    more = [] if names is None else [str(names), str(random.randrange(2**31))]
    told = _wrk(url, cores, connections, seconds, headers, more)
    if _answers(told, size) < connections:
        told = _wrk(url, cores, connections, max(LONGER_S, seconds), headers, more)
    return _figures(told, connections, _answers(told, size))


def wrk_put(
    url: str, cores: Cores, *, connections: int, seconds: int, size: int, headers: tuple[str, ...]
) -> Figures:
    """PUT different buffers with wrk, which speaks TLS too.

    Raises: MeasurementFailed, as `wrk`.
    """
    # Where the names begin is random: no two runs send the same.
    told = _wrk(
        url, cores, connections, seconds, headers, [str(size), str(random.getrandbits(48))], PUT_SCRIPT
    )
    return _figures(told, connections, told["requests"])


def _figures(told: Figures, connections: int, answers: float) -> Figures:
    bad = {kind: told[kind] for kind in ("status", "socket", "timeout") if told[kind]}
    if bad:
        raise MeasurementFailed(f"errors in {told['requests']:g} requests: {bad}")
    if answers < 1:
        raise MeasurementFailed(f"no answer in {LONGER_S} s")
    passed_s = told["microseconds"] / 1e6
    figures = {"requests/s": answers / passed_s, "load cpu": told["cpu"] / passed_s}
    if told["requests"] >= connections:
        figures |= {"p50 ms": told["p50"] / 1000, "p99 ms": told["p99"] / 1000}
    return figures


def _answers(told: Figures, size: int) -> float:
    return told["bytes"] / size if size >= LARGE_BYTES else told["requests"]


def _wrk(
    url: str,
    cores: Cores,
    connections: int,
    seconds: int,
    headers: tuple[str, ...],
    more: list[str],
    script: Path = SCRIPT,
) -> Figures:
    command = [wrk_path(), "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "300s", "-s", str(script)]
    for header in headers:
        command += ["-H", header]
    command += [url, "--", *more]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    text = _finish(spawn(command, cores), None, seconds + 120)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    _, mark, line = text.partition("\nfigures ")
    if not mark:
        raise MeasurementFailed(f"wrk said: {text.strip()[-300:]}")
    told: Figures = json.loads(line)
    return told | {"cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def do(job: str, cores: Cores, timeout_s: float, **description: Any) -> Figures:
    """Do a job in a process of its own.

    Raises: MeasurementFailed, with what it said.
    """
    figures: Figures = json.loads(_finish(_start(job, cores), json.dumps(description), timeout_s))
    return figures


@contextmanager
def meanwhile(job: str, cores: Cores, **description: Any) -> Iterator[None]:
    """Have a job done while the context lasts; it must not end before.

    Raises: MeasurementFailed, if it did.
    """
    process = _start(job, cores)
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(description))
        process.stdin.close()
        yield
        if process.poll() is not None:
            said = process.stderr.read().strip() if process.stderr else ""
            raise MeasurementFailed(f"the load beside it ended too early: {said or process.returncode}")
    finally:
        end(process)
        _close(process)


def _start(job: str, cores: Cores) -> subprocess.Popen[str]:
    env = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    return spawn([sys.executable, "-m", "benchmarks.jobs", job], cores, stdin=subprocess.PIPE, env=env)


def _finish(process: subprocess.Popen[str], text: str | None, timeout_s: float) -> str:
    try:
        out, err = process.communicate(text, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise MeasurementFailed(f"not done in {timeout_s:g} s") from None
    finally:
        end(process)
        _close(process)
    if process.returncode:
        raise MeasurementFailed(" ".join((err or out).split())[-300:])
    return out


def _close(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            try:
                pipe.close()
            except BrokenPipeError:
                continue
