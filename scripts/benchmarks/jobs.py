"""What runs in a process of its own: our small clients, and the bare loops.

A job is a function of its description, a JSON object; what it returns is a JSON object of figures.
Everything that is sent is prepared before the clock starts.
"""

from __future__ import annotations

import hashlib
import http.client
import itertools
import json
import os
import socket
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from .buffers import BLOCK_BYTES, TAIL_BYTES, Series, make_folders, place, random_names
from .exchanges import FilePart, Parts, Run, Totals
from .failures import MeasurementFailed

Job = dict[str, Any]
Figures = dict[str, float]

STORED = frozenset({200, 201, 202})
UNCOUNTED = 512
"""Answers before the clock starts: by then the folders are made and the threads run."""


def head(method: str, path: str, length: int | None = None, headers: Sequence[str] = ()) -> memoryview:
    """Word the head of a request."""
    size = [] if length is None else [f"Content-Length: {length}"]
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *headers, *size, "", ""]
    return memoryview("\r\n".join(lines).encode())


def figures(totals: Totals) -> Figures:
    """Word what a run came to."""
    return {
        "requests/s": totals.done / totals.seconds,
        "p50 ms": totals.quantile_ms(0.5),
        "p99 ms": totals.quantile_ms(0.99),
        "load cpu": totals.cpu_share,
    }


def put(job: Job) -> Figures:
    """PUT different buffers of one size for some seconds."""
    series = Series(job["size"], job.get("algorithm", "sha3_256"))
    shared = memoryview(b"".join(series.shared()))
    first = job.get("first", 0)
    ready = [
        (head("PUT", "/" + series.name(number), series.size), memoryview(series.tail(number)))
        for number in range(first, first + job["count"])
    ]
    requests: Iterator[Parts] = (deque([first, shared, last]) for first, last in ready)
    return figures(Run(job["port"], requests, job["connections"], STORED).drive(job["seconds"], UNCOUNTED))


def promise(job: Job) -> Figures:
    """Promise different buffers for some seconds."""
    ready = [head("PUT", "/promise/" + name, 0) for name in random_names(job["count"])]
    requests: Iterator[Parts] = (deque([each]) for each in ready)
    return figures(Run(job["port"], requests, job["connections"], {202}).drive(job["seconds"], UNCOUNTED))


def stream(job: Job) -> Figures:
    """PUT large buffers, whose shared part lies in a file, by sendfile, numbered from `first`.

    They go to `path`, with `headers`, if there is one, else to their names.
    """
    descriptor = os.open(job["file"], os.O_RDONLY)
    size = os.fstat(descriptor).st_size
    requests: Iterator[Parts] = (
        deque([
            head("PUT", job.get("path", "/" + name), size + TAIL_BYTES, job.get("headers", ())),
            FilePart(descriptor, 0, size),
            memoryview(Series.tail(number)),
        ])
        for number, name in enumerate(job["names"], job.get("first", 0))
    )  # fmt: skip
    totals = Run(job["port"], requests, job["connections"], STORED).drive(job["seconds"])
    sent = (size + TAIL_BYTES) * totals.done / 2**20
    return {"MiB/s": sent / totals.seconds, "load cpu": totals.cpu_share}


def get(job: Job) -> Figures:
    """GET the buffers named in a file, once each, or over and over if `seconds`."""
    names = Path(job["file"]).read_text().split()
    ready = [head("GET", "/" + name) for name in names]
    again = itertools.cycle(ready) if job["seconds"] else ready
    requests: Iterator[Parts] = (deque([each]) for each in again)
    return figures(Run(job["port"], requests, job["connections"], {200}).drive(job["seconds"]))


def has(job: Job) -> Figures:
    """Ask for lists of names; names of the file, or else absent ones. Stops after `seconds` or `count`."""
    known = Path(job["file"]).read_text().split() if job["file"] else None
    if known:
        lists = [list(itertools.islice(itertools.cycle(known), job["names"]))]
    else:
        lists = [random_names(job["names"]) for _ in range(min(job["count"], 5))]
    bodies = [json.dumps(names).encode() for names in lists]
    connection = http.client.HTTPConnection("127.0.0.1", job["port"], timeout=job["timeout"])
    taken: list[float] = []
    over = time.perf_counter() + job["seconds"]
    while not taken or (len(taken) < job["count"] and time.perf_counter() < over):
        began = time.perf_counter()
        connection.request(job["method"], "/has", bodies[len(taken) % len(bodies)], _JSON)
        answer = connection.getresponse()
        told = answer.read()
        taken.append(time.perf_counter() - began)
        if answer.status != 200 or json.loads(told) != [bool(known)] * job["names"]:
            raise MeasurementFailed(f"a wrong answer to /has: {answer.status} {told[:60]!r}")
    return {"ms": statistics.median(taken) * 1000}


