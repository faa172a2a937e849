"""Bodies of answers: stored as they are meant, and whole or not at all."""

from __future__ import annotations

import asyncio
import gzip
import os
import socket
import sys
import time
import tracemalloc
import zlib
from contextlib import suppress

import pytest
from aiohttp import web
from backports import zstd

from hashserver_aio.bodies import Body
from hashserver_aio.checksums import Hashset
from hashserver_aio.fetching.guard import PIECE_BYTES, GuardedSocket

from .fetches import LOOPBACK, Memory, asked, code_of, fetcher, target
from .test_fetch_headers import saying

PLAIN = os.urandom(70_000) + b"\0" * 700_000 + os.urandom(3)
RAW = zlib.compressobj(wbits=-15)
DEFLATED = RAW.compress(PLAIN) + RAW.flush()


async def fetched(coding: str, sent: bytes, framing: str = "length") -> tuple[str, list[bytes], list[int]]:
    """Fetch a body in some coding: what went wrong, what is held, and how long it was said to be."""
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\n".encode()
    if framing == "length":
        answer = head + b"Content-Length: %d\r\n\r\n%s" % (len(sent), sent)
    elif framing == "chunks":
        chunks = [sent[at : at + 1000] for at in range(0, len(sent), 1000)]
        coded = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
        answer = head + b"Transfer-Encoding: chunked\r\n\r\n" + coded + b"0\r\n\r\n"
    else:
        answer = head + b"\r\n" + sent
    memory = Memory()
    async with saying(answer) as url, fetcher(memory, *LOOPBACK) as fetch:
        info = await fetch.wget(asked(url))
        assert (await fetch.postfiles([], asked(url, method="POST")))["ok"] is info["ok"]
    return "" if info["ok"] else code_of(info), list(memory.held.values()), memory.announced


@pytest.mark.parametrize("framing", ["length", "chunks", "end"])
@pytest.mark.parametrize(
    ("coding", "sent", "plain"),
    [
        ("gzip", gzip.compress(PLAIN), PLAIN),
        ("X-GZip", gzip.compress(b""), b""),
        ("gzip", gzip.compress(PLAIN) + gzip.compress(b"") + gzip.compress(b"more"), PLAIN + b"more"),
        ("gzip", gzip.compress(b"x") * 3000, b"x" * 3000),
        ("gzip", b"", b""),
        ("deflate", zlib.compress(PLAIN), PLAIN),
        ("deflate", DEFLATED, PLAIN),
        ("identity", PLAIN, PLAIN),
        ("", PLAIN, PLAIN),
    ],
    ids=["gzip", "x-gzip", "members", "many", "none", "zlib", "raw", "identity", "empty"],
)
async def test_compressed(coding: str, sent: bytes, plain: bytes, framing: str) -> None:
    """A compressed answer is stored as what it means, as the Axon does; of any framing."""
    announced = len(sent) if coding in {"identity", ""} and framing == "length" else 0
    assert await fetched(coding, sent, framing) == ("", [plain], [announced])


@pytest.mark.parametrize("framing", ["length", "chunks", "end"])
@pytest.mark.parametrize(
    ("coding", "sent"),
    [
        *[("gzip", gzip.compress(PLAIN)[:-missing]) for missing in (1, 4, 8, 9, 1000, 60_000)],
        ("gzip", gzip.compress(b"x") + gzip.compress(b"x")[:5]),
        ("gzip", gzip.compress(b"x") + b"more"),
        ("gzip", gzip.compress(b"x")[:-8] + bytes(8)),
        ("gzip", b"\x1f"),
        ("gzip", PLAIN),
        *[("deflate", zlib.compress(PLAIN)[:-missing]) for missing in (1, 4, 1000)],
        ("deflate", zlib.compress(PLAIN) + b"x"),
        ("deflate", zlib.compress(PLAIN) + zlib.compress(PLAIN)),
        ("deflate", DEFLATED[:-1]),
        ("deflate", DEFLATED + b"x"),
        ("zstd", zstd.compress(PLAIN)),
        ("br", b"anything"),
        ("gzip, gzip", gzip.compress(gzip.compress(PLAIN))),
    ],
    ids=lambda given: "body" if isinstance(given, bytes) else None,
)
async def test_not_whole(coding: str, sent: bytes, framing: str) -> None:
    """An answer that ends too early, goes on too long, or is not what it says, is never stored."""
    assert await fetched(coding, sent, framing) == ("ClientPayloadError", [], [])


