"""PUT: small buffers at 16 connections, and one large stream."""

from __future__ import annotations

from .. import loads
from ..arena import LONG_S, Arena, Options
from ..case import Case, Figures, Measure, Row, Target, at_least
from ..peers import (
    BARE,
    HASHSERVER_PEER,
    OURS,
    TWO_CORES,
    UNSYNCED,
    UNSYNCED_TWO_CORES,
    Contender,
)
from ..sizes import size_text

GROUP = "PUT"
ABOUT = (
    "Different buffers, prepared before the clock starts, sent by a client of our own over 16 connections to "
    "a new server on a new directory; the first 512 answers are not counted. Ours answers when the buffer is "
    "on the disk, and with --no-fsync, as hashserver does, when it is in the page cache. The bare "
    "loop creates, writes, fsyncs and renames files of the same bytes, one after the other, on the server's "
    "core. A stream is one large buffer, sent by sendfile; the bare figure for it is "
    "hashlib.sha3_256 over the same bytes in memory, on one core, in the same round. "
    "With two cores, the server shares the load's core."
)

RATES = {2**10: 15_000, 2**16: 6_000, 2**20: 1_500}
"""Sizes, and how many a second are prepared: more than a server takes."""


def cases(options: Options) -> list[Case]:
    """List the cases of this group."""
    return [*(_small(size) for size in RATES), _streamed(options)]


def _small(size: int) -> Case:
    text = size_text(size)
    targets = (at_least(4, HASHSERVER_PEER), at_least(0.5, BARE)) if size == 2**10 else ()
    contenders = [OURS, UNSYNCED, HASHSERVER_PEER, *([BARE] if size == 2**10 else [])]
    return Case(
        f"put-{text.replace(' ', '')[:-2].lower()}",
        GROUP,
        tuple(contenders),
        _put(size),
        (Row(f"PUT {text}", OURS, targets=targets), Row(f"PUT {text}, --no-fsync", UNSYNCED)),
    )


def _put(size: int) -> Measure:
    def measure(arena: Arena, contender: Contender) -> Figures:
        """PUT different buffers."""
        seconds = arena.options.seconds
        job = {"size": size, "seconds": seconds, "count": RATES[size] * (seconds + 1)}
        arena.require_disk(size * 1_500 * (seconds + 1))
        if contender.kind == "bare":
            with arena.directory() as directory:
                return loads.do("bare_put", arena.server_cores, LONG_S, directory=str(directory), **job)
        with arena.writing(contender) as server:
            return loads.do("put", arena.load_cores, LONG_S, port=server.port, connections=16, **job)

    return measure


def _streamed(options: Options) -> Case:
    text = f"PUT one stream of {size_text(options.stream_bytes)}"

    def row(label: str, ours: Contender, *targets: Target) -> Row:
        return Row(text + label, ours, "MiB/s", targets)

    return Case(
        "put-stream",
        GROUP,
        (BARE, OURS, UNSYNCED, TWO_CORES, UNSYNCED_TWO_CORES, HASHSERVER_PEER),
        _stream,
        (
            row("", OURS, at_least(0.55, BARE)),
            row(", --no-fsync", UNSYNCED),
            row(", 2 cores", TWO_CORES, at_least(0.9, BARE)),
            row(", 2 cores, --no-fsync", UNSYNCED_TWO_CORES),
        ),
    )


def _stream(arena: Arena, contender: Contender) -> Figures:
    """PUT one large buffer, once."""
    series, file = arena.large(arena.options.stream_bytes)
    if contender.kind == "bare":
        return loads.do("bare_hash", arena.server_cores, LONG_S, file=str(file))
    arena.require_disk(series.size)
    with arena.writing(contender) as server:
        job = {"file": str(file), "names": series.names(1), "connections": 1, "seconds": None}
        return loads.do("stream", arena.load_cores, LONG_S, port=server.port, **job)
