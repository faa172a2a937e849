"""Range requests, over real HTTP: what is sent equals a slice of the buffer."""

from __future__ import annotations

import email
import hashlib
import random
from dataclasses import dataclass

import pytest
from aiohttp import ClientResponse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hashserver_aio.server.ranges import MAX_RANGES, ByteRange, Unsatisfiable, parse_ranges

from .conftest import Client

KIB64 = 64 * 1024
SIZES = (0, 1, 2, KIB64 - 1, KIB64, KIB64 + 1, 300_000)
"""On both sides of where a buffer stops being sent in one write and is sent by the kernel."""

MALFORMED = (
    *("", "bytes", "bytes=", "bytes=,", "bytes=-", "bytes=a-b", "bytes=1", "bytes=5-2", "bytes=--3"),
    *("bytes=1-2-3", "bytes=0x0-0x3", "bytes=+1-2", "bytes=1.0-2", "bytes=0-1;2-3", "items=0-1", "0-1"),
    *("bytes=0-1,5-2", "bytes=0-1,x", "bytes 0-1", "bytes=- 3", "bytes=0 -1"),
)


@dataclass(frozen=True)
class Spec:
    """One range as it is asked for; None where it is left open."""

    first: int | None
    last: int | None

    def __str__(self) -> str:
        return "-".join("" if end is None else str(end) for end in (self.first, self.last))

    def slice(self, body: bytes) -> tuple[int, bytes]:
        """Cut it from a body: where it begins, and what it is."""
        if self.first is None:
            begin = max(0, len(body) - (self.last or 0))
            return begin, body[begin:]
        return self.first, body[self.first : None if self.last is None else self.last + 1]


def body_of(size: int) -> bytes:
    """Make a body of some size, the same one every time."""
    return random.Random(size).randbytes(size)


def path_of(body: bytes) -> str:
    """Name a body's path on a server."""
    return "/" + hashlib.sha3_256(body).hexdigest()


async def stored(client: Client, size: int) -> tuple[str, bytes]:
    """Store a body of some size; its path and the body."""
    body = body_of(size)
    assert (await client.put(path_of(body), data=body)).status in (200, 201)
    return path_of(body), body


async def get(client: Client, path: str, value: str, **headers: str) -> tuple[ClientResponse, bytes]:
    """Ask for ranges; the response and its body."""
    response = await client.get(path, headers={"Range": value} | headers)
    return response, await response.read()


def content_range(begin: int, part: bytes, size: int) -> str:
    """Word the Content-Range of a slice."""
    return f"bytes {begin}-{begin + len(part) - 1}/{size}"


def parts_of(response: ClientResponse, content: bytes) -> list[tuple[str | None, str | None, bytes]]:
    """Read a multipart/byteranges body with the standard library: types, ranges, and bytes."""
    head = f"Content-Type: {response.headers['Content-Type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + content)
    assert message.get_content_type() == "multipart/byteranges" and not message.defects
    found = []
    for part in message.walk():
        if not part.is_multipart():
            payload = part.get_payload(decode=True)
            assert isinstance(payload, bytes)
            found.append((part["Content-Type"], part["Content-Range"], payload))
    return found


def test_units() -> None:
    """Ranges are cut to the size; what lies beyond it is left out."""
    assert parse_ranges("bytes=0-4", 10) == [ByteRange(0, 5)]
    assert parse_ranges("bytes=8-99", 10) == [ByteRange(8, 2)]
    assert parse_ranges("bytes=-3", 10) == [ByteRange(7, 3)]
    assert parse_ranges("bytes=-99", 10) == [ByteRange(0, 10)]
    assert parse_ranges("Bytes=3-", 10) == [ByteRange(3, 7)]
    assert parse_ranges("bytes=, 0-0 ,\t-1,", 10) == [ByteRange(0, 1), ByteRange(9, 1)]
    assert parse_ranges("bytes=0-0,10-20", 10) == [ByteRange(0, 1)]
    assert ByteRange(0, 1).content_range(10) == "bytes 0-0/10"


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-20,11-", "bytes=-0", "bytes=99999999999-"])
def test_unsatisfiable(header: str) -> None:
    """A set of ranges none of which touches the buffer can't be satisfied."""
    with pytest.raises(Unsatisfiable):
        parse_ranges(header, 10)


@pytest.mark.parametrize("header", [*MALFORMED, "bytes=\u0660-\u0663"])
def test_malformed(header: str) -> None:
    """A header that is no set of byte ranges means the whole."""
    assert parse_ranges(header, 10) is None


def near(*places: int) -> st.SearchStrategy[int]:
    """Draw numbers around some places."""
    return st.one_of([st.integers(max(0, place - 3), place + 3) for place in places])


@st.composite
def cases(draw: st.DrawFn) -> tuple[int, list[Spec]]:
    """Draw a size and ranges that may lie inside, at the edges, outside, or backwards."""
    size = draw(st.sampled_from(SIZES))
    position = st.one_of(near(0, KIB64, size), st.integers(0, size + 10), st.just(10**18))
    spec = st.one_of(
        st.builds(Spec, position, position),
        st.builds(Spec, position, st.none()),
        st.builds(Spec, st.none(), position),
    )
    return size, draw(st.lists(spec, min_size=1, max_size=5))


