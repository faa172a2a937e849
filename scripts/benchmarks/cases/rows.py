"""What the catalogue costs: beside one that is not kept, and with many rows beside few."""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .. import loads
from ..arena import LONG_S, SETTLE_S, Arena, Options
from ..buffers import Series, random_names
from ..case import RATE, Case, Figures, Row, at_least, at_most
from ..failures import MeasurementFailed
from ..peers import Contender
from ..processes import PeakMemory
from ..progress import say
from ..servers import Server, ask, running

GROUP = "Catalogue"
ABOUT = (
    "The cost of the catalogue: PUT of different buffers of 1 KiB over 16 connections, as above, to a store "
    "named by SHA-256 (so that no second digest is computed), with the catalogue in SQLite, as usual, and "
    "with --catalogue memory:. Many rows: two directories with 1,000 buffers each, and in their catalogues "
    "so many rows of other buffers besides. PUT as before; has and size, by wrk over 16 connections, of the "
    "buffers and of as many absent names; and the time until the first hundred lines of hashes are there, "
    "one request after the other. A target of 0.80 allows 20 % fewer requests, one of 1.20 a time that is "
    "20 % longer."
)

_BY_SHA256 = ("--hash-algorithm", "sha-256")
_UNKEPT = ("--catalogue", "memory:")
_UNSYNCED = ("--no-fsync",)
KEPT = Contender("ours, SHA-256", "ours", _BY_SHA256)
UNKEPT = Contender("ours --catalogue memory:, SHA-256", "ours", _BY_SHA256 + _UNKEPT)
KEPT_UNSYNCED = Contender("ours --no-fsync, SHA-256", "ours", _BY_SHA256 + _UNSYNCED)
UNKEPT_UNSYNCED = Contender(
    "ours --no-fsync --catalogue memory:, SHA-256", "ours", _BY_SHA256 + _UNKEPT + _UNSYNCED
)

FEW_ROWS = 10_000
FEW = Contender("ours, few rows", "ours")
MANY = Contender("ours, many rows", "ours")
HELD = 1_000

AXON = "/api/v1/axon"
A_SECOND = 15_000
"""PUTs that are prepared: more than are taken."""


@dataclass(frozen=True)
class Filled:
    """A directory whose catalogue has many rows, and what is asked of the server on it."""

    directory: Path
    has: Path
    size: Path


def cases(options: Options) -> list[Case]:
    """List the cases of this group."""
    few, many = (f"{count:,} rows" for count in (FEW_ROWS, options.rows))
    filled: dict[Contender, Filled] = {}

    def measure(arena: Arena, contender: Contender) -> Figures:
        """Put, ask and list."""
        return _ask_of(arena, contender, filled[contender])

    @contextmanager
    def opened(arena: Arena) -> Iterator[None]:
        arena.require_disk(600 * options.rows)
        with arena.directory() as few, arena.directory() as many:
            filled[FEW] = _fill(arena, few, FEW_ROWS)
            filled[MANY] = _fill(arena, many, options.rows)
            yield

    def rows(label: str, metric: str) -> tuple[Row, Row]:
        target = at_most(1.2, FEW) if metric.endswith("ms") else at_least(0.8, FEW)
        return (
            Row(f"{label}, {few}", FEW, metric, peers=()),
            Row(f"{label}, {many}", MANY, metric, (target,), peers=()),
        )

    return [
        Case(
            "catalogue-put",
            GROUP,
            (KEPT, UNKEPT, KEPT_UNSYNCED, UNKEPT_UNSYNCED),
            _put,
            (
                Row("PUT 1 KiB", KEPT, RATE, (at_least(0.85, UNKEPT),), peers=()),
                Row("PUT 1 KiB, --catalogue memory:", UNKEPT, peers=()),
                Row("PUT 1 KiB, --no-fsync", KEPT_UNSYNCED, peers=()),
                Row("PUT 1 KiB, --no-fsync --catalogue memory:", UNKEPT_UNSYNCED, peers=()),
            ),
        ),
        Case(
            "catalogue-rows",
            GROUP,
            (FEW, MANY),
            measure,
            (
                *rows("PUT 1 KiB", "PUT/s"),
                *rows("has", "has/s"),
                *rows("size", "size/s"),
                *rows("start of hashes", "ms"),
            ),
            opened=opened,
        ),
    ]


def _put(arena: Arena, contender: Contender) -> Figures:
    """PUT different buffers."""
    with arena.writing(contender) as server:
        return _puts(arena, server, "sha256")


def _puts(arena: Arena, server: Server, algorithm: str) -> Figures:
    seconds = arena.options.seconds
    job = {"size": 1024, "seconds": seconds, "count": A_SECOND * (seconds + 1), "algorithm": algorithm}
    first = random.getrandbits(60)  # in a directory that is used again nothing is sent twice
    return loads.do("put", arena.load_cores, LONG_S, port=server.port, connections=16, first=first, **job)


def _fill(arena: Arena, directory: Path, count: int) -> Filled:
    """Have a directory with some buffers, and rows of others in its catalogue."""
    own = directory / ".hashserver-aio"
    own.mkdir()
    say(f"filling a catalogue with {count:,} rows")
    arena.fill(own / "catalogue.sqlite", count)
    names = []
    with running(arena.peers, MANY, directory, arena.server_cores) as server:
        for number in range(HELD):
            body = b"".join(Series(1024).pieces(number))
            status, _, told = ask(server, "PUT", "/" + Series(1024).name(number), body)
            if status != 200:
                raise MeasurementFailed(f"PUT answered {status} {told[:100]!r}")
            names.append(hashlib.sha256(body).hexdigest())
    names += random_names(HELD)
    random.shuffle(names)
    os.sync()
    time.sleep(SETTLE_S)
    asked = []
    for what in ("files/has/sha256", "size"):
        asked.append(directory.parent / f"{directory.name}-{what.replace('/', '-')}")
        asked[-1].write_text("".join(f"{AXON[1:]}/{what}/{name}\n" for name in names))
    return Filled(directory, *asked)


def _ask_of(arena: Arena, contender: Contender, filled: Filled) -> Figures:
    seconds = arena.options.seconds
    with running(arena.peers, contender, filled.directory, arena.server_cores) as server:
        with PeakMemory(server.pid) as peak:
            figures = {"PUT/s": _puts(arena, server, "sha3_256")[RATE]}
            for what, names in (("has/s", filled.has), ("size/s", filled.size)):
                given = {"connections": 16, "size": 1024, "names": names}
                loads.wrk(server.url, arena.load_cores, seconds=1, **given)  # type: ignore[arg-type]
                told = loads.wrk(server.url, arena.load_cores, seconds=seconds, **given)  # type: ignore[arg-type]
                figures[what] = told[RATE]
            job = {"port": server.port, "path": f"{AXON}/hashes", "lines": 100, "seconds": seconds}
            figures |= loads.do("first_lines", arena.load_cores, LONG_S, **job)
    arena.peak_mib = max(arena.peak_mib, peak.mib)
    return figures
