"""Conditional requests and the headers of answers, over real HTTP."""

from __future__ import annotations

import base64
import hashlib
import time
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path

import pytest

from .conftest import Client

BODY = b"some buffer"
CHECKSUM = hashlib.sha3_256(BODY).hexdigest()
PATH = "/" + CHECKSUM
ETAG = f'"{CHECKSUM}"'
IMMUTABLE = "public, max-age=31536000, immutable"
OLD = "Sun, 06 Nov 1994 08:49:37 GMT"
FUTURE = "Fri, 01 Jan 2100 00:00:00 GMT"
OF_A_304 = ("ETag", "Cache-Control", "Vary", "Last-Modified", "Repr-Digest")


@pytest.fixture
async def holding(client: Client) -> Client:
    """A client of a server that holds BODY."""
    assert (await client.put(PATH, data=BODY)).status == 200
    return client


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (ETAG, 304),
        (f"W/{ETAG}", 304),
        ("*", 304),
        (f'"other", {ETAG}', 304),
        (f'W/"other",W/{ETAG} , "more"', 304),
        ('"a,b", ' + ETAG, 304),
        ('"other"', 200),
        (CHECKSUM, 200),
        (f'"{CHECKSUM.upper()}"', 200),
        (f'"{CHECKSUM}-zst"', 200),
        ('"*"', 200),
        ("nonsense", 200),
    ],
)
async def test_if_none_match(holding: Client, value: str, status: int) -> None:
    """What the client has already, by weak comparison, is not sent again."""
    for method in ("GET", "HEAD"):
        response = await holding.request(method, PATH, headers={"If-None-Match": value})
        assert response.status == status
        assert await response.read() == (BODY if (method, status) == ("GET", 200) else b"")


async def test_if_none_match_in_two_lines(holding: Client) -> None:
    """A list may be spread over several header lines."""
    headers = [("If-None-Match", '"other"'), ("If-None-Match", ETAG)]
    assert (await holding.get(PATH, headers=headers)).status == 304


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (ETAG, 200),
        ("*", 200),
        (f'"other", {ETAG}', 200),
        (f"W/{ETAG}", 412),
        ('"other"', 412),
        ("nonsense", 412),
    ],
)
async def test_if_match(holding: Client, value: str, status: int) -> None:
    """A client that wants one buffer only, by strong comparison, gets no other one."""
    assert (await holding.get(PATH, headers={"If-Match": value})).status == status
    assert (await holding.head(PATH, headers={"If-Match": value})).status == status


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("If-Modified-Since", OLD, 200),
        ("If-Modified-Since", FUTURE, 304),
        ("If-Modified-Since", "nonsense", 200),
        ("If-Modified-Since", "Sun, 99 Foo 1994 08:49:37 GMT", 200),
        ("If-Unmodified-Since", OLD, 412),
        ("If-Unmodified-Since", FUTURE, 200),
        ("If-Unmodified-Since", "nonsense", 200),
    ],
)
async def test_dates(holding: Client, header: str, value: str, status: int) -> None:
    """Dates are compared with when the buffer was stored; what is no date is ignored."""
    assert (await holding.get(PATH, headers={header: value})).status == status


async def test_own_date(holding: Client) -> None:
    """The Last-Modified date that was sent means: not modified since."""
    date = (await holding.get(PATH)).headers["Last-Modified"]
    assert (await holding.get(PATH, headers={"If-Modified-Since": date})).status == 304
    assert (await holding.get(PATH, headers={"If-Unmodified-Since": date})).status == 200
    earlier = formatdate(parsedate_to_datetime(date).timestamp() - 1, usegmt=True)
    assert (await holding.get(PATH, headers={"If-Modified-Since": earlier})).status == 200
    assert (await holding.get(PATH, headers={"If-Unmodified-Since": earlier})).status == 412


