"""The axon face, beside the Synapse Axon itself."""

from __future__ import annotations

import hashlib
import time

from .. import loads
from ..arena import LONG_S, SETTLE_S, Arena, Options
from ..buffers import TAIL_BYTES, Series
from ..case import Case, Figures, Measure, Row, at_least
from ..failures import MeasurementFailed
from ..peers import (
    AXON,
    AXON_PLAIN,
    BARE,
    GUARDED,
    GUARDED_PLAIN,
    GUARDED_PLAIN_UNSYNCED,
    GUARDED_UNSYNCED,
    OPEN,
    OPEN_PLAIN,
    Contender,
)
from ..servers import Server, ask
from ..sizes import size_text

GROUP = "Axon"
ABOUT = (
    "The requests of Axon clients, sent to a Synapse Axon and to ours over 16 connections that are kept, "
    "each server on a new directory. An Axon checks a user and password with each request; so does ours "
    "where it says so, and in all PUTs; else everybody may read, as is usual. An Axon is offered over TLS "
    "only; without TLS, its application is run as it never is by itself. wrk sends all but the PUTs of "
    "100 MiB. An Axon answers a PUT before it is on the disk (LMDB is synced later, about once a second), "
    "as ours does with --no-fsync. The bare figure is the rate, on one core, of computing the digests that "
    "the answer to a PUT states (md5, sha1, sha256, sha512) and the store's own (sha3-256)."
)

KIB, MIB = 2**10, 2**20
LARGE = 100 * MIB
CONNECTIONS = 16
STATED = ("md5", "sha1", "sha256", "sha512", "sha3_256")
FILES = "/api/v1/axon/files"

SMALL = at_least(5, AXON)
SMALL_PLAIN = at_least(5, AXON_PLAIN)
READERS = (OPEN, GUARDED, AXON, OPEN_PLAIN, GUARDED_PLAIN, AXON_PLAIN)
WRITERS = (GUARDED, GUARDED_UNSYNCED, AXON, GUARDED_PLAIN, GUARDED_PLAIN_UNSYNCED, AXON_PLAIN)


def cases(options: Options) -> list[Case]:
    """List the cases of this group."""
    return [
        *(_read(size, size < MIB) for size in (KIB, 64 * KIB, MIB, LARGE)),
        Case("axon-has", GROUP, READERS, _has, _asked("has", is_small=True)),
        *(_write(size, size < MIB) for size in (KIB, 64 * KIB, MIB)),
        _streams(),
    ]


def _asked(label: str, *, is_small: bool) -> tuple[Row, ...]:
    tls, plain = ((SMALL,), (SMALL_PLAIN,)) if is_small else ((), ())
    return (
        Row(label, OPEN, targets=tls, peers=(AXON,)),
        Row(f"{label}, by password", GUARDED, targets=tls, peers=(AXON,)),
        Row(f"{label}, no TLS", OPEN_PLAIN, targets=plain, peers=(AXON_PLAIN,)),
        Row(f"{label}, by password, no TLS", GUARDED_PLAIN, targets=plain, peers=(AXON_PLAIN,)),
    )


def _read(size: int, is_small: bool) -> Case:
    text = size_text(size)
    return Case(
        f"axon-get-{text.replace(' ', '')[:-2].lower()}",
        GROUP,
        READERS,
        _get(size),
        _asked(f"GET {text}", is_small=is_small),
        rounds=lambda rounds: 1 if size == LARGE else rounds,
    )


def _get(size: int) -> Measure:
    def measure(arena: Arena, contender: Contender) -> Figures:
        """GET one buffer over and over."""
        arena.require_disk(size)
        with arena.writing(contender) as server:
            return _load(arena, server, f"{FILES}/by/sha256/{_stored(server, size)}", size)

    return measure


def _has(arena: Arena, contender: Contender) -> Figures:
    """Ask whether a buffer is held that is, over and over."""
    with arena.writing(contender) as server:
        return _load(arena, server, f"{FILES}/has/sha256/{_stored(server, KIB)}", KIB)


