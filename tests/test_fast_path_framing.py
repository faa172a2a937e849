"""Where a request begins and ends: the fast path never sees one that aiohttp does not."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NamedTuple

import pytest

from hashserver_aio.server.watched import _Watched

from .conftest import Client, ClientFactory, ServerFactory
from .fast import count_answers, name_of, stored, without_fast_path
from .wire import CLOSING, Wire, body_of, conversation, get, normal, put, status_of

BODY = b"some buffer"
NAME = name_of(BODY)
OTHER = name_of(b"")
PLAIN = get(NAME)
HAS = f'["{NAME}"]'.encode()
LONG = b"GET / HTTP/1.1\r\n\r\n" * 20_000
"""A body that is longer than what aiohttp reads ahead, and looks like requests."""


class Twins(NamedTuple):
    """Two servers that hold the same; only one has a fast path."""

    fast: Client
    ordinary: Client
    answered: list[bytes]


@pytest.fixture
async def twins(client: Client, start_client: ClientFactory, monkeypatch: pytest.MonkeyPatch) -> Twins:
    """Servers of one directory, which holds BODY and LONG."""
    for body in (BODY, LONG, PLAIN, b"x\r\n\r\n"):
        await stored(client, body)
    ordinary = without_fast_path(await start_client(), monkeypatch)
    return Twins(client, ordinary, count_answers(monkeypatch))


async def same(twins: Twins, *segments: bytes) -> bytes:
    """Have the same conversation with both: what was answered, after a warm-up."""
    fast, ordinary = await asyncio.gather(
        conversation(twins.fast, segments, NAME), conversation(twins.ordinary, segments, NAME)
    )
    assert fast == ordinary
    return fast


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n", path: str = "has") -> bytes:
    """Word a POST with a body in chunks."""
    head = f"POST /{path} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + end


def asking(*headers: str, line: str = f"GET /{NAME} HTTP/1.1") -> bytes:
    """Word the head of a request, its lines as they are."""
    return "\r\n".join([line, *headers, "", ""]).encode("latin-1")


def upgrade(other: str, *headers: str) -> bytes:
    """Ask for another protocol."""
    return get(NAME, "Connection: Upgrade", f"Upgrade: {other}", *headers)


HOST, LENGTH = "Host: t", f"Content-Length: {len(PLAIN)}"
UPGRADES = ("websocket", "h2c", "WebSocket", "tcp")

PARTIAL = {
    "in a header": (b"GET /x HTTP/1.1\r\nX-A: b\r\nX-B: ", PLAIN),
    "after a line": (b"GET /x HTTP/1.1\r\nX-A: b\r\n", PLAIN),
    "before the last line feed": (asking(HOST, line="GET /x HTTP/1.1")[:-1], PLAIN, b"\n", PLAIN),
    "after a whole and a part": (PLAIN + b"GET /x HTTP/1.1\r\nX-B: ", PLAIN),
    "in a method": (b"G", PLAIN[1:], PLAIN),
    "in the name": (PLAIN[:40], PLAIN[40:], PLAIN),
    "in a name that is followed by a whole": (PLAIN[:40], PLAIN),
    "one byte early": (PLAIN[:-1], PLAIN[-1:], PLAIN),
    "one byte late": (PLAIN + PLAIN[:1], PLAIN[1:], PLAIN),
    "two bytes early": (PLAIN[:-2], PLAIN[-2:], PLAIN),
    "one byte at a time": tuple(PLAIN[n : n + 1] for n in range(len(PLAIN))),
    "empty lines": (b"\r\n\r\n", PLAIN, b"\r\n", PLAIN),
    "a line feed": (b"\n", PLAIN),
    "a carriage return": (b"\r", PLAIN),
}

BODIES = {
    "a GET that is a body": (asking(HOST, LENGTH), PLAIN, PLAIN),
    "a GET that is a part of one": (
        asking(HOST, f"Content-Length: {len(PLAIN) + 9}"),
        PLAIN,
        b"x" * 9,
        PLAIN,
    ),
    "two GETs that are a body": (asking(HOST, f"Content-Length: {2 * len(PLAIN)}"), PLAIN, PLAIN, PLAIN),
    "a body and a GET": (asking(HOST, LENGTH) + PLAIN, PLAIN),
    "a body, a GET and a part": (asking(HOST, LENGTH) + PLAIN + PLAIN[:5], PLAIN[5:], PLAIN),
    "a list, cut": (asking(HOST, f"Content-Length: {len(HAS)}", line="POST /has HTTP/1.1"), HAS, PLAIN),
    "an absent one's body": (asking(HOST, LENGTH, line="GET /x HTTP/1.1"), PLAIN, PLAIN),
    "no such method": (asking(HOST, LENGTH, line="DELETE /has HTTP/1.1"), PLAIN, PLAIN),
    "a PUT": (put(name_of(PLAIN), PLAIN)[: -len(PLAIN)], PLAIN, PLAIN),
    "a PUT that ends like a head": (put(name_of(b"x\r\n\r\n"), b"x\r\n\r\n"), PLAIN, PLAIN),
    "a wrong PUT": (put(ABSENT := "0" * 64, PLAIN)[: -len(PLAIN)], PLAIN, PLAIN),
    "a long PUT": (put(name_of(LONG), LONG), PLAIN, PLAIN),
    "a long PUT, then GETs": (put(name_of(LONG), LONG) + PLAIN + get(OTHER), PLAIN, PLAIN),
    "a long PUT, and the head of the next": (put(name_of(LONG), LONG) + PLAIN[:-4], PLAIN[-4:], PLAIN),
    "a long wrong PUT, then GETs": (put(ABSENT, LONG) + PLAIN + get(OTHER), PLAIN, PLAIN),
    "chunks": (chunked(HAS), PLAIN, PLAIN),
    "chunks, cut before the end": (chunked(HAS, end=b""), b"0\r\n\r\n", PLAIN),
    "chunks, cut in the end": (chunked(HAS, end=b"0\r\n"), b"\r\n", PLAIN),
    "a chunk that ends like a head": (chunked(b" \r\n\r\n", end=b""), PLAIN, PLAIN),
    "a chunk that is a GET": (chunked(end=b"%x\r\n" % len(PLAIN)), PLAIN, b"\r\n0\r\n\r\n", PLAIN),
    "a trailer that is a GET": (chunked(HAS, end=b"0\r\n"), PLAIN, PLAIN),
    "a trailer": (chunked(HAS, end=b"0\r\nX: y\r\n\r\n"), PLAIN, PLAIN),
    "chunks of an absent one": (chunked(HAS, end=b"", path="x"), PLAIN, PLAIN),
}

AGREED = {
    **{f"upgrade to {other}": (upgrade(other), PLAIN, PLAIN) for other in UPGRADES},
    **{f"upgrade to {other}, and a GET": (upgrade(other) + PLAIN, PLAIN) for other in UPGRADES},
    "upgrade and a part": (upgrade("websocket") + PLAIN[:20], PLAIN[20:], PLAIN),
    "upgrade, then a part": (upgrade("websocket"), PLAIN[:20], PLAIN[20:], PLAIN),
    "CONNECT": (asking(HOST, line="CONNECT t:80 HTTP/1.1"), PLAIN, PLAIN),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", PLAIN),
    "no version": (PLAIN.replace(b" HTTP/1.1", b""), PLAIN),
    "two spaces": (PLAIN.replace(b" HTTP", b"  HTTP"), PLAIN),
    "to be closed": (asking(HOST, "Connection: close"), PLAIN),
    "HTTP/1.0": (asking(HOST, line=f"GET /{NAME} HTTP/1.0"), PLAIN),
    "HTTP/1.0 kept alive": (asking("Connection: keep-alive", line=f"GET /{NAME} HTTP/1.0"), PLAIN, PLAIN),
    "expected": (asking(HOST, LENGTH, "Expect: 100-continue"), PLAIN, PLAIN),
    "expected by PUT": (put(NAME, BODY, "Expect: 100-continue")[: -len(BODY)], PLAIN),
}  # fmt: skip

MALFORMED = {
    "folded": asking(HOST, "Accept: a", " b"),
    "folded with a tab": asking(HOST, "Accept: a", "\tb"),
    "folded at the start": asking(" Accept: a", HOST),
    "line feeds only": PLAIN.replace(b"\r\n", b"\n"),
    "a line feed inside": asking(HOST, "Accept: a\nCookie: b"),
    "a carriage return inside": asking(HOST, "Accept: a\rb"),
    "NUL in a value": asking(HOST, "Accept: a\0"),
    "NUL in a name": asking(HOST, "Acc\0ept: a"),
    "NUL in the path": PLAIN.replace(b"GET /", b"GET /\0"),
    "space after a name": asking("Host : t"),
    "space before a name": asking(HOST, " Accept: a"),
    "no colon": asking(HOST, "Accept"),
    "no name": asking(HOST, ": a"),
    "non-ASCII in a name": asking(HOST, "Acc\xe9pt: a"),
    "length and chunks": asking(HOST, "Content-Length: 5", "Transfer-Encoding: chunked"),
    "two lengths": asking(HOST, "Content-Length: 5", "Content-Length: 6"),
    "two codings": asking(HOST, "Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
    "no number": asking(HOST, "Content-Length: +5"),
    "a later version": PLAIN.replace(b"1.1", b"1.2"),
    "a long header": asking(HOST, "Accept: " + "x" * 9000),
    "many headers": asking(HOST, *["X: y"] * 200),
}


@pytest.mark.parametrize("segments", [*PARTIAL.values(), *BODIES.values(), *AGREED.values()],
                         ids=[*PARTIAL, *BODIES, *AGREED])  # fmt: skip
async def test_segments(twins: Twins, segments: tuple[bytes, ...]) -> None:
    """However requests are cut, and whatever their bodies look like, each gets its own answer, in order."""
    assert await same(twins, *segments)


@pytest.mark.parametrize("request_", MALFORMED.values(), ids=[*MALFORMED])
async def test_malformed(twins: Twins, request_: bytes) -> None:
    """What aiohttp refuses is refused, in its words, and nothing after it is answered."""
    answers = await same(twins, request_, PLAIN)
    assert status_of(answers) == 400 and answers.count(b"\r\nDate: now") == 1
    assert twins.answered == [PLAIN]  # the warm-up


async def test_fast_between(twins: Twins) -> None:
    """The fast way is taken again after requests of other kinds, with a body or without."""
    wires = [await (await Wire.to(twin)).watched(NAME) for twin in (twins.fast, twins.ordinary)]
    with_body = asking(HOST, LENGTH) + PLAIN
    for request in (PLAIN, with_body, PLAIN, chunked(HAS), PLAIN, b"\r\n\r\n" + PLAIN, PLAIN):
        fast, ordinary = [normal(await wire.ask(request)) for wire in wires]
        assert fast == ordinary
    assert twins.answered == [PLAIN] * 4


async def test_pipelined_past_the_queue(twins: Twins) -> None:
    """More requests at once than aiohttp takes, then more: all are answered, in order."""
    names = [await stored(twins.fast, bytes([number])) for number in range(100)]
    segments = [b"".join(map(get, names)), *map(get, names[::-1]), b"".join(map(get, names)) + PLAIN[:9]]
    for pause_s in (0.0, 0.003):
        wire = await (await Wire.to(twins.fast)).watched(NAME)
        await wire.send(*segments, PLAIN[9:], CLOSING, pause_s=pause_s)
        bodies = [body_of(await wire.answer()) for _ in range(302)]
        numbers = [*range(100), *range(100)[::-1], *range(100)]
        assert bodies == [*(bytes([number]) for number in numbers), BODY, b"OK"]
    assert twins.answered


async def test_two_at_once(twins: Twins, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that is handed over in the very moment after another one waits for its turn."""
    received = _Watched.data_received

    def in_lines(self: _Watched, data: bytes) -> None:
        for request in data.split(b"|"):
            received(self, request)

    monkeypatch.setattr(_Watched, "data_received", in_lines)
    wire = await (await Wire.to(twins.fast)).watched(NAME)
    await wire.send(get("healthcheck") + b"|" + PLAIN)
    assert [body_of(await wire.answer()) for _ in range(2)] == [b"OK", BODY]
    await wire.send(PLAIN + b"|" + get("healthcheck") + b"|" + PLAIN)
    assert [body_of(await wire.answer()) for _ in range(3)] == [BODY, b"OK", BODY]
    assert twins.answered == [PLAIN]