async def test_date_without_a_zone(holding: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest form of an HTTP date names no zone and means GMT, wherever the server stands."""
    date = parsedate_to_datetime((await holding.get(PATH)).headers["Last-Modified"])
    monkeypatch.setenv("TZ", "EST5")
    time.tzset()
    try:
        for hours, status in ((-1, 200), (0, 304), (1, 304)):
            text = time.asctime(time.gmtime(date.timestamp() + 3600 * hours))
            assert (await holding.get(PATH, headers={"If-Modified-Since": text})).status == status
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If-Match": ETAG, "If-Unmodified-Since": OLD}, 200),
        ({"If-Match": '"other"', "If-None-Match": ETAG}, 412),
        ({"If-Match": ETAG, "If-None-Match": ETAG}, 304),
        ({"If-None-Match": '"other"', "If-Modified-Since": FUTURE}, 200),
        ({"If-None-Match": ETAG, "If-Modified-Since": OLD}, 304),
        ({"If-None-Match": ETAG, "Range": "bytes=0-1"}, 304),
        ({"If-Match": '"other"', "Range": "bytes=99-"}, 412),
        ({"If-Match": ETAG, "Range": "bytes=0-1"}, 206),
    ],
)
async def test_precedence(holding: Client, headers: dict[str, str], status: int) -> None:
    """Conditions are judged in the order of RFC 9110 section 13.2.2, tags before dates."""
    assert (await holding.get(PATH, headers=headers)).status == status


@pytest.mark.parametrize(
    ("size", "headers", "status"),
    [(11, {}, 200), (11, {"Range": "bytes=0-2"}, 206), (200_000, {}, 200), (0, {}, 200),
     (200_000, {"Range": "bytes=9-199998"}, 206), (200_000, {"Range": "bytes=0-1,5-6"}, 206)],
)  # fmt: skip
async def test_headers_of_a_buffer(client: Client, size: int, headers: dict[str, str], status: int) -> None:
    """A buffer, or a part of it, comes with all that a cache, a browser and a checker want to know."""
    body = b"x" * size
    checksum = hashlib.sha3_256(body).hexdigest()
    await client.put(f"/{checksum}", data=body)
    response = await client.get(f"/{checksum}", headers=headers)
    sent = response.headers
    assert response.status == status
    assert sent["ETag"] == f'"{checksum}"'
    assert sent["Cache-Control"] == IMMUTABLE
    assert sent["Vary"] == "Accept-Encoding"
    assert sent["Accept-Ranges"] == "bytes"
    assert sent["X-Content-Type-Options"] == "nosniff"
    assert sent["Content-Disposition"] == f'attachment; filename="{checksum}"'
    assert "Content-Encoding" not in sent
    assert sent["Repr-Digest"] == f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
    assert len(await response.read()) == int(sent["Content-Length"])


async def test_last_modified(holding: Client) -> None:
    """Last-Modified is when the buffer was stored, and not in the future."""
    response = await holding.get(PATH)
    modified, now = (parsedate_to_datetime(response.headers[n]) for n in ("Last-Modified", "Date"))
    assert 0 <= (now - modified).total_seconds() < 60


@pytest.mark.parametrize("size", [0, 11, 200_000])
async def test_head_is_get_without_a_body(client: Client, size: int) -> None:
    """HEAD answers with the very headers of GET, for a small and for a big buffer."""
    body = b"x" * size
    path = "/" + hashlib.sha3_256(body).hexdigest()
    await client.put(path, data=body)
    got, head = await client.get(path), await client.head(path)
    assert head.status == 200 and await head.read() == b"" and await got.read() == body
    unequal = ("Date",)  # a second may have passed
    assert {k: v for k, v in head.headers.items() if k not in unequal} == {
        k: v for k, v in got.headers.items() if k not in unequal
    }


async def test_headers_of_a_304(holding: Client) -> None:
    """A 304 has the headers that a cache refreshes its entry by, as the 200 has them, and no body."""
    whole = await holding.get(PATH)
    response = await holding.get(PATH, headers={"If-None-Match": ETAG})
    assert response.status == 304 and await response.read() == b""
    assert [response.headers[name] for name in OF_A_304] == [whole.headers[name] for name in OF_A_304]
    assert "Content-Encoding" not in response.headers


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/" + "0" * 64, {}, 404),
        ("HEAD", "/" + "0" * 64, {}, 404),
        ("GET", "/nonsense", {}, 400),
        ("GET", PATH, {"If-Match": '"other"'}, 412),
        ("GET", PATH, {"Range": "bytes=99-"}, 416),
        ("GET", "/no/such/route", {}, 404),
        ("DELETE", PATH, {}, 403),
        ("PUT", PATH, {"Content-Encoding": "br"}, 415),
    ],
)
async def test_errors_are_not_kept(
    holding: Client, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    """An error is never said to be immutable, nor sent with a buffer's ETag or digest."""
    response = await holding.request(method, path, headers=headers)
    assert response.status == status
    assert response.headers["Cache-Control"] == "no-store"
    assert not {"ETag", "Repr-Digest", "Last-Modified"} & set(response.headers)
    assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_corrupt_buffer_is_not_kept(client: Client, directory: Path) -> None:
    """The answer to a corrupt buffer is an error as any other: nothing of it may be kept."""
    (directory / CHECKSUM[:2]).mkdir()
    (directory / CHECKSUM[:2] / CHECKSUM).write_bytes(b"other bytes")
    response = await client.get(PATH)
    assert response.status == 400
    assert response.headers["Cache-Control"] == "no-store"
    assert not {"ETag", "Repr-Digest", "Last-Modified"} & set(response.headers)
    assert str(directory) not in await response.text()