def _load(arena: Arena, server: Server, path: str, size: int) -> Figures:
    """Ask for the same over and over, a second before the clock starts."""
    given = {"connections": CONNECTIONS, "size": size, "headers": server.contender.credentials}
    if size < LARGE:
        loads.wrk(server.url + path, arena.load_cores, seconds=1, **given)  # type: ignore[arg-type]
    seconds = arena.options.seconds
    return loads.wrk(server.url + path, arena.load_cores, seconds=seconds, **given)  # type: ignore[arg-type]


def _stored(server: Server, size: int) -> str:
    """Store a buffer, fetch it and compare; its SHA-256.

    Raises: MeasurementFailed.
    """
    body = b"".join(Series(size).pieces(0))
    name = hashlib.sha256(body).hexdigest()
    headers = dict(line.split(": ") for line in server.contender.credentials)
    status, _, told = ask(server, "PUT", FILES + "/put", body, headers)
    if status != 200 or name not in told.decode():
        raise MeasurementFailed(f"PUT answered {status} {told[:200]!r}")
    time.sleep(SETTLE_S)
    status, _, got = ask(server, "GET", f"{FILES}/by/sha256/{name}", headers=headers)
    if status != 200 or got != body:
        raise MeasurementFailed(f"GET answered {status} and {len(got)} bytes that are not the buffer")
    return name


def _write(size: int, is_small: bool) -> Case:
    text = size_text(size)
    label = f"PUT {text}"
    tls, plain = ((SMALL,), (SMALL_PLAIN,)) if is_small else ((), ())
    return Case(
        f"axon-put-{text.replace(' ', '')[:-2].lower()}",
        GROUP,
        WRITERS,
        _put(size),
        (
            Row(label, GUARDED, targets=tls, peers=(AXON,)),
            Row(f"{label}, --no-fsync", GUARDED_UNSYNCED, targets=tls, peers=(AXON,)),
            Row(f"{label}, no TLS", GUARDED_PLAIN, targets=plain, peers=(AXON_PLAIN,)),
            Row(f"{label}, --no-fsync, no TLS", GUARDED_PLAIN_UNSYNCED, targets=plain, peers=(AXON_PLAIN,)),
        ),
    )


def _put(size: int) -> Measure:
    def measure(arena: Arena, contender: Contender) -> Figures:
        """PUT different buffers, for a second before the clock starts too."""
        arena.require_disk(size * 1_500 * (arena.options.seconds + 1))
        with arena.writing(contender) as server:
            _stored(server, KIB)  # and the password is known, which takes longest
            given = {"connections": CONNECTIONS, "size": size, "headers": contender.credentials}
            url = server.url + FILES + "/put"
            loads.wrk_put(url, arena.load_cores, seconds=1, **given)  # type: ignore[arg-type]
            seconds = arena.options.seconds
            return loads.wrk_put(url, arena.load_cores, seconds=seconds, **given)  # type: ignore[arg-type]

    return measure


def _streams() -> Case:
    label = f"PUT {size_text(LARGE)}, no TLS"
    return Case(
        "axon-put-100m",
        GROUP,
        (GUARDED_PLAIN, GUARDED_PLAIN_UNSYNCED, AXON_PLAIN, BARE),
        _put_large,
        (
            Row(label, GUARDED_PLAIN, "MiB/s", (at_least(0.55, BARE),), peers=(AXON_PLAIN, BARE)),
            Row(f"{label}, --no-fsync", GUARDED_PLAIN_UNSYNCED, "MiB/s", peers=(AXON_PLAIN, BARE)),
        ),
    )


def _put_large(arena: Arena, contender: Contender) -> Figures:
    """PUT different large buffers, one over each connection."""
    _, file = arena.large(LARGE)
    if contender.kind == "bare":
        return loads.do("bare_hash", arena.server_cores, LONG_S, file=str(file), algorithms=STATED)
    arena.require_disk(2 * CONNECTIONS * (LARGE + TAIL_BYTES))
    with arena.writing(contender) as server:
        _stored(server, KIB)
        sent = {"file": str(file), "names": [""] * CONNECTIONS, "connections": CONNECTIONS, "seconds": None}
        path = {"path": FILES + "/put", "headers": contender.credentials}
        return loads.do("stream", arena.load_cores, LONG_S, port=server.port, **sent, **path)
