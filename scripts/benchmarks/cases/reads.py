"""GET: hot and different buffers of several sizes, ranges, conditions, workers."""

from __future__ import annotations

from .. import loads
from ..arena import LONG_S, Arena, Options
from ..buffers import Series
from ..case import Case, Figures, Measure, Row, Target, at_least, at_most, below
from ..failures import NotOffered
from ..peers import HASHSERVER_PEER, NGINX, ONE_WORKER, OURS, TWO_WORKERS, Contender
from ..servers import ask

GROUP = "GET"
ABOUT = (
    "wrk, with one thread, asks for a buffer that lies in the page cache, over connections that are kept. "
    "All servers read the same directory in the prefix layout. Before the clock starts the buffer is fetched "
    "from each and compared with its name. hashserver hashes a file at every GET, nginx never, "
    "ours did once. "
    "The first byte of a range is timed by a client of our own, one request after the other. A 304 is "
    "asked for with the ETag that the server itself gave. With two workers, server and wrk share two cores."
)

KIB, MIB = 2**10, 2**20
RANGED_BYTES = 300 * MIB

ALL = (OURS, NGINX, HASHSERVER_PEER)
SERVED = (OURS, HASHSERVER_PEER)


def cases(options: Options) -> list[Case]:
    """List the cases of this group."""
    small = (at_least(0.6, NGINX), at_least(80, HASHSERVER_PEER))
    return [
        _hot("1k-c1", "1 KiB, 1 connection", KIB, 1, small),
        _hot("1k-c16", "1 KiB, 16 connections", KIB, 16, small),
        _hot("1k-c256", "1 KiB, 256 connections", KIB, 256, small),
        _hot("64k", "64 KiB, 16 connections", 64 * KIB, 16, (at_least(0.85, NGINX),)),
        _hot("1m", "1 MiB, 16 connections", MIB, 16, (at_least(0.9, NGINX),)),
        _hot("100m", "100 MiB, 16 connections", 100 * MIB, 16, (at_least(0.9, NGINX),)),
        Case(
            "get-many",
            GROUP,
            ALL,
            _get_many,
            (Row(f"GET 1 KiB, {options.many:,} different", OURS, targets=(at_least(0.25, NGINX),)),),
        ),
        _range("middle", RANGED_BYTES // 2),
        _range("last", RANGED_BYTES - 1),
        Case("get-304", GROUP, ALL, _get_304, (Row("GET 1 KiB, 304", OURS),)),
        _by_workers("get-workers", "GET 1 KiB", _get_hot(KIB, 16)),
        _by_workers("get-many-workers", f"GET 1 KiB, {options.many:,} different", _get_many),
    ]


def _by_workers(name: str, label: str, measure: Measure) -> Case:
    rows = (
        Row(f"{label}, --workers 1, not pinned", ONE_WORKER, peers=()),
        Row(f"{label}, --workers 2, not pinned", TWO_WORKERS, peers=()),
    )
    return Case(name, GROUP, (ONE_WORKER, TWO_WORKERS), measure, rows)


def _hot(name: str, label: str, size: int, connections: int, targets: tuple[Target, ...]) -> Case:
    row = Row(f"GET {label}", OURS, targets=targets)
    return Case(f"get-{name}", GROUP, ALL, _get_hot(size, connections), (row,))


def _get_hot(size: int, connections: int) -> Measure:
    def measure(arena: Arena, contender: Contender) -> Figures:
        """GET one buffer over and over."""
        name = arena.hot(size)
        with arena.reading(contender) as server:
            url = f"{server.url}/{name}"
            if arena.check(server, name) and size < 100 * MIB:
                loads.wrk(url, arena.load_cores, connections=connections, seconds=1, size=size)
            seconds = arena.options.seconds
            return loads.wrk(url, arena.load_cores, connections=connections, seconds=seconds, size=size)

    return measure


def _get_many(arena: Arena, contender: Contender) -> Figures:
    """GET different buffers, in random order."""
    names = arena.many()
    with open(names) as file:
        some = [file.readline().strip() for _ in range(10)]
    with arena.reading(contender) as server:
        first = [arena.check(server, name) for name in some]
        if any(first):
            loads.wrk(server.url, arena.load_cores, connections=16, seconds=1, size=KIB, names=names)
        seconds = arena.options.seconds
        return loads.wrk(server.url, arena.load_cores, connections=16, seconds=seconds, size=KIB, names=names)


def _range(place: str, offset: int) -> Case:
    def measure(arena: Arena, contender: Contender) -> Figures:
        """GET one byte, one request after the other."""
        name = arena.hot(RANGED_BYTES)
        byte = _byte_at(offset)
        with arena.reading(contender) as server:
            arena.check(server, name)
            job = {"port": server.port, "path": "/" + name, "offset": offset, "byte": byte}
            limits = {"seconds": arena.options.seconds, "count": 200, "timeout": 120}
            return loads.do("first_byte", arena.load_cores, LONG_S, **job, **limits)

    targets = (below(2), at_most(1 / 200, HASHSERVER_PEER))
    row = Row(f"first byte of a range, {place} of 300 MiB", OURS, "ms", targets)
    return Case(f"range-{place}", GROUP, ALL, measure, (row,))


def _byte_at(offset: int) -> int:
    at = 0
    for piece in Series(RANGED_BYTES).pieces(0):
        if offset < at + len(piece):
            return piece[offset - at]
        at += len(piece)
    raise IndexError(offset)


def _get_304(arena: Arena, contender: Contender) -> Figures:
    """GET what the client has already."""
    name = arena.hot(KIB)
    with arena.reading(contender) as server:
        etag = ask(server, "GET", "/" + name)[1].get("etag")
        if etag is None:
            raise NotOffered("gives no ETag")
        status = ask(server, "GET", "/" + name, headers={"If-None-Match": etag})[0]
        if status != 304:
            raise NotOffered(f"answers {status} to If-None-Match with its own ETag")
        return loads.wrk(
            f"{server.url}/{name}",
            arena.load_cores,
            connections=16,
            seconds=arena.options.seconds,
            size=KIB,
            headers=(f"If-None-Match: {etag}",),
        )
