"""The fast path for the axon face: whole buffers, and that a buffer is held, word for word as ever."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from .axon import ABSENT, API, sha256
from .conftest import Client, ClientFactory
from .fast import Clock, count_answers, name_of, ordinary_answer, path_of, stored
from .wire import Wire, body_of, normal, status_of

BODIES = [b"", b"small", b"x" * 65_536, b"y" * 300_000]


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What the fast path answers."""
    return count_answers(monkeypatch)


def get(path: str, *headers: str) -> bytes:
    """Word a GET of a path of the axon's."""
    return "\r\n".join([f"GET {API}/files/{path} HTTP/1.1", "Host: t", *headers, "", ""]).encode()


@pytest.mark.parametrize("headers", [(), ("Accept-Encoding: gzip, zstd", "User-Agent: x")])
@pytest.mark.parametrize("path", ["by", "has"])
@pytest.mark.parametrize("body", BODIES, ids=len)
async def test_same_answer(
    client: Client, start_client: ClientFactory, monkeypatch: pytest.MonkeyPatch, answered: list[bytes],
    body: bytes, path: str, headers: tuple[str, ...],
) -> None:  # fmt: skip
    """A buffer, and that it is held, are answered to the byte as the ordinary way answers them."""
    await stored(client, body)
    request = get(f"{path}/sha256/{sha256(body)}", *headers)
    wire = await Wire.to(client)
    answers = [normal(await wire.ask(request)) for _ in range(4)]
    assert answered == [request] * 2
    assert answers == [await ordinary_answer(start_client, monkeypatch, request)] * 4
    assert body_of(answers[0]) == (body if path == "by" else b'{"status":"ok","result":true}')
    wire.transport.abort()


@pytest.mark.parametrize("name", [ABSENT, ABSENT.upper(), "foo", "a/" * 32])
@pytest.mark.parametrize("path", ["by", "has"])
async def test_left_to_the_ordinary_way(
    client: Client, start_client: ClientFactory, monkeypatch: pytest.MonkeyPatch, answered: list[bytes],
    path: str, name: str,
) -> None:  # fmt: skip
    """What is absent, or no name, is not answered here, nor remembered."""
    await stored(client, b"small")
    wire = await Wire.to(client)
    await wire.ask(get(f"by/sha256/{sha256(b'small')}"))
    request = get(f"{path}/sha256/{name}")
    answer = normal(await wire.ask(request))
    assert answered == [] and not path_of(client)._answers
    assert answer == await ordinary_answer(start_client, monkeypatch, request)
    wire.transport.abort()


async def test_plain_bytes(client: Client, answered: list[bytes]) -> None:
    """Of a buffer that is held compressed the plain bytes are sent, hot or not."""
    body = b"compressed" * 1000
    await stored(client, gzip.compress(body), "Content-Encoding: gzip", name=name_of(body))
    wire = await Wire.to(client)
    for _ in range(3):
        answer = await wire.ask(get(f"by/sha256/{sha256(body)}", "Accept-Encoding: gzip"))
        assert body_of(answer) == body
    assert answered == []
    wire.transport.abort()


async def test_forgotten(start_client: ClientFactory, directory: Path, answered: list[bytes]) -> None:
    """A buffer that was deleted, by whichever face, is not answered from memory any more."""
    client = await start_client(allow_delete=True)
    wire = await Wire.to(client)
    paths = [f"{path}/sha256/{sha256(b'small')}" for path in ("by", "has")]
    for delete in (f"/{name_of(b'small')}", f"{API}/files/by/sha256/{sha256(b'small')}"):
        await stored(client, b"small")
        for _ in range(2):
            assert [status_of(await wire.ask(get(path))) for path in paths] == [200, 200]
        assert (await client.delete(delete)).status == 200
        assert status_of(await wire.ask(get(paths[0]))) == 404
        assert body_of(await wire.ask(get(paths[1]))) == b'{"status":"ok","result":false}'
    assert not path_of(client)._answers and not path_of(client)._keys and answered
    wire.transport.abort()


async def test_removed(
    client: Client, directory: Path, answered: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A buffer that another program removed is said to be held for a second more at most."""
    clock, name = Clock(monkeypatch), await stored(client, b"small")
    wire = await Wire.to(client)
    request = get(f"has/sha256/{sha256(b'small')}")
    for _ in range(4):
        assert b"true" in await wire.ask(request)
    remove(directory / name[:2] / name)
    clock.ahead_s += 1.1
    assert b"false" in await wire.ask(request)
    assert len(answered) == 2
    wire.transport.abort()


def remove(path: Path) -> None:
    """Remove a file, as another program does."""
    path.unlink()


async def test_counted(client: Client) -> None:
    """What is answered here is counted as this face's."""
    await stored(client, b"small")
    wire = await Wire.to(client)
    for _ in range(5):
        await wire.ask(get(f"by/sha256/{sha256(b'small')}"))
    told = await (await client.get("/metrics", headers={"Accept-Encoding": "identity"})).text()
    assert 'hashserver_requests_total{face="axon",method="GET",status="200"} 5.0' in told
    assert "hashserver_memory_cache_hits_total 2.0" in told
    wire.transport.abort()