_JSON = {"Content-Type": "application/json"}


def first_byte(job: Job) -> Figures:
    """Ask for single bytes of a large buffer; the time until the byte is there."""
    connection = socket.create_connection(("127.0.0.1", job["port"]), timeout=job["timeout"])
    taken: list[float] = []
    over = time.perf_counter() + job["seconds"]
    while not taken or (len(taken) < job["count"] and time.perf_counter() < over):
        at = job["offset"]
        request = f"GET {job['path']} HTTP/1.1\r\nHost: 127.0.0.1\r\nRange: bytes={at}-{at}\r\n\r\n".encode()
        began = time.perf_counter()
        connection.sendall(request)
        answer = b""
        while (end := answer.find(b"\r\n\r\n")) < 0 or len(answer) < end + 5:
            piece = connection.recv(65536)
            if not piece:
                raise MeasurementFailed("the server hung up")
            answer += piece
        taken.append(time.perf_counter() - began)
        if not answer.startswith(b"HTTP/1.1 206") or answer[end + 4 :] != bytes([job["byte"]]):
            raise MeasurementFailed(f"a wrong answer to a range: {answer[:40]!r}")
    return {"ms": statistics.median(taken) * 1000}


def first_lines(job: Job) -> Figures:
    """Ask for a stream of lines and hang up after the first of them; the time until they are there."""
    request = head("GET", job["path"])
    taken: list[float] = []
    over = time.perf_counter() + job["seconds"]
    while not taken or time.perf_counter() < over:
        with socket.create_connection(("127.0.0.1", job["port"]), timeout=60) as connection:
            began = time.perf_counter()
            connection.sendall(request)
            answer = b""
            while answer.count(b"\n{") < job["lines"]:
                piece = connection.recv(65536)
                if not piece:
                    raise MeasurementFailed(f"{job['lines']} lines did not come: {answer[-200:]!r}")
                answer += piece
            taken.append(time.perf_counter() - began)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise MeasurementFailed(f"a wrong answer: {answer[:100]!r}")
    return {"ms": statistics.median(taken) * 1000}


def bare_put(job: Job) -> Figures:
    """Create, write, fsync and rename files, one after the other: what a durable PUT can't avoid."""
    directory = Path(job["directory"])
    make_folders(directory)
    series = Series(job["size"])
    shared = b"".join(series.shared())
    ready = [(str(place(directory, series.name(n))), shared + series.tail(n)) for n in range(job["count"])]
    temp, done = str(directory / "temp"), 0
    began = time.perf_counter()
    for path, body in ready:
        descriptor = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
        os.write(descriptor, body)
        os.fsync(descriptor)
        os.close(descriptor)
        os.rename(temp, path)
        done += 1
        if time.perf_counter() - began > job["seconds"]:
            break
    return {"requests/s": done / (time.perf_counter() - began)}


def bare_hash(job: Job) -> Figures:
    """Hash a file that lies in memory, a megabyte at a time, by each of the `algorithms`."""
    data = memoryview(Path(job["file"]).read_bytes())
    digests = [hashlib.new(name) for name in job.get("algorithms", ["sha3_256"])]
    began = time.perf_counter()
    for at in range(0, len(data), BLOCK_BYTES):
        for digest in digests:
            digest.update(data[at : at + BLOCK_BYTES])
    return {"MiB/s": len(data) / 2**20 / (time.perf_counter() - began)}


JOBS: dict[str, Callable[[Job], Figures]] = {
    job.__name__: job
    for job in (put, promise, stream, get, has, first_byte, first_lines, bare_put, bare_hash)
}


def main() -> int:
    """Do the job named first, described by the JSON on stdin; say what failed on stderr."""
    try:
        print(json.dumps(JOBS[sys.argv[1]](json.load(sys.stdin))))
    except (MeasurementFailed, OSError, http.client.HTTPException, ValueError) as error:
        print(str(error) or repr(error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