async def test_after_a_wait(twins: Twins) -> None:
    """While a request waits for its buffer, those after it wait too."""
    body = b"a promised buffer"
    wire = await (await Wire.to(twins.fast)).watched(NAME)
    promise = asking(HOST, "Content-Length: 0", line=f"PUT /promise/{name_of(body)} HTTP/1.1")
    assert status_of(await wire.ask(promise)) == 202
    await wire.send(get(name_of(body)), PLAIN, PLAIN, pause_s=0.1)
    assert not wire.received and not twins.answered
    await stored(twins.fast, body)
    assert [body_of(await wire.answer()) for _ in range(3)] == [body, BODY, BODY]


@pytest.mark.parametrize("extensions", [True, False], ids=["C", "Python"])
async def test_both_parsers(start_server: ServerFactory, directory: Path, extensions: bool) -> None:
    """With either of aiohttp's parsers, a GET cut anywhere is answered as a whole one is."""
    env = {} if extensions else {"AIOHTTP_NO_EXTENSIONS": "1"}
    server = await asyncio.to_thread(start_server, directory, "--writable", env=env)
    _, wire = await asyncio.get_running_loop().create_connection(Wire, "127.0.0.1", server.port)
    await wire.ask(put(NAME, BODY))
    first = normal(await wire.ask(PLAIN))
    for cut in (0, 0, 0, *range(0, len(PLAIN), 7), *range(len(PLAIN) - 5, len(PLAIN))):
        await wire.send(PLAIN[:cut], PLAIN[cut:], pause_s=0.01)
        assert normal(await wire.answer()) == first
    wire.transport.abort()
