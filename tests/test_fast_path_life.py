"""How long connections and servers live that answer the fast way."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from hashserver_aio import Settings, create_app
from hashserver_aio.server import app as app_module
from hashserver_aio.server.keys import ACTIVITY

from .conftest import Client, ClientFactory, ServerFactory
from .fast import count_answers, name_of, stored
from .test_runners import gunicorn, listens, until
from .wire import Wire, body_of, get, normal, put

BODY = b"some buffer"
NAME = name_of(BODY)


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The requests that the fast path answered."""
    return count_answers(monkeypatch)


async def connected(port: int) -> Wire:
    """Connect to a server in a process of its own, whose next answer is a fast one."""
    _, wire = await asyncio.get_running_loop().create_connection(Wire, "127.0.0.1", port)
    await wire.ask(put(NAME, BODY))
    return await wire.watched(NAME)


async def ended_by(wire: Wire) -> float:
    """Wait until the server hangs up: the seconds that took."""
    began = time.monotonic()
    await wire.rest()
    return time.monotonic() - began


# idle servers


async def test_activity(client: Client, answered: list[bytes]) -> None:
    """A fast answer is one that somebody was served."""
    assert client.app is not None
    activity = client.app[ACTIVITY]
    wire = await (await Wire.to(client)).watched(await stored(client, BODY))
    for count in range(1, 4):
        await asyncio.sleep(0.3)
        assert activity.idle_s > 0.25
        await wire.ask(get(NAME))
        assert len(answered) == count
        assert activity.idle_s < 0.2 and not activity.in_progress


async def test_timeout(start_server: ServerFactory, directory: Path) -> None:
    """A server with --timeout stays as long as there are fast answers, and ends after them."""
    server = await asyncio.to_thread(start_server, directory, "--writable", "--timeout", "2")
    wire = await connected(server.port)
    for _ in range(12):
        assert body_of(await wire.ask(get(NAME))) == BODY
        await asyncio.sleep(0.3)
    assert server.process.poll() is None
    assert 1 < await ended_by(wire) < 4
    assert await asyncio.to_thread(server.process.wait, 5) == 0


# idle connections


async def test_keep_alive(
    start_client: ClientFactory, monkeypatch: pytest.MonkeyPatch, answered: list[bytes]
) -> None:
    """A connection that is used is not closed; it is, the keep-alive time after its last answer."""
    monkeypatch.setitem(app_module.HANDLER_ARGS, "keepalive_timeout", 1.0)
    client = await start_client()
    wire = await (await Wire.to(client)).watched(await stored(client, BODY))
    for count in range(1, 7):
        await asyncio.sleep(0.5)
        await wire.ask(get(NAME))
        assert len(answered) == count and not wire.is_closed
    assert 0.8 < await ended_by(wire) < 1.5


# slow readers


async def test_paused(client: Client, answered: list[bytes]) -> None:
    """A client that does not read is left to aiohttp, and answered fast again once it has read."""
    body = bytes(65_536)
    wire = await (await Wire.to(client)).watched(name := await stored(client, body))
    wire.transport.pause_reading()
    for _ in range(300):
        await wire.send(get(name), pause_s=0.0005)
    in_between = len(answered)
    assert 0 < in_between < 300
    wire.transport.resume_reading()
    for _ in range(300):
        assert body_of(await wire.answer()) == body
    for count in range(1, 4):
        await asyncio.sleep(0.05)
        assert body_of(await wire.ask(get(name))) == body
        assert len(answered) >= in_between + count


# the end of a server


async def test_graceful_stop(start_server: ServerFactory, directory: Path) -> None:
    """A server that is stopped does not wait for watched connections, and closes them."""
    server = await asyncio.to_thread(start_server, directory, "--writable", "--grace", "10")
    wires = [await connected(server.port) for _ in range(5)]
    for wire in wires:
        assert body_of(await wire.ask(get(NAME))) == BODY
    stopping = asyncio.create_task(asyncio.to_thread(server.stop))
    for wire in wires:
        assert await ended_by(wire) < 3
        assert not wire.received
    assert await stopping == 0


async def test_answered_in_grace(start_server: ServerFactory, directory: Path) -> None:
    """While a stopping server finishes an upload, watched connections are answered or closed, never cut."""
    server = await asyncio.to_thread(start_server, directory, "--writable", "--grace", "10")
    wire, uploading = await connected(server.port), await connected(server.port)
    body = b"an upload"
    begun = put(name_of(body), body)
    await uploading.send(begun[:-3], pause_s=0.2)
    stopping = asyncio.create_task(asyncio.to_thread(server.stop))
    await asyncio.sleep(0.3)
    for _ in range(3):
        assert body_of(await wire.ask(get(NAME))) == BODY
    assert body_of(await uploading.ask(begun[-3:])) == b"OK"
    assert await ended_by(wire) < 3 and await stopping == 0


# other runners


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """A certificate for localhost, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    paths = folder / "certificate.pem", folder / "key.pem"
    named = ("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1")
    kind = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1")
    command = ("openssl", *kind, *named, "-out", str(paths[0]), "-keyout", str(paths[1]))
    subprocess.run(command, check=True, capture_output=True)
    yield paths


@pytest.mark.parametrize("size", [1, 65_536, 100_000])
async def test_tls(directory: Path, certificate: tuple[Path, Path], answered: list[bytes], size: int) -> None:
    """Over TLS the fast answer is the ordinary one too, also when a request comes in pieces."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    server = TestServer(create_app(Settings(directory=directory, writable=True)), host="127.0.0.1")
    await server.start_server(ssl=context)
    assert server.port is not None
    body = b"x" * size
    request = get(name_of(body))
    loop = asyncio.get_running_loop()
    _, wire = await loop.create_connection(Wire, "127.0.0.1", server.port, ssl=trusting)
    try:
        await wire.ask(put(name_of(body), body))
        answers = {normal(await wire.ask(request)) for _ in range(4)}
        answers.add(normal(await wire.ask(request[:30], request[30:])))
        assert len(answers) == 1 and {body_of(answer) for answer in answers} == {body}
        assert len(answered) == 2
        await wire.send(request * 50)
        assert {normal(await wire.answer()) for _ in range(50)} == answers
    finally:
        wire.transport.close()
        await server.close()
    assert (await wire.rest()) == b""


COUNTING = """
def post_fork(server, worker):
    from hashserver_aio.server.fast_path import FastPath

    ordinary = FastPath.find

    def find(self, head):
        whole = ordinary(self, head)
        if whole is not None:
            with open({counted!r}, "a") as file:
                file.write("x")
        return whole

    FastPath.find = find
"""


def test_gunicorn(directory: Path, tmp_path: Path) -> None:
    """Under gunicorn the fast way is taken too, with the ordinary answers."""
    counted, config = tmp_path / "counted", tmp_path / "conf.py"
    config.write_text(COUNTING.format(counted=str(counted)))
    env = {"HASHSERVER_DIRECTORY": str(directory), "HASHSERVER_WRITABLE": "1"}
    with gunicorn(tmp_path, "-c", str(config), **env) as (_, port):
        until("it serves", lambda: listens(port))
        with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
            connection.request("PUT", f"/{NAME}", BODY)
            connection.getresponse().read()
            answers = set()
            for _ in range(5):
                connection.request("GET", f"/{NAME}")
                answer = connection.getresponse()
                headers = sorted((k, v) for k, v in answer.getheaders() if k != "Date")
                answers.add((answer.status, tuple(headers), answer.read()))
    assert len(answers) == 1 and BODY in answers.pop()
    assert counted.read_text() == "xxx"
