"""A real `rd-api` 1.7.0.0 beside our face: what both answer, and what whoever downloads from it meets."""

from __future__ import annotations

import asyncio
import hashlib
import random
import socket
from collections.abc import Callable
from contextlib import closing
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from .conftest import ServerFactory
from .peers import lay
from .rd_api_peer import BLOCK_BYTES, NEED_S, RealRdApi, running_rd_api
from .test_rd import ended, rd

BODY = random.Random(9).randbytes(2 * BLOCK_BYTES + 1)
SIZES = (0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, len(BODY))
SMALL = BODY[:100]

Asking = Callable[[RealRdApi, str], dict[str, Any]]


def name_of(body: bytes) -> str:
    """Name a buffer."""
    return hashlib.sha3_256(body).hexdigest()


async def test_same_answers(start_server: ServerFactory, directory: Path, real_rd_api: RealRdApi) -> None:
    """Of a buffer ours tells what the real one tells of a file of its name, but not where that lies."""
    server = start_server(directory, "--writable")
    ours = RealRdApi(server.port, directory)

    async def both(ask: Asking, path: str) -> list[dict[str, Any]]:
        return [await asyncio.to_thread(ask, each, path) for each in (real_rd_api, ours)]

    for body in (BODY[:size] for size in SIZES):
        lay(directory, body)
        real_rd_api.place(name_of(body), body)
        told, said = await both(RealRdApi.digested, name_of(body))
        assert said.pop("filepath") == name_of(body)
        assert told.pop("filepath") == str(real_rd_api.root / name_of(body))
        assert said == told
    told, said = await both(RealRdApi.status, "ab" * 32)
    assert said.pop("code") == "BufferNotFound" and said == told
    told, said = await both(RealRdApi.status, "")
    assert told.keys() == said.keys() and told["version"] == "1.7.0.0"


def test_pending(tmp_path: Path) -> None:
    """A file's digests are pending at first, and then known from its front on."""
    with running_rd_api(tmp_path, "--worker", "1", "--block-size", "1M") as rd_api:
        rd_api.place("other", BODY)
        told = rd_api.digested("other")
        assert (told["block_size"], told["block_count"]) == ("1MiB", 5)
        assert [sha1 for *_, sha1 in told["blocks"]] == [
            hashlib.sha1(BODY[first : last + 1]).hexdigest() for _, first, last, _ in told["blocks"]
        ]
        with (tmp_path / "long").open("wb") as file:
            file.truncate(16 * 2**30)  # a hole, and half a minute of work, which nobody waits for
        rd_api.status("long")
        rd_api.place("behind", BODY)
        assert [sha1 for *_, sha1 in rd_api.status("behind")["blocks"]] == ["pending"] * 5
        while not any(known := [sha1 != "pending" for *_, sha1 in rd_api.status("long")["blocks"]]):
            pass
        assert len(known) == 16 * 2**10 and known == sorted(known, reverse=True) and not all(known)


async def test_downloads(real_rd_api: RealRdApi, tmp_path: Path) -> None:
    """The real client downloads from it, whatever the size and, as long as it is not encoded, the name."""
    names = ["one", "block-1", "block", "block and 1", "ünï ☃.bin"]
    bodies = dict(zip(names, (BODY[:size] for size in SIZES[1:]), strict=True))
    encoded = [real_rd_api.place(name, body) for name, body in bodies.items()]
    code, said = await ended(rd(tmp_path / "here", *(f"{real_rd_api.url}/{name}" for name in names)))
    assert code == 0, said
    assert {
        path.name: path.read_bytes() for path in (tmp_path / "here").iterdir() if path.is_file()
    } == bodies
    code, said = await ended(rd(tmp_path / "there", encoded[-1]))
    assert (
        code == 1 and "openBinaryFile: does not exist" in said
    )  # it keeps blocks by one name, and combines by the other


