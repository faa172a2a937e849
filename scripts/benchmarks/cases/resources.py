"""What a server needs and how it bears load: latency under load, memory, start-up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .. import loads
from ..arena import LONG_S, Arena, Options, require_memory
from ..buffers import Series, store_named_only
from ..case import Case, Figures, Measure, Row, at_most, below
from ..failures import MeasurementFailed
from ..peers import HASHSERVER_PEER, NGINX, OURS, Contender
from ..processes import rss_mib
from ..progress import say
from ..servers import Server, ask, running
from ..sizes import size_text
from .names import METHODS

GROUP = "Resources"
ABOUT = (
    "Latency under load: wrk asks for a hot buffer of 1 KiB while a large buffer is uploaded and 100,000 "
    "absent names are asked for, each over and over, by two more processes on the load's core. "
    "Requests without an answer at the end are not in p50 and p99; a low rate beside them tells of a stall. "
    "Memory is VmRSS of the server's processes: after a few requests, and the most that was seen, every "
    "50 ms, while 16 clients upload one large buffer each and 16 others download one; and over all cases "
    "together. Start-up is the time from exec to the first 200 of /healthcheck, on an empty directory and on "
    "a large one in turn."
)

BOTH = (OURS, HASHSERVER_PEER)
STREAMS = 16
EMPTY = Contender("ours, empty directory", "ours")
FILLED = Contender("ours, filled directory", "ours")
LEAST_STARTS = 2
"""Starts a round: they are short, and differ."""

Directories = dict[Contender, Path]


def cases(options: Options) -> list[Case]:
    """List the cases of this group."""
    size = size_text(options.stream_bytes)
    streams = f"memory, peak in {STREAMS} uploads and {STREAMS} downloads of {size}"
    return [
        _under_load(1),
        _under_load(16),
        Case(
            "memory-idle",
            GROUP,
            (OURS, NGINX, HASHSERVER_PEER),
            _idle,
            (Row("memory, idle", OURS, "rss MiB", (below(80),)),),
        ),
        Case(
            "memory-streams",
            GROUP,
            BOTH,
            _streams,
            (Row(streams, OURS, "peak rss MiB", (below(150),)),),
            rounds=lambda rounds: 1,
        ),
        _starting(options),
    ]


def _under_load(connections: int) -> Case:
    label = f"GET 1 KiB under load, {connections} connection{'s' if connections > 1 else ''}"
    return Case(
        f"under-load-c{connections}",
        GROUP,
        BOTH,
        _loaded(connections),
        (
            Row(f"{label}, p50", OURS, "p50 ms"),
            Row(f"{label}, p99", OURS, "p99 ms", (below(10),)),
            Row(label, OURS),
        ),
    )


def _loaded(connections: int) -> Measure:
    def measure(arena: Arena, contender: Contender) -> Figures:
        """GET a hot buffer while others upload and ask."""
        size = arena.options.stream_bytes
        seconds = 2 * arena.options.seconds  # an upload with its fsync takes longer than another measurement
        arena.require_disk(max(4 * size, 500 * 2**20 * (seconds + 2)))
        series, file = arena.large(size)
        with arena.writing(contender) as server:
            hot = _put(server, 0)
            time.sleep(1.5)
            sent = {"file": str(file), "names": series.names(1000), "connections": 1, "seconds": LONG_S}
            asked = {"names": 100_000, "file": None, "method": METHODS[contender.kind], "count": 100_000}
            with (
                loads.meanwhile("stream", arena.load_cores, port=server.port, **sent),
                loads.meanwhile(
                    "has", arena.load_cores, port=server.port, seconds=LONG_S, timeout=LONG_S, **asked
                ),
            ):
                time.sleep(1)
                url = f"{server.url}/{hot}"
                return loads.wrk(url, arena.load_cores, connections=connections, seconds=seconds, size=1024)

    return measure


def _put(server: Server, number: int, size: int = 1024) -> str:
    series = Series(size)
    name = series.name(number)
    status = ask(server, "PUT", "/" + name, b"".join(series.pieces(number)))[0]
    if status != 200:
        raise MeasurementFailed(f"PUT answered {status}")
    return name


def _idle(arena: Arena, contender: Contender) -> Figures:
    """Measure the memory after a start and a few requests."""
    if contender.kind == "nginx":
        with arena.reading(contender) as server:
            arena.check(server, arena.hot(1024))
            return {"rss MiB": rss_mib(server.pid)}
    with arena.writing(contender) as server:
        for number in range(5):
            name = _put(server, number)
            ask(server, "GET", "/" + name)
        ask(server, "GET", "/healthcheck")
        time.sleep(1)
        return {"rss MiB": rss_mib(server.pid)}


def _streams(arena: Arena, contender: Contender) -> Figures:
    """Upload and download large buffers, 16 at a time each way."""
    series, file = arena.large(arena.options.stream_bytes)
    arena.require_disk((STREAMS + 1) * series.size)
    if contender is HASHSERVER_PEER:  # of an upload of 1 GiB it held 1.6
        require_memory(2 * STREAMS * series.size)
    names = series.names(STREAMS + 1)
    with arena.writing(contender) as server:
        sent = {"port": server.port, "file": str(file), "seconds": None}
        loads.do("stream", arena.load_cores, LONG_S, **sent, connections=1, names=names[:1])
        wanted = server.directory.parent / "wanted"
        wanted.write_text(names[0] + "\n")
        got = {"port": server.port, "file": str(wanted), "connections": STREAMS, "seconds": LONG_S}
        with loads.meanwhile("get", arena.load_cores, **got):
            more = {"connections": STREAMS, "names": names[1:], "first": 1}
            up = loads.do("stream", arena.load_cores, LONG_S, **sent, **more)
    return up | {"peak rss MiB": arena.peak_mib}


def _starting(options: Options) -> Case:
    directories: Directories = {}

    def measure(arena: Arena, contender: Contender) -> Figures:
        """Start, ask, stop."""
        if contender is FILLED:
            return _start(arena, contender, directories[FILLED])
        with arena.directory() as directory:
            return _start(arena, contender, directory)

    @contextmanager
    def opened(arena: Arena) -> Iterator[None]:
        arena.require_disk(4096 * options.startup_count)
        with arena.directory() as directory:
            with running(arena.peers, FILLED, directory, arena.server_cores) as server:
                _put(server, 0)
            say(f"making {options.startup_count:,} files")
            store_named_only(directory, options.startup_count)
            directories[FILLED] = directory
            yield

    return Case(
        "start-up",
        GROUP,
        (EMPTY, FILLED),
        measure,
        (
            Row("start-up, empty directory", EMPTY, "ms", peers=()),
            Row(
                f"start-up, {options.startup_count:,} buffers", FILLED, "ms", (at_most(1.1, EMPTY),), peers=()
            ),
        ),
        rounds=lambda rounds: LEAST_STARTS * rounds,
        opened=opened,
    )


def _start(arena: Arena, contender: Contender, directory: Path) -> Figures:
    with running(arena.peers, contender, directory, arena.server_cores) as server:
        status = ask(server, "GET", "/healthcheck")[0]
        taken_s = time.perf_counter() - server.started_s
    if status != 200:
        raise MeasurementFailed(f"/healthcheck answered {status}")
    return {"ms": taken_s * 1000}