async def test_transfer_codings() -> None:
    """What is compressed on its way, which nobody asked for, is not stored as if it were the body."""
    memory = Memory()
    for coding in (b"gzip", b"gzip, chunked"):
        answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: %s\r\n\r\n3\r\nabc\r\n0\r\n\r\n" % coding
        async with saying(answer) as url, fetcher(memory, *LOOPBACK) as fetch:
            assert not (await fetch.wget(asked(url)))["ok"]
    assert memory.held == {}


async def test_what_is_asked_for() -> None:
    """A body is asked for as it is, unless who asks wants it otherwise; HEAD has none, whatever it says."""
    seen: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers["Accept-Encoding"])
        return web.Response(headers={"Content-Encoding": "gzip", "Content-Length": "1000"})

    memory = Memory()
    async with target({"/": answer}) as url, fetcher(memory, *LOOPBACK) as fetch:
        for headers in ({}, {"accept-encoding": "gzip"}):
            assert (await fetch.wget(asked(url, method="HEAD", headers=headers)))["ok"]
    assert (seen, list(memory.held.values())) == (["identity", "gzip"], [b""])


async def test_bombs() -> None:
    """What becomes 200 times as long is stored in constant memory, or refused at its limit."""
    size = 2**26
    bomb = gzip.compress(bytes(size), 1)

    async def packed(request: web.Request) -> web.StreamResponse:
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

    class Counting(Memory):
        most = largest = 0

        async def store(self, body: Body, announced_bytes: int) -> Hashset:
            total = 0
            while piece := await body.read():
                total += len(piece)
                self.largest = max(self.largest, len(piece))
                self.most = max(self.most, tracemalloc.get_traced_memory()[0])
                if total > self.limit_bytes:
                    break
            return Hashset(b"", b"", b"", b"", total)

    async with target({"/": packed}) as url:
        for limit, least in ((2**40, size), (10**6, 10**6)):
            memory = Counting(limit)
            tracemalloc.start()
            try:
                async with fetcher(memory, *LOOPBACK) as fetch:
                    info = await fetch.wget(asked(url))
                assert memory.most < tracemalloc.get_traced_memory()[0] + 4 * 2**20
            finally:
                tracemalloc.stop()
            assert least <= info["size"] <= least + memory.largest
            assert memory.largest <= 256 * 1024


@pytest.mark.parametrize("kind", ["chunks", "members"])
async def test_floods(kind: str) -> None:
    """Who sends as many of the smallest parts as can be sent does not hold up the others."""
    head = {"chunks": b"Transfer-Encoding: chunked", "members": b"Content-Encoding: gzip"}[kind]
    flood = {"chunks": b"1\r\nx\r\n", "members": gzip.compress(b"")}[kind] * 200_000
    code = (
        "import socket, sys\n"
        "with socket.create_server(('127.0.0.1', 0)) as listener:\n"
        "    print(listener.getsockname()[1], flush=True)\n"
        "    connection = listener.accept()[0]\n"
        "    connection.recv(65536)\n"
        "    connection.sendall(sys.stdin.buffer.read())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None and process.stdout is not None
    port = int(await process.stdout.readline())
    process.stdin.write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + flood)
    process.stdin.close()
    longest = 0.0
    async with fetcher(Memory(), *LOOPBACK) as fetch:
        task = asyncio.create_task(fetch.wget(asked(f"http://127.0.0.1:{port}/", timeout=2)))
        while not task.done():
            begin = time.monotonic()
            await asyncio.sleep(0)
            longest = max(longest, time.monotonic() - begin)
        await task
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()
    assert longest < 0.5


def test_pieces() -> None:
    """What a socket has received is looked at in pieces, though the loop asks for more at a time."""
    here, there = socket.socketpair()
    with here, there:
        there.sendall(bytes(150_000))
        info = (socket.AF_UNIX, socket.SOCK_STREAM, 0, "", ("", 0))
        with GuardedSocket(info, lambda host: None) as guarded:
            os.dup2(here.fileno(), guarded.fileno())
            assert len(guarded.recv(2**18)) == PIECE_BYTES
            assert guarded.recv_into(bytearray(2**18)) == PIECE_BYTES
            assert guarded.recv_into(bytearray(100)) == 100
            assert len(guarded.recv(100)) == 100
