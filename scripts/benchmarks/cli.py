"""The command line of the benchmark."""

from __future__ import annotations

import argparse
import fnmatch
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from . import machine, rounds
from .arena import Arena, Options
from .case import Case
from .cases import all_cases
from .failures import BenchError
from .peers import KINDS, install, versions
from .processes import on_cores, two_cores
from .progress import say
from .report import Report, around
from .results import Results
from .sizes import parse_size

CACHE = Path.home() / ".cache" / "hashserver-aio-bench"


def main() -> int:
    """Run the benchmark; the exit code."""
    given = _parser().parse_args()
    signal.signal(signal.SIGINT, _stop)
    signal.signal(signal.SIGTERM, _stop)
    try:
        return _bench(given)
    except BenchError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("stopped")
        return 130


def _stop(number: int, frame: FrameType | None) -> None:
    _hear_no_more()
    raise KeyboardInterrupt


def _hear_no_more() -> None:
    """Let no further signal stop the clearing up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _bench(given: argparse.Namespace) -> int:
    options = _options(given)
    cases = _selected(all_cases(options), given.cases)
    if given.list:
        for case in cases:
            print(f"{case.name:20} {case.group:10} {'; '.join(each.name for each in case.contenders)}")
        return 0
    _check_outputs(given)
    server_cores, load_cores = two_cores()
    date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    peers = install(_needed(cases, options), given.cache.absolute())
    results, began = Results(), time.monotonic()
    with _work(given.dir) as work, ExitStack() as stack, on_cores(load_cores):
        seen = machine.describe(work)
        arena = Arena(options, peers, work, (server_cores, load_cores), stack)
        rounds.run(arena, cases, results)
    report = Report(
        cases=cases,
        results=results,
        date=date,
        command=machine.command_line(),
        commit=machine.commit(),
        rounds=options.rounds,
        seconds=options.seconds,
        took_s=time.monotonic() - began,
        machine=seen,
        versions=versions(peers, _needed(cases, options)),
    )
    return _deliver(report, given)


def _check_outputs(given: argparse.Namespace) -> None:
    """Find out before the hour, not after it, that a file can't be written."""
    for path in (given.json, given.rst):
        if path and not path.absolute().parent.is_dir():
            raise BenchError(f"{path} can't be written: its folder does not exist")
    if given.rst:
        around(given.rst)


def _deliver(report: Report, given: argparse.Namespace) -> int:
    """Write what was asked for; 1 if a measurement failed that should not."""
    print(report.text())
    if given.json:
        report.write_json(given.json)
    if given.rst:
        report.write_page(given.rst)
    return int(any(value.failure == "error" for value in report.results.values))


def _options(given: argparse.Namespace) -> Options:
    kinds = frozenset(given.servers.split(","))
    if unknown := kinds - set(KINDS):
        raise BenchError(f"--servers has unknown {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    return Options(
        rounds=given.rounds,
        seconds=given.seconds,
        many=given.many,
        stream_bytes=given.stream_size,
        startup_count=given.startup_count,
        rows=given.rows,
        kinds=kinds,
    )


def _needed(cases: list[Case], options: Options) -> frozenset[str]:
    return options.kinds & {each.kind for case in cases for each in case.contenders}


def _selected(cases: list[Case], patterns: list[str] | None) -> list[Case]:
    if not patterns:
        return cases
    found = [case for case in cases if any(fnmatch.fnmatch(case.name, pattern) for pattern in patterns)]
    for pattern in patterns:
        if not any(fnmatch.fnmatch(case.name, pattern) for case in found):
            raise BenchError(f"no case is named {pattern}; --list shows them all")
    return found


@contextmanager
def _work(parent: Path) -> Iterator[Path]:
    """Have a directory for everything that is written, until the context is left."""
    if not parent.is_dir():
        raise BenchError(f"--dir {parent} is no directory")
    work = Path(tempfile.mkdtemp(prefix="hashserver-aio-bench-", dir=parent.resolve()))
    try:
        if machine.file_system(work) in ("tmpfs", "ramfs"):
            say(f"{parent} is in memory, not on a disk: PUT will look too good")
        yield work
    finally:
        say("clearing up")
        _hear_no_more()
        shutil.rmtree(work, ignore_errors=True)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--rounds", type=_count, default=5, help="rounds, the servers in turn in each (default: %(default)s)")
    add("--seconds", type=_count, default=5, help="seconds a measurement (default: %(default)s)")
    add(
        "--cases",
        action="append",
        metavar="PATTERN",
        help="only cases of such names (get-*); may be repeated",
    )
    add("--servers", default=",".join(KINDS), metavar="A,B", help="only these (default: %(default)s)")
    add("--many", type=_count, default=200_000, help="how many different buffers (default: %(default)s)")
    add(
        "--stream-size",
        type=_size,
        default="1G",
        metavar="SIZE",
        help="large buffers (default: %(default)s)",
    )
    add("--startup-count", type=_count, default=1_000_000, metavar="N",
        help="buffers in the directory of the start-up case (default: %(default)s)")  # fmt: skip
    add("--rows", type=_count, default=10_000_000, metavar="N",
        help="rows in the catalogue of the case of many rows (default: %(default)s)")  # fmt: skip
    add("--dir", type=Path, default=Path(), help="where to write; its disk counts (default: this folder)")
    add("--cache", type=Path, default=CACHE, help="where the peers are installed (default: %(default)s)")
    add("--json", type=Path, metavar="FILE", help="write every value")
    add("--rst", type=Path, metavar="FILE", help="write the figures into a page of the documentation")
    add("--list", action="store_true", help="list the cases")
    return parser
