"""Which requests the fast path takes, and that aiohttp gets all the others."""

from __future__ import annotations

import pytest

from hashserver_aio.server.fast_path import MAX_HEAD_BYTES

from .conftest import Client, ClientFactory
from .fast import count_answers, name_of, ordinary_answer, stored, without_fast_path
from .wire import Wire, body_of, get, normal

BODY = b"some buffer"
NAME = name_of(BODY)
ABSENT = "0" * 64
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"
FUTURE = "Fri, 01 Jan 2100 00:00:00 GMT"


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The requests that the fast path answered."""
    return count_answers(monkeypatch)


PLAIN = [
    (),
    ("Connection: keep-alive",),
    ("connection:Keep-Alive  ",),
    ("Accept: */*", f"User-Agent: {AGENT}", "Accept-Language: de,en;q=0.5", "Origin: null"),
    ("ACCEPT-ENCODING:", "Accept-Language: \t"),
    ("Accept-Encoding: br",),
    ("Accept: " + "x" * 1900,),
    ("Authorization: Basic eDp5", "X-API-KEY: of no use here"),
]

OTHERS = [
    *(("Accept: a", "Accept: b"), ("Accept-Encoding: br", "Accept-Encoding: gzip")),
    *(("Cookie: a=b",), ("X-API-KEY: a", "X-API-Key: a"), ("Range: bytes=0-1",), ("Range: bytes=99-",)),
    *((f'If-None-Match: "{NAME}"',), ('If-Match: "x"',), (f"If-Modified-Since: {FUTURE}",)),
    *(("Cache-Control: no-cache",), ("Content-Length: 0",), ("X-Forwarded-For: 1.2.3.4",), ("TE: trailers",)),
    *(("Upgrade: h2c",), ("Connection: Upgrade", "Upgrade: websocket")),
    *(("Connection: keep-alive, x",), ("Accept: \xe9",), ("Accept: a\tb",)),
    *(("Accept: " + "x" * 2100,), ("Want-Repr-Digest: sha-256=1",), ("X-Y: z",)),
]  # fmt: skip


@pytest.mark.parametrize("headers", [*PLAIN, *OTHERS], ids=str)
async def test_headers(
    client: Client,
    start_client: ClientFactory,
    monkeypatch: pytest.MonkeyPatch,
    headers: tuple[str, ...],
    answered: list[bytes],
) -> None:
    """Only headers that change nothing are overlooked; whatever there is, the answer is the ordinary one."""
    wire = await (await Wire.to(client)).watched(await stored(client, BODY))
    request = get(NAME, *headers)
    answers = {normal(await wire.ask(request)) for _ in range(3)}
    assert answers == {await ordinary_answer(start_client, monkeypatch, request)}
    assert len(answered) == (3 if headers in PLAIN else 0)


REQUESTS = [
    *(get(NAME.upper()), get(ABSENT), get(NAME[1:]), get(f"{NAME}0"), get(f"{NAME}?x=1"), get(f"/{NAME}")),
    *(get(f"{NAME}.gz"), get(f"%{ord(NAME[0]):x}{NAME[1:]}"), get("healthcheck"), get("has"), get("x" * 64)),
    *(get(NAME).replace(b"1.1", b"1.0"), get(NAME).replace(b"GET", b"POST"), b"\r\n" + get(NAME)),
    *(get(NAME).replace(b"GET", b"OPTIONS"), get(NAME).replace(b" /", b" http://t/"), get(f"{NAME[:-2]}%0")),
    *(get(NAME, "User-Agent: \x7f"), get(NAME, "Accept : a"), get(NAME, "Accept: a", " b")),
    get(NAME, "Accept"),
    *(get(NAME + "\u00e9"), get(NAME).replace(b"GET", b"get"), get(NAME).replace(b"HTTP/", b"HTTQ/")),
]  # fmt: skip


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: ascii(request[:24] + request[-60:]))
async def test_other_requests(
    client: Client, monkeypatch: pytest.MonkeyPatch, request_: bytes, answered: list[bytes]
) -> None:
    """What is no plain GET of a name is answered by nobody but aiohttp."""
    name = await stored(client, BODY)
    wire = await (await Wire.to(client)).watched(name)
    await wire.send(request_)
    one = normal(await wire.answer())
    assert answered == []
    wire = await Wire.to(without_fast_path(client, monkeypatch))
    await wire.send(request_)
    assert one == normal(await wire.answer())


async def test_bigger_head(client: Client, answered: list[bytes]) -> None:
    """A head is recognised up to its bound, and not one byte beyond."""
    name = await stored(client, BODY)
    wire = await (await Wire.to(client)).watched(name)
    bare = len(get(name, "Accept: "))
    for length, fast in ((MAX_HEAD_BYTES, 1), (MAX_HEAD_BYTES + 1, 0)):
        answered.clear()
        request = get(name, "Accept: " + "x" * (length - bare))
        assert len(request) == length
        assert body_of(await wire.ask(request)) == BODY
        assert len(answered) == fast
