"""What no well-meaning client sends: always a 4xx or a closed connection, and nothing left behind."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import Client, ClientFactory

BODY = b"a buffer"
NAME = hashlib.sha3_256(BODY).hexdigest()
HEX = "0123456789abcdef" * 4
CHUNKED = "Transfer-Encoding: chunked"


@pytest.fixture
async def server(client: Client, directory: Path) -> AsyncIterator[Client]:
    """A writable server that must work as before after the test, with no temp file left."""
    yield client
    await check_well(client, directory)


async def check_well(client: Client, directory: Path) -> None:
    """Assert that a server stores and serves, and that no upload has left anything."""
    body = b"after all"
    path = "/" + hashlib.sha3_256(body).hexdigest()
    assert (await client.put(path, data=body)).status == 200
    assert await (await client.get(path)).read() == body
    assert not [n for n in files(directory) if n.endswith(".LOCK") or ("/tmp/" in n and n[-5:] != ".lock")]


def files(directory: Path) -> list[str]:
    """List the files in and below a directory."""
    return [str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()]


def head(method: str, path: str, *headers: str, version: str = "HTTP/1.1") -> bytes:
    """Word the head of a request, on a connection that is to be closed after it."""
    lines = (f"{method} {path} {version}", "Host: test", "Connection: close", *headers, "", "")
    return "\r\n".join(lines).encode("utf-8", "surrogateescape")


async def send(client: Client, *parts: bytes, cut: bool = False) -> bytes:
    """Send bytes as they are, and perhaps no more; all that comes back until the server hangs up."""
    reader, writer = await asyncio.open_connection(client.host, client.port)
    try:
        async with asyncio.timeout(15):
            for part in parts:
                writer.write(part)
                await writer.drain()
            if cut:
                writer.write_eof()
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def statuses(answer: bytes) -> list[int]:
    """Read the statuses of the answers that came."""
    return [int(status) for status in re.findall(rb"^HTTP/1\.[01] (\d{3}) ", answer, re.MULTILINE)]


def refused(answer: bytes) -> bool:
    """Tell whether an answer is a 4xx, or none because the connection was closed."""
    return all(400 <= status < 500 for status in statuses(answer))


NAMES = [
    "x", HEX[1:], HEX + "0", "g" * 64, "\u00e9" * 32, "%C3%A9" * 32, "%D9%A0" * 64, "%C4%B0" + HEX[2:],
    "%00" * 64, HEX[1:] + "%00", "%2F" * 64, "%2e%2e%2f%2e%2e%2fetc%2fpasswd", HEX[2:] + "..", "a" * 8000,
    HEX + "/", HEX + "/x", "%20" + HEX[1:], "+" + HEX[1:], HEX + "%0a", HEX[2:] + "%0d%0a", "%ff" * 64,
    "%" * 64, "%zz" + HEX[3:], "0x" + HEX[2:], ".hashserver-aio", ".hashserver-aio/format", "//" + HEX,
    ".HASHSERVER_PREFIX", HEX + ".gz", HEX + ".LOCK", f"01/{HEX}", "promise", "promise/", "promise/x",
    "\udcff", f" {HEX}", f"{HEX[:30]} {HEX[31:]}", "\t",
]  # fmt: skip


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
async def test_names(server: Client, directory: Path, method: str) -> None:
    """A name of any wrong kind is a 4xx, and makes no file."""
    for name in NAMES:
        answer = await send(server, head(method, f"/{name}", f"Content-Length: {len(BODY)}"), BODY)
        assert statuses(answer) and refused(answer), name
    assert files(directory) == [".HASHSERVER_PREFIX"]


async def test_paths_upwards(server: Client, directory: Path) -> None:
    """No path leads out of the directory, however it is written."""
    secret = directory.parent / "secret"
    secret.write_bytes(b"a secret of the server's")
    for path in (
        "/../secret",
        "/a/../../secret",
        "/..%2fsecret",
        "/%2e%2e/secret",
        f"//{secret}",
        f"/./{secret}",
    ):
        assert b"a secret" not in await send(server, head("GET", path))


SHAPES = [
    b"", b" ", b"{", b"null", b"{}", b'"x"', b"1", b"[1]", b"[null]", b"[[]]", b"[{}]", b"[true]", b'["x"]',
    b"[NaN]", b"[1e999]", b"\xff\xfe", b"[,]", b'["' + b"\\ud800" * 64 + b'"]', b'["%s",]' % HEX.encode(),
    b"[" * 100_000, b"[" * 10_000_000, b'{"a":' * 1_000_000, b"[" + b"9" * 10_000 + b"]",
    b'["' + b"a" * 10_000_000 + b'"]',
]  # fmt: skip


@pytest.mark.parametrize("body", SHAPES, ids=lambda body: repr(body[:12]) + str(len(body)))
async def test_list_shapes(server: Client, body: bytes) -> None:
    """Where a list of names is asked for, any other JSON, deep, long or broken, is a 400 that says so."""
    for path in ("/has", "/has-now", "/buffer-length"):
        answer = await server.post(path, data=io.BytesIO(body))
        assert answer.status == 400 and (await answer.json())["message"] == "Invalid data"


async def test_list_lengths(server: Client) -> None:
    """10 MB of names are answered; 17 MB are refused, by their announced length and while they come."""
    names = [hashlib.sha3_256(b"%d" % number).hexdigest() for number in range(150_000)]
    answer = await server.post("/has", data=io.BytesIO(json.dumps(names).encode()))
    assert answer.status == 200 and await answer.json() == [False] * len(names)
    assert statuses(await send(server, head("POST", "/has", "Content-Length: 17000000"))) == [413]
    assert refused(await send(server, head("POST", "/has", CHUNKED), *[b"f4240\r\n%1000000d\r\n" % 0] * 17))


PUT = f"/{NAME}"
WRONG_LENGTHS = ("-8", "eight", "0x8", "+8", "8, 9", "9" * 40)
LYING = {
    **{value: ([f"Content-Length: {value}"], BODY) for value in WRONG_LENGTHS},
    "cut": (["Content-Length: 9"], BODY), "cut late": (["Content-Length: 900000"], BODY * 50_000),
    "longer": (["Content-Length: 7"], BODY), "both": (["Content-Length: 8", "Content-Length: 9"], BODY),
    "length and chunks": (["Content-Length: 8", CHUNKED], b"8\r\na buffer\r\n0\r\n\r\n"),
    "cut before the end": ([CHUNKED], b"8\r\na buffer\r\n"), "cut chunk": ([CHUNKED], b"8\r\na buf"),
    "cut in an extension": ([CHUNKED], b"8;" + b"x" * 200_000),
    "long chunk": ([CHUNKED], b"7\r\na buffer\r\n0\r\n\r\n"),
    "no size": ([CHUNKED], b"zz\r\na buffer\r\n0\r\n\r\n"),
    "size below 0": ([CHUNKED], b"-8\r\na buffer\r\n0\r\n\r\n"),
    "size beyond all": ([CHUNKED], b"f" * 40 + b"\r\na buffer"),
    "endless trailer": ([CHUNKED], b"8\r\na buffer\r\n0\r\n" + b"a: b\r\n" * 50_000),
    "unknown coding": (["Transfer-Encoding: banana"], BODY),
    "coding after chunked": (["Transfer-Encoding: chunked, gzip"], BODY),
}  # fmt: skip


@pytest.mark.parametrize("kind", LYING)
async def test_bodies_that_lie(server: Client, kind: str) -> None:
    """A body that is not as long as was said, or whose chunks are broken, is refused and not stored."""
    headers, body = LYING[kind]
    answer = await send(server, head("PUT", PUT, *headers), body, cut=kind.startswith("cut"))
    assert refused(answer) and (statuses(answer) or kind.startswith(("cut", "endless")))
    assert (await server.get(PUT)).status == 404


MALFORMED = [
    b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n", b"\x00" * 50_000,
    b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1 x\r\n\r\n", b"x / HTTP/1.1\r\n\r\n", head("FOO", "/has"),
    head("DELETE", PUT), head("PATCH", PUT), head("TRACE", "/"), head("CONNECT", "test:1"),
    head("G\u00cbT", "/"), head("POST", PUT, "Content-Length: 0"), head("GET", "http://[::1/x"),
    head("GET", PUT, "x: " + "a" * 100_000), head("GET", PUT, *(f"x{n}: y" for n in range(5000))),
    head("GET", PUT, "no colon"), head("GET", PUT, "x: \x00"), head("GET", PUT, ": x"),
    head("GET", PUT, "x : y"), head("GET", PUT, "x: a\r\n b"), head("GET", "/" + "a" * 100_000),
    head("GET", PUT, "Expect: banana"), head("PUT", PUT, "Expect: banana"),
    head("PUT", PUT, "Content-Encoding: \udcff"), head("PUT", PUT, "Content-Encoding: gzip, gzip"),
    head("POST", "/has", "Content-Encoding: gzip", "Content-Length: 2") + b"[]",
]  # fmt: skip


@pytest.mark.parametrize("request_", MALFORMED, ids=lambda request: repr(request[:60]) + str(len(request)))
async def test_malformed(server: Client, request_: bytes) -> None:
    """Broken HTTP, endless headers and unknown methods are refused."""
    answer = await send(server, request_)
    assert statuses(answer) and refused(answer)


ODD = [
    ["Range: bytes=" + "0-0," * 1000], ["Range: \udcff"], ["Range: bytes=0-0", "If-Range: \udcff"],
    ["Range: bytes=" + "9" * 5000 + "-"], ["If-None-Match: \udcff"], ["If-Match: *, \udcff"],
    ["If-Modified-Since: \udcff"], ["If-Modified-Since: Mon, 99 Foo 99999999 99:99:99 GMT"],
    ["If-Unmodified-Since: 0"], ["Accept-Encoding: \udcff;q=x, ;;,,"],
]  # fmt: skip


@pytest.mark.parametrize("headers", ODD, ids=lambda headers: repr(headers)[:50])
async def test_odd_headers(server: Client, headers: list[str]) -> None:
    """A header of a read that makes no sense is refused or passed over; the buffer comes whole or in part."""
    assert (await server.put(PUT, data=BODY)).status == 200
    (status,) = statuses(await send(server, head("GET", PUT, *headers)))
    assert status in (200, 206, 304, 400, 412, 416)


async def test_http_1_0(server: Client) -> None:
    """HTTP/1.0 is spoken: without waiting for a 100 Continue it could not understand."""
    put = head("PUT", PUT, "Expect: 100-continue", "Content-Length: 8", version="HTTP/1.0")
    assert statuses(await send(server, put, BODY)) == [200]
    assert (await send(server, head("GET", PUT, version="HTTP/1.0"))).endswith(b"\r\n\r\n" + BODY)


REFUSALS: dict[str, tuple[dict[str, Any], list[str], int]] = {
    "read-only": ({"writable": False}, [], 405), "too large": ({"max_buffer_bytes": 7}, [], 413),
    "held": ({}, [], 201), "held, new only": ({}, ["If-None-Match: *"], 412),
    "no room": ({}, [f"Content-Length: {2**60}"], 507), "page": ({}, ["Origin: https://x.test"], 403),
    "bad digest": ({}, ["Content-Digest: banana"], 400), "coding": ({}, ["Content-Encoding: br"], 415),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSALS)
async def test_refused_before_the_body(start_client: ClientFactory, directory: Path, kind: str) -> None:
    """Who waits for 100 Continue is told no at once, and keeps its body for itself."""
    settings, headers, status = REFUSALS[kind]
    client = await start_client(**settings)
    if kind.startswith("held"):
        assert (await client.put(PUT, data=BODY)).status == 200
    length = [] if kind == "no room" else ["Content-Length: 8"]
    answer = await send(client, head("PUT", PUT, "Expect: 100-continue", *headers, *length))
    assert statuses(answer) == [status]
    assert (f"{NAME[:2]}/{NAME}" in files(directory)) == kind.startswith("held")
    assert (b"\r\nAllow: " in answer) == (status == 405)


async def test_continue(server: Client) -> None:
    """Who waits for 100 Continue gets it when the body is wanted, and then its answer."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(head("PUT", PUT, "expect: 100-Continue", f"Content-Length: {len(BODY)}"))
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(BODY)
    assert statuses(await reader.read()) == [200]
    writer.close()


