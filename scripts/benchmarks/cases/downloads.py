"""Downloads of one large buffer: by whom, over what line; and what many of them cost the server."""

from __future__ import annotations

import hashlib
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .. import loads
from ..arena import LONG_S, Arena, Options
from ..case import Case, Figures, Row, at_least, at_most, below
from ..failures import MeasurementFailed
from ..line import Line, running_line
from ..peers import CURL, LINE, OURS, RD, Contender
from ..processes import PeakMemory, end, rss_mib, spawn, wait_until
from ..servers import Server, ask
from ..sizes import size_text

GROUP = "Downloads"
ABOUT = (
    "One large buffer is downloaded from our server into a file: by curl, which verifies nothing; by rd "
    "1.7.0.0, which verifies blocks of 2 MiB by SHA-1; and by hashserver-aio get, which verifies each "
    "block as it comes, and all of it. What blocks hash to is known before. The time is that of the whole "
    "command. The server has a core, the clients, and the line if there is one, share both. The line "
    "resets connections, once in 100 blocks of 2 MiB on average; curl is called again, with -C -, until "
    "it has all. Bare is curl over the same line when that resets nothing: the most that goes through it. "
    "What is fetched twice is what went over the line beyond the buffer. Memory is VmRSS of the server's "
    "process, before and, at its most, while 200 clients fetch 2 MiB each, over and over."
)

BLOCK_BYTES = 2 * 2**20
BLOCKS_A_CUT = 100
CLIENTS = 200
MOST_CALLS = 1000

CLIENTS_OF_IT = (OURS, CURL, RD)


def cases(options: Options) -> list[Case]:
    """List the cases of this group."""
    what = f"download of {size_text(options.stream_bytes)}"
    cut = f"{what}, a cut every {BLOCKS_A_CUT} blocks"
    return [
        Case(
            "download-plain",
            GROUP,
            CLIENTS_OF_IT,
            _plain,
            (Row(what, OURS, "MiB/s", (at_least(0.9, CURL),), peers=(CURL, RD)),),
        ),
        Case(
            "download-cut",
            GROUP,
            (*CLIENTS_OF_IT, LINE),
            _over_a_line,
            (
                Row(cut, OURS, "MiB/s", (at_least(3, RD),), peers=(CURL, RD, LINE)),
                Row(f"{cut}: fetched twice", OURS, "%", (at_most(5),), peers=(CURL, RD)),
            ),
        ),
        Case(
            "download-many",
            GROUP,
            (OURS,),
            _many,
            (
                Row("memory before", OURS, "rss before MiB", peers=()),
                Row(
                    f"memory, peak with {CLIENTS} clients, more than that",
                    OURS,
                    "grown MiB",
                    (below(32),),
                    (),
                ),
                Row(f"{CLIENTS} clients, blocks of 2 MiB", OURS, peers=()),
            ),
        ),
    ]


@contextmanager
def _serving(arena: Arena) -> Iterator[tuple[Server, str]]:
    """Have our server, and a large buffer on it whose blocks it knows."""
    size = arena.options.stream_bytes
    arena.require_disk(3 * size)  # rd keeps the blocks beside the file that it makes of them
    arena.hot(1024)  # by a small one the server tells what names the buffers of a directory
    name = arena.hot(size)
    with arena.reading(OURS) as server:
        # It answers 503 if they take it longer than anybody should have to wait.
        wait_until(lambda: ask(server, "GET", f"/{name}/blocks")[0] == 200, LONG_S, "no digests of blocks")
        yield server, name


def _plain(arena: Arena, contender: Contender) -> Figures:
    """Download it."""
    with _serving(arena) as (server, name):
        return {"MiB/s": _timed(arena, contender, server.port, name)}


def _over_a_line(arena: Arena, contender: Contender) -> Figures:
    """Download it over a line that is cut."""
    cores = arena.server_cores | arena.load_cores
    mean_bytes = 0.0 if contender is LINE else float(BLOCKS_A_CUT * BLOCK_BYTES)
    with _serving(arena) as (server, name):
        seed = time.monotonic_ns() % 2**32
        with running_line(server.port, cores, mean_bytes=mean_bytes, seed=seed) as line:
            rate = _timed(arena, contender, line.port, name)
    return {"MiB/s": rate, "%": _beyond(line, arena.options.stream_bytes), "cuts": float(line.told["cuts"])}


def _beyond(line: Line, size: int) -> float:
    return 100 * (line.told["bytes"] - size) / size


def _timed(arena: Arena, contender: Contender, port: int, name: str) -> float:
    """Have a client download a buffer; MiB a second.

    Raises: MeasurementFailed, if it fails, or if what it saved are other bytes.
    """
    with arena.directory() as folder:
        file = folder / name
        command = arena.peers.client(contender, f"http://127.0.0.1:{port}", file)
        began = time.perf_counter()
        for _ in range(MOST_CALLS if command[0].endswith("curl") else 1):
            code, said = _call(arena, command, folder)
            if code == 0:
                break
        took_s = time.perf_counter() - began
        if code:
            raise MeasurementFailed(f"{contender.name} ended with {code}: {said}")
        with file.open("rb") as saved:
            if hashlib.file_digest(saved, "sha3_256").hexdigest() != name:
                raise MeasurementFailed(f"{contender.name} saved bytes that are not the buffer")
        return arena.options.stream_bytes / 2**20 / took_s


def _call(arena: Arena, command: list[str], folder: Path) -> tuple[int, str]:
    process = spawn(command, arena.server_cores | arena.load_cores, cwd=folder)
    try:
        out, err = process.communicate(timeout=LONG_S)
    except subprocess.TimeoutExpired:
        raise MeasurementFailed(f"not done in {LONG_S:g} s") from None
    finally:
        end(process)
    return process.returncode, " ".join((err or out).split())[-300:]


def _many(arena: Arena, contender: Contender) -> Figures:
    """Fetch a block with each of many clients, over and over."""
    with _serving(arena) as (server, name):
        before = rss_mib(server.pid)
        part = f"Range: bytes={BLOCK_BYTES}-{2 * BLOCK_BYTES - 1}"
        with PeakMemory(server.pid) as peak:
            told = loads.wrk(
                f"{server.url}/{name}",
                arena.load_cores,
                connections=CLIENTS,
                seconds=arena.options.seconds,
                size=BLOCK_BYTES,
                headers=(part,),
            )
    return told | {"rss before MiB": before, "grown MiB": peak.mib - before}