def raw(port: int, path: str, *headers: str) -> tuple[int, dict[str, str], bytes]:
    """Ask over a connection of its own: status (0 for none), headers and what else comes at once."""
    request = "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *headers, "", ""])
    with closing(socket.create_connection(("127.0.0.1", port), NEED_S)) as connection:
        connection.sendall(request.encode())
        answer = b""
        while b"\r\n\r\n" not in answer and (piece := connection.recv(65536)):
            answer += piece
        head, _, body = answer.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        told = {key.lower(): value for key, _, value in (line.partition(": ") for line in lines)}
        while len(body) < int(told.get("content-length", 0)) and (piece := connection.recv(65536)):
            body += piece
    return int(first.split()[1]) if first else 0, told, body


RANGES: list[tuple[str, int, str | None, bytes]] = [
    ("10-19", 206, "bytes 10-19/100", SMALL[10:20]),
    ("50-200", 206, "bytes 50-99/100", SMALL[50:]),
    ("-5", 206, "bytes 95-99/100", SMALL[95:]),
    ("1-2,5-6", 206, "bytes 1-2/100", SMALL[1:3]),
    ("0-99", 200, None, SMALL),  # all of it is no part
    ("0-", 200, None, SMALL),
    ("100-110", 206, "bytes */100", b""),
    ("5-2", 416, None, b""),
]


@pytest.mark.parametrize(("part", "status", "content_range", "body"), RANGES)
def test_ranges(
    real_rd_api: RealRdApi, part: str, status: int, content_range: str | None, body: bytes
) -> None:
    """A part is 206, all of it 200, also if it was asked for as a range; and there is never an ETag."""
    real_rd_api.place("small", SMALL)
    got = raw(real_rd_api.port, "/small", f"Range: bytes={part}")
    assert (got[0], got[1].get("content-range"), got[2]) == (status, content_range, body)
    assert "etag" not in got[1]
    assert ("accept-ranges" in got[1]) == ("content-length" in got[1]) == (status != 416)


def test_traps(real_rd_api: RealRdApi) -> None:
    """What a downloader has to cope with: refusals without a length, none at all, and no entity-tags."""
    real_rd_api.place("small", SMALL)
    (real_rd_api.root / "folder").mkdir()
    ask = partial(raw, real_rd_api.port)
    status, headers, _ = ask("/small", "Range: nonsense")
    assert status == 416 and not {"content-length", "transfer-encoding", "connection"} & headers.keys()
    assert ask("/small", "Range: bytes=101-110")[0] == 0
    _, headers, _ = ask("/small", "Range: bytes=1-2", 'If-Range: "another"')
    assert headers["content-range"] == "bytes 1-2/100"
    modified = headers["last-modified"]
    assert ask("/small", "Range: bytes=1-2", f"If-Range: {modified}")[0] == 206
    assert ask("/small", "Range: bytes=1-2", "If-Range: Sun, 01 Jan 2012 00:00:00 GMT")[0] == 200
    assert [ask(path)[0] for path in ("/rd/folder", "/folder", "/", "/nope")] == [500, 404, 404, 404]


def test_kept_alive(real_rd_api: RealRdApi) -> None:
    """A connection takes one range after the other."""
    real_rd_api.place("file", BODY)
    with closing(HTTPConnection("127.0.0.1", real_rd_api.port, timeout=NEED_S)) as connection:
        connection.connect()
        only = connection.sock
        for first in range(20):
            connection.request("GET", "/file", headers={"Range": f"bytes={first}-{first + 9}"})
            assert connection.getresponse().read() == BODY[first : first + 10]
            assert connection.sock is only  # http.client would connect anew


def test_without_redis(tmp_path: Path) -> None:
    """Without Redis it serves files, and says of each that it knows nothing of its blocks."""
    (tmp_path / "small").write_bytes(SMALL)
    with running_rd_api(tmp_path, has_redis=False) as rd_api:
        assert rd_api.status("")["ok"]
        told = rd_api.status("small")
        assert (told["ok"], told["block_count"], "No redis" in told["msg"]) == (False, -1, True)
        assert raw(rd_api.port, "/small")[2] == SMALL