@pytest.mark.parametrize("packed", [False, True])
async def test_too_large_while_it_comes(start_client: ClientFactory, directory: Path, packed: bool) -> None:
    """A body without a length is refused when it grows too large, and leaves nothing."""
    client = await start_client(max_buffer_bytes=500_000)
    headers = [CHUNKED, *(["Content-Encoding: gzip"] if packed else [])]
    chunks = [b"186a0\r\n" + b"x" * 100_000 + b"\r\n"] * 20
    assert statuses(await send(client, head("PUT", PUT, *headers), *chunks)) == [413]
    await check_well(client, directory)


async def test_pipelined_after_refusal(server: Client) -> None:
    """A refused body is never read as requests; what follows it is answered, or the connection ends."""
    inner = b"PUT " + PUT.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\n" + BODY
    for path in (f"/{HEX}", "/x", "/healthcheck", "/no/such/path", "/promise/x"):
        put = f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(inner)}\r\n\r\n".encode()
        first, *others = statuses(await send(server, put + inner + head("GET", "/healthcheck")))
        assert 400 <= first < 500 and others in ([200], [])
    assert (await server.get(PUT)).status == 404


def digest(body: bytes, algorithm: str = "sha-256") -> str:
    """Word a digest header."""
    digested = hashlib.new(algorithm.replace("-", ""), body).digest()
    return f"{algorithm}=:{base64.b64encode(digested).decode()}:"


