"""The fast path gives the answers of the ordinary way, and is taken where it may be."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from backports import zstd

from hashserver_aio.checksums import Algorithm
from hashserver_aio.server import watched
from hashserver_aio.settings import Layout

from .conftest import Client, ClientFactory, ServerFactory
from .fast import count_answers, name_of, ordinary_answer, stored
from .peers import until
from .wire import Wire, body_of, get, normal, status_of

BODY = b"some buffer"
NAME = name_of(BODY)
LONG = BODY * 50
SENT = {"": LONG, ".gz": gzip.compress(LONG), ".zst": zstd.compress(LONG)}
SIZES = (0, 1, 1023, 65_536, 65_537)


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The requests that the fast path answered."""
    return count_answers(monkeypatch)


@pytest.mark.parametrize("size", SIZES)
async def test_sizes(client: Client, size: int, answered: list[bytes]) -> None:
    """Whatever its size, a buffer is sent the fast way as it was the first time, byte for byte."""
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    name, wire = await stored(client, body), await Wire.to(client)
    answers = [normal(await wire.ask(get(name))) for _ in range(5)]
    assert len(set(answers)) == 1
    assert status_of(answers[0]) == 200 and body_of(answers[0]) == body
    assert len(answered) == 3


KINDS: list[dict[str, Any]] = [
    {},
    {"algorithm": Algorithm.SHA_256},
    {"layout": Layout.FLAT},
    {"fsync": False, "cors_origins": ("https://a.example",)},
]


@pytest.mark.parametrize("settings", KINDS, ids=str)
async def test_kinds_of_stores(
    start_client: ClientFactory,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any],
    answered: list[bytes],
) -> None:
    """In every kind of store the fast answer is the ordinary one, with its digests and dates."""
    client = await start_client(**settings)
    algorithm = "sha256" if settings.get("algorithm") else "sha3_256"
    name = await stored(client, BODY, name=hashlib.new(algorithm, BODY).hexdigest())
    request = get(name, "Origin: https://a.example")
    wire = await Wire.to(client)
    answers = {normal(await wire.ask(request)) for _ in range(3)}
    assert answers == {await ordinary_answer(start_client, monkeypatch, request, **settings)}
    assert len(answered) == 1


@pytest.mark.parametrize("writable", [True, False])
async def test_extra_directory(
    start_client: ClientFactory, tmp_path: Path, writable: bool, answered: list[bytes]
) -> None:
    """What an extra directory holds is sent the fast way too, also by a server that only reads."""
    extra = tmp_path / "extra"
    extra.mkdir()
    name = await stored(await start_client(directory=extra), BODY)
    client = await start_client(extra_dirs=(extra,), writable=writable)
    wire = await Wire.to(client)
    first = normal(await wire.ask(get(name)))
    # Hashed by this server for the first time, and not remembered before it is a second old.
    await until(lambda: _is_fast(wire, name, first, answered), 5)


async def _is_fast(wire: Wire, name: str, first: bytes, answered: list[bytes]) -> bool:
    assert normal(await wire.ask(get(name))) == first
    return bool(answered)


FORMS = [
    ("", ""),
    ("gzip", ".gz"),
    ("zstd", ".zst"),
    ("gzip, zstd", ".zst"),
    ("gzip;q=1, zstd;q=0.5", ".gz"),
    ("identity, gzip;q=0.5", ""),
    ("gzip;q=0, *", ".zst"),
    ("br", ""),
    ("GZIP", ".gz"),
    ("x-gzip\t", ".gz"),
]


@pytest.fixture
async def holding_all(client: Client, directory: Path) -> Client:
    """A client of a server that holds LONG in all its forms."""
    for coding, ending in (("gzip", ".gz"), ("zstd", ".zst"), ("identity", "")):
        await stored(client, SENT[ending], f"Content-Encoding: {coding}", name=name_of(LONG))
    folder = directory / name_of(LONG)[:2]
    assert {*SENT} <= {os.path.splitext(name)[1] for name in os.listdir(folder)}
    return client


@pytest.mark.parametrize(("accepted", "form"), FORMS)
async def test_forms(
    holding_all: Client,
    start_client: ClientFactory,
    monkeypatch: pytest.MonkeyPatch,
    accepted: str,
    form: str,
    answered: list[bytes],
) -> None:
    """Each client gets the form that it prefers among those held, also between others' requests."""
    request = get(name_of(LONG), f"Accept-Encoding: {accepted}")
    others = [get(name_of(LONG), f"Accept-Encoding: {coding}") for coding in ("identity", "gzip", "zstd")]
    wire = await Wire.to(holding_all)
    for other in others:
        await wire.ask(other)
    answers = set()
    for other in others:
        answers.add(normal(await wire.ask(request)))
        await wire.ask(other)
    assert len(answered) >= 6
    assert answers == {await ordinary_answer(start_client, monkeypatch, request)}
    assert {body_of(answer) for answer in answers} == {SENT[form]}


async def test_decompressed(client: Client, answered: list[bytes]) -> None:
    """What has to be decompressed takes the ordinary way; the form that is held the fast one."""
    name = await stored(client, SENT[".gz"], "Content-Encoding: gzip", name=name_of(LONG))
    wire = await (await Wire.to(client)).watched(await stored(client, BODY))
    for _ in range(3):
        assert body_of(await wire.ask(get(name))) == LONG
    assert answered == []
    await asyncio.sleep(0.1)  # until aiohttp waits for the next request
    assert body_of(await wire.ask(get(name, "Accept-Encoding: gzip"))) == SENT[".gz"]
    assert len(answered) == 1


async def test_second_is_ordinary(client: Client, answered: list[bytes]) -> None:
    """The first answer makes the connection watched, of each connection on its own."""
    name = await stored(client, BODY)
    for connections in (1, 2, 3):
        wire = await (await Wire.to(client)).watched(name)
        assert len(answered) == connections - 1
        await wire.ask(get(name))
        assert len(answered) == connections


async def test_without_private_names(
    client: Client, monkeypatch: pytest.MonkeyPatch, answered: list[bytes]
) -> None:
    """With an aiohttp that lacks what the fast path needs of it, nothing but the way changes."""
    monkeypatch.setattr(watched, "IS_SUPPORTED", False)
    name, wire = await stored(client, BODY), await Wire.to(client)
    answers = {normal(await wire.ask(get(name))) for _ in range(4)}
    assert answered == [] and {body_of(answer) for answer in answers} == {BODY}
    monkeypatch.setattr(watched, "IS_SUPPORTED", True)
    answers |= {normal(await wire.ask(get(name))) for _ in range(4)}
    assert len(answers) == 1 and len(answered) == 2


def test_private_names() -> None:
    """The aiohttp that these tests run with has the names that the fast path needs."""
    assert watched.IS_SUPPORTED


def test_access_log(start_server: ServerFactory, directory: Path) -> None:
    """With an access log each request is in it."""
    server = start_server(directory, "--writable", "--access-log")
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=10)) as connection:
        connection.request("PUT", f"/{NAME}", BODY)
        connection.getresponse().read()
        for _ in range(5):
            connection.request("GET", f"/{NAME}")
            assert connection.getresponse().read() == BODY
    assert server.stop() == 0
    assert sum(f"GET /{NAME} 200" in line for line in server.lines) == 5