@settings(
    max_examples=150,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # what is stored stays the same
)
@given(case=cases(), separator=st.sampled_from([",", ", ", " ,\t"]))
async def test_ranges_equal_slicing(client: Client, case: tuple[int, list[Spec]], separator: str) -> None:
    """Whatever ranges are asked for, what comes back is what slicing the buffer gives."""
    size, specs = case
    path, body = await stored(client, size)
    response, content = await get(client, path, "bytes=" + separator.join(map(str, specs)))
    slices = [(begin, part) for begin, part in (spec.slice(body) for spec in specs) if part]
    backwards = any(s.first is not None and s.last is not None and s.last < s.first for s in specs)
    if backwards or sum(len(part) for _, part in slices) > size:
        assert (response.status, content) == (200, body)
        assert "Content-Range" not in response.headers
    elif not slices:
        assert (response.status, content) == (416, b"")
        assert response.headers["Content-Range"] == f"bytes */{size}"
    elif len(slices) == 1:
        assert (response.status, content) == (206, slices[0][1])
        assert response.headers["Content-Range"] == content_range(*slices[0], size)
    else:
        assert response.status == 206
        expected = [("application/octet-stream", content_range(*s, size), s[1]) for s in slices]
        assert parts_of(response, content) == expected


async def test_many_parts_by_sendfile(client: Client) -> None:
    """Parts that are too big for one write come in order and whole, and the connection lives on."""
    path, body = await stored(client, 1_000_000)
    response, content = await get(client, path, "bytes=600000-899999,-1,0-99999,200000-200001")
    assert response.status == 206 and int(response.headers["Content-Length"]) == len(content)
    wanted = [(600_000, 900_000), (999_999, 1_000_000), (0, 100_000), (200_000, 200_002)]
    assert [part for _, _, part in parts_of(response, content)] == [body[a:b] for a, b in wanted]
    assert (await get(client, path, "bytes=7-9"))[1] == body[7:10]


@pytest.mark.parametrize("header", [header for header in MALFORMED if header])
async def test_malformed_is_ignored(client: Client, header: str) -> None:
    """A malformed Range is ignored, as RFC 9110 demands: 200 and the whole."""
    path, body = await stored(client, 100)
    response, content = await get(client, path, header)
    assert (response.status, content) == (200, body)


async def test_number_of_ranges_is_capped(client: Client) -> None:
    """64 ranges are answered; one more, and the answer is the whole."""
    path, body = await stored(client, 10_000)
    some = ",".join(f"{n * 10}-{n * 10 + 1}" for n in range(MAX_RANGES))
    response, content = await get(client, path, f"bytes={some}")
    assert response.status == 206 and len(parts_of(response, content)) == MAX_RANGES
    response, content = await get(client, path, f"bytes={some},9000-9001")
    assert (response.status, content) == (200, body)


@pytest.mark.parametrize("header", ["bytes=0-,0-", "bytes=0-99,-51,0-0", "bytes=" + ",".join(["0-"] * 50)])
async def test_no_request_gets_more_than_the_whole(client: Client, header: str) -> None:
    """Ranges that overlap until they are more than the buffer are answered with the buffer."""
    path, body = await stored(client, 100)
    response, content = await get(client, path, header)
    assert (response.status, content) == (200, body)


async def test_if_range_by_etag(client: Client) -> None:
    """A part is sent only if the client's rest is of the same buffer, by strong comparison."""
    path, body = await stored(client, 1000)
    etag = (await client.get(path)).headers["ETag"]
    assert (await get(client, path, "bytes=5-9", **{"If-Range": etag}))[1] == body[5:10]
    for other in (f"W/{etag}", '"other"', etag.strip('"'), "*", f'{etag}, "other"'):
        response, content = await get(client, path, "bytes=5-9", **{"If-Range": other})
        assert (response.status, content) == (200, body)


async def test_if_range_by_date(client: Client) -> None:
    """The very Last-Modified date counts too; an earlier or a later one does not."""
    path, body = await stored(client, 1000)
    date = (await client.get(path)).headers["Last-Modified"]
    assert (await get(client, path, "bytes=5-9", **{"If-Range": date}))[0].status == 206
    for other in ("Sun, 06 Nov 1994 08:49:37 GMT", "Fri, 01 Jan 2100 00:00:00 GMT", "nonsense"):
        response, content = await get(client, path, "bytes=5-9", **{"If-Range": other})
        assert (response.status, content) == (200, body)


async def test_if_range_before_416(client: Client) -> None:
    """If-Range that does not hold means the whole, also where the range lies outside."""
    path, body = await stored(client, 10)
    response, content = await get(client, path, "bytes=50-", **{"If-Range": '"other"'})
    assert (response.status, content) == (200, body)


@pytest.mark.parametrize("size", [10, 300_000])
@pytest.mark.parametrize("header", ["bytes=1-2", "bytes=1-2,4-5", "bytes=400000-", "bytes=9-1"])
async def test_head_ignores_range(client: Client, size: int, header: str) -> None:
    """HEAD tells of the whole, whatever Range says: that header is defined for GET only."""
    path, _ = await stored(client, size)
    response = await client.head(path, headers={"Range": header})
    assert (response.status, response.headers["Content-Length"]) == (200, str(size))
    assert "Content-Range" not in response.headers