@pytest.mark.parametrize("header", ["Content-Digest", "Repr-Digest"])
async def test_digests(server: Client, header: str) -> None:
    """A digest sent along is checked before anything is stored; unknown algorithms are passed over."""
    bad = [
        "banana",
        "sha-256",
        "sha-256=x",
        "sha-256=:!:",
        "sha-256=:YQ==:",
        digest(b"other"),
        "=::",
        "\u00e9=:YQ==:",
    ]
    for value in (*bad, digest(b"other", "sha-512"), f"{digest(BODY)}, {digest(b'x', 'sha-512')}"):
        assert (await server.put(PUT, data=BODY, headers={header: value})).status == 400, value
        assert (await server.get(PUT)).status == 404
    good = f"md5=:YQ==:, {digest(BODY, 'sha-512')},{digest(BODY)}"
    assert (await server.put(PUT, data=BODY, headers={header: good})).status == 200


async def test_pages_of_others(start_client: ClientFactory, directory: Path) -> None:
    """Web pages of any origin read, also errors; they write only where --cors-origin names them."""
    client = await start_client(cors_origins=("https://friend.example",))
    for origin, told in (("https://x.test", False), ("https://friend.example", True)):
        asked = {"Origin": origin, "Access-Control-Request-Method": "PUT"}
        preflight = await client.options(PUT, headers=asked)
        assert ("PUT" in preflight.headers["Access-Control-Allow-Methods"]) is told
        for method, path in (("PUT", PUT), ("PUT", f"/promise/{HEX}"), ("GET", PUT), ("GET", f"/{'0' * 64}")):
            answer = await client.request(method, path, data=BODY, headers={"Origin": origin})
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            assert (answer.status == 403) is (method == "PUT" and not told)
        assert (f"{NAME[:2]}/{NAME}" in files(directory)) is told
