"""Any sequence of requests on one connection, cut anyhow, is answered as without the fast path."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from .conftest import Client, ClientFactory
from .fast import count_answers, name_of, stored, without_fast_path
from .wire import conversation, get, put

BODIES = (b"", b"x", b"some buffer", b"\r\n\r\n", bytes(1023), bytes(65_536), bytes(65_537))
NAMES = tuple(map(name_of, BODIES))
NEW = tuple(b"new %d\r\n\r\n" % number for number in range(4))
PACKED = b"packed" * 100
PLAIN = get(NAMES[2])
ABSENT = "0" * 64

_MODIFIED = re.compile(rb"Last-Modified: [^\r]+")


@dataclass(frozen=True)
class Twins:
    """Two servers that are told the same; only one has a fast path."""

    fast: Client
    ordinary: Client
    answered: list[bytes]


@pytest.fixture
async def twins(
    client: Client, start_client: ClientFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Twins:
    """Servers of two directories, which hold the same buffers at first."""
    other = tmp_path / "other"
    other.mkdir()
    ordinary = without_fast_path(await start_client(directory=other), monkeypatch)
    for server in (client, ordinary):
        for body in BODIES:
            await stored(server, body)
        packed = gzip.compress(PACKED, mtime=0)
        await stored(server, packed, "Content-Encoding: gzip", name=name_of(PACKED))
    return Twins(client, ordinary, count_answers(monkeypatch))


def posted(names: list[str], chunked: bool) -> bytes:
    """Ask with a JSON list which buffers are held."""
    body = ("[" + ",".join(f'"{name}"' for name in names) + "]\r\n\r\n").encode()
    if chunked:
        head = b"POST /has HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
        return head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    return b"POST /has HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def with_body(name: str, body: bytes) -> bytes:
    """Ask for a buffer with a body that nobody reads."""
    return get(name, f"Content-Length: {len(body)}") + body


ACCEPTED = "Accept-Encoding: gzip"
VARIANTS = (
    *((), (), (), ("Connection: keep-alive",), (ACCEPTED,), ("Accept-Encoding: zstd, gzip;q=0.5",)),
    *(("Cookie: a=b",), ("Authorization: x",), ("Range: bytes=0-1",), ("Range: bytes=-3",)),
    *((f'If-None-Match: "{NAMES[2]}"',), ('If-None-Match: "x"',), ("If-Match: *",), ("X: y",)),
    *(("Expect: 100-continue",), ("Accept: " + "x" * 2500,), ("Connection: Upgrade", "Upgrade: websocket")),
)
NAME = st.sampled_from((*NAMES, ABSENT, NAMES[2].upper(), "healthcheck", "x", name_of(PACKED)))
ANY_NAME = st.one_of(NAME, st.sampled_from(tuple(map(name_of, NEW))))
LOOKALIKE = st.sampled_from((PLAIN, PLAIN * 2, b"\r\n\r\n", PLAIN[:-1], b"0\r\n\r\n"))

REQUEST = st.one_of(
    st.just(PLAIN),
    st.builds(get, st.sampled_from(NAMES)),
    st.builds(lambda name, headers: get(name, *headers), ANY_NAME, st.sampled_from(VARIANTS)),
    st.builds(lambda name: get(name).replace(b"GET", b"HEAD"), ANY_NAME),
    st.builds(with_body, NAME, LOOKALIKE),
    st.builds(lambda body: put(name_of(body), body), st.sampled_from((*NEW, *BODIES))),
    st.builds(lambda body: put(ABSENT, body), LOOKALIKE),
    st.builds(posted, st.lists(st.sampled_from((*NAMES, ABSENT)), max_size=3), st.booleans()),
    st.just(get(NAMES[2], "Connection: keep-alive").replace(b"1.1", b"1.0")),
)


@st.composite
def cut(draw: st.DrawFn) -> list[bytes]:
    """Draw requests, cut where one ends, just before or after that, or anywhere, or not at all."""
    requests = draw(st.lists(REQUEST, min_size=1, max_size=8))
    stream, edge = b"".join(requests), 0
    cuts: set[int] = set()
    for request in requests:
        edge += len(request)
        if draw(st.integers(0, 9)) > 1:  # else it goes with the next one, or with its beginning
            cuts.add(edge)
        if draw(st.integers(0, 3)) == 0:
            head_end = edge - len(request) + request.index(b"\r\n\r\n") + 4
            near = st.sampled_from([head_end + by for by in (-4, -3, -2, -1, 0, 1, 2)])
            cuts.add(draw(st.one_of(near, st.integers(edge - len(request), edge))))
    edges = sorted(cuts | {0, len(stream)})
    return [stream[a:b] for a, b in itertools.pairwise(edges)]


@settings(
    max_examples=120,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # what was stored is stored in both
)
@given(segments=cut(), warm=st.booleans(), pause_s=st.sampled_from([0.0, 0.004, 0.004]))
async def test_sequences(twins: Twins, segments: list[bytes], warm: bool, pause_s: float) -> None:
    """Response for response, and in order, the connection reads as if there were no fast path."""
    note(repr([segment[:200] for segment in segments]))
    twins.answered.clear()
    fast, ordinary = await asyncio.gather(
        *(
            conversation(server, segments, NAMES[2] if warm else "", pause_s=pause_s)
            for server in (twins.fast, twins.ordinary)
        )
    )
    assert _MODIFIED.sub(b"", fast) == _MODIFIED.sub(b"", ordinary)
    assert twins.answered or not warm
