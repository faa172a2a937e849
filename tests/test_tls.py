"""`run --tls-cert --tls-key`: the server over TLS, as its clients and strangers meet it."""

from __future__ import annotations

import hashlib
import io
import json
import socket
import ssl
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPSConnection
from pathlib import Path

import aiohttp
import pytest

from hashserver_aio.server.tls import Certificate

from .authority import Authority
from .crews import BODY, NAME, NEED_S, Crew, answer, crew_on, until
from .servers import RunningServer
from .test_command import RUN, failed
from .test_runners import activated, gunicorn

LARGE = b"".join(hashlib.sha256(number.to_bytes(4)).digest() for number in range(160_000))
LARGE_NAME = "/" + hashlib.sha3_256(LARGE).hexdigest()


@pytest.fixture(params=[1, 2], ids=["one process", "two workers"])
def crew(authority: Authority, directory: Path, request: pytest.FixtureRequest) -> Iterator[Crew]:
    """A writable server that speaks TLS; in the end it has said nothing but where it serves."""
    options = ("--writable", *authority.options)
    with crew_on(directory, *options, workers=request.param, context=authority.context) as crew:
        yield crew
        assert crew.stop() == 0
        assert len(crew.lines) == 1


# clients


async def test_aiohttp(crew: Crew, authority: Authority) -> None:
    """A client that trusts the authority stores, reads, and reads in parts what it stored."""
    assert crew.says(f" on https://127.0.0.1:{crew.port}\n")
    connector = aiohttp.TCPConnector(ssl=authority.context)
    base = f"https://127.0.0.1:{crew.port}"
    async with aiohttp.ClientSession(base, connector=connector) as session:
        for name, body in ((NAME, BODY), (LARGE_NAME, LARGE)):
            assert (await session.put(name, data=io.BytesIO(body))).status == 200
            for _ in range(4):  # from the third on by the fast path, if it is small
                async with session.get(name) as response:
                    assert await response.read() == body
        for first, last in ((0, 0), (70_000, 4_000_000), (len(LARGE) - 5, len(LARGE) - 1)):
            async with session.get(LARGE_NAME, headers={"Range": f"bytes={first}-{last}"}) as response:
                assert response.status == 206 and await response.read() == LARGE[first : last + 1]
        async with session.get(LARGE_NAME, headers={"Range": "bytes=1-2,100000-3000000"}) as response:
            assert response.status == 206 and LARGE[100_000:3_000_001] in await response.read()


def test_expect(crew: Crew, authority: Authority) -> None:
    """A body that is wanted is asked for; one that is held already is not."""
    lines = f"PUT {LARGE_NAME} HTTP/1.1", "Host: x", f"Content-Length: {len(LARGE)}", "Expect: 100-continue"
    head = "".join(f"{line}\r\n" for line in (*lines, ""))
    said = []
    for _ in range(2):
        with closing(authority.connect(crew.port)) as connection:
            connection.connect()
            connection.sock.sendall(head.encode())
            said.append(connection.sock.recv(100).split(b"\r\n")[0])
            if said[-1] == b"HTTP/1.1 100 Continue":
                connection.sock.sendall(LARGE)
                said.append(connection.sock.recv(100).split(b"\r\n")[0])
    assert said == [b"HTTP/1.1 100 Continue", b"HTTP/1.1 200 OK", b"HTTP/1.1 201 Created"]


def test_untrusting_client(crew: Crew) -> None:
    """A client that does not know the authority gets nothing."""
    stranger = HTTPSConnection("127.0.0.1", crew.port, timeout=NEED_S, context=ssl.create_default_context())
    with closing(stranger), pytest.raises(ssl.SSLCertVerificationError):
        stranger.request("GET", "/healthcheck")


def test_modest_client(crew: Crew, authority: Authority) -> None:
    """TLS 1.2 is spoken, and what is older is not."""
    authority.context.maximum_version = ssl.TLSVersion.TLSv1_2
    with closing(authority.connect(crew.port)) as connection:
        assert answer(connection, "GET", "/healthcheck") == (200, b"OK")
        assert isinstance(connection.sock, ssl.SSLSocket) and connection.sock.version() == "TLSv1.2"
    assert Certificate(authority.files).context.minimum_version == ssl.TLSVersion.TLSv1_2


# strangers


def exchange(port: int, said: bytes) -> bytes:
    """Say something without TLS: all that is answered, until the server hangs up."""
    with socket.create_connection(("127.0.0.1", port), NEED_S) as plain:
        plain.sendall(said)
        heard = b""
        while piece := plain.recv(65536):
            heard += piece
        return heard


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_plain_http(crew: Crew, method: str) -> None:
    """Who speaks plain HTTP is told in HTTP that this is none of it, and nothing is stored or served."""
    request = f"{method} {NAME} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n".encode() + BODY[:1000]
    head, _, body = exchange(crew.port, request).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n") and b"\r\nConnection: close" in head
    assert json.loads(body)["code"] == "NotEncrypted" and "https://" in json.loads(body)["message"]


def hello(authority: Authority) -> bytes:
    """Word what a client begins a handshake with."""
    outgoing = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        authority.context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="127.0.0.1").do_handshake()
    return outgoing.read()


def test_aborted_handshakes(crew: Crew, authority: Authority) -> None:
    """Whoever ends or spoils a handshake disturbs nobody, and no line is said of it."""
    whole = hello(authority)
    for said in (b"", b"\x16", whole[:100], whole, b"\x16" + b"x" * 5000, whole + b"x" * 5000):
        for reset in (False, True):
            with socket.create_connection(("127.0.0.1", crew.port), NEED_S) as plain:
                plain.sendall(said)
                if reset:
                    plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with closing(authority.connect(crew.port)) as connection:
        assert answer(connection, "GET", "/healthcheck") == (200, b"OK")


def silent(plain: socket.socket, whole: bytes) -> None:
    """Say nothing."""


def half(plain: socket.socket, whole: bytes) -> None:
    """Say the half of it."""
    plain.sendall(whole[: len(whole) // 2])


def slow(plain: socket.socket, whole: bytes) -> None:
    """Say it byte by byte, slower than is waited for."""
    for at in range(len(whole)):
        plain.sendall(whole[at : at + 1])
        time.sleep(0.05)


IMPATIENT = (
    "from hashserver_aio.server import tls; from hashserver_aio.cli import main;tls.HANDSHAKE_S = 0.5; main()"
)


@pytest.mark.parametrize("how", [silent, half, slow])
def test_slow_handshakes(authority: Authority, directory: Path, how: Callable[..., None]) -> None:
    """Who does not shake hands in time is hung up on; others are served meanwhile, and nothing is said."""
    command = (sys.executable, "-c", IMPATIENT)
    with crew_on(directory, *authority.options, workers=1, command=command) as crew:
        with socket.create_connection(("127.0.0.1", crew.port), NEED_S) as plain:
            began = time.monotonic()
            with closing(authority.connect(crew.port)) as connection:
                assert answer(connection, "GET", "/healthcheck") == (200, b"OK")
                with pytest.raises(OSError) if how is slow else closing(plain):
                    how(plain, hello(authority))
                    assert plain.recv(1) == b""
                assert 0.4 < time.monotonic() - began < 3
                assert answer(connection, "GET", "/healthcheck") == (200, b"OK")
        assert crew.stop() == 0 and len(crew.lines) == 1


# what can't be


def spoil(files: Authority, how: str) -> str:
    """Spoil what was issued in one way: the words that tell of it."""
    chain, key = files.files.certificate, files.files.key
    assert key is not None
    if how == "no certificate file":
        chain.unlink()
        return f"{chain} can't be read: No such file or directory"
    if how == "a folder":
        key.unlink()
        key.mkdir()
        return f"{key} is no file; --tls-cert and --tls-key need files"
    if how == "another key":
        old = chain.read_bytes()
        files.issue()
        chain.write_bytes(old)
        return f"the key in {key} does not belong to the certificate in {chain}"
    if how == "encrypted key":
        plain = key.read_bytes()
        command = ("openssl", "pkey", "-aes256", "-passout", "pass:secret")
        key.write_bytes(subprocess.run(command, input=plain, check=True, capture_output=True).stdout)
        return f"the key in {key} is encrypted; a server needs one without a password"
    if how == "files swapped":
        chain.write_bytes(key.read_bytes())
        return f"{chain} holds no certificate in PEM form"
    if how == "no key":
        key.write_bytes(chain.read_bytes())
        return f"{key} holds no private key in PEM form"
    chain.write_bytes(chain.read_bytes().replace(b"MII", b"!!!"))
    return f"the certificate in {chain} with the key in {key} can't be used: "


BAD = [
    "no certificate file",
    "a folder",
    "another key",
    "encrypted key",
    "files swapped",
    "no key",
    "damaged",
]


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("how", BAD)
def test_bad_files(authority: Authority, directory: Path, how: str, workers: str) -> None:
    """A certificate that can't be used is refused in a sentence, before a port is taken."""
    words, status = spoil(authority, how), directory.with_name("status.json")
    status.write_text("{}")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = ("--port", str(taken.getsockname()[1]), "--status-file", str(status))
        code, sentence = failed(*RUN, str(directory), *port, *authority.options, "--workers", workers)
    assert code == 1 and sentence.startswith(f"Error: {words}")
    assert json.loads(status.read_text()) == {"status": "failed"}


def test_key_without_certificate(authority: Authority, directory: Path) -> None:
    """A key alone is a wrong use of the options."""
    code, sentence = failed(*RUN, str(directory), *authority.options[2:])
    assert code == 2 and "--tls-cert" in sentence


def test_key_beside_certificate(authority: Authority, directory: Path) -> None:
    """One file may hold both; where it does not, the sentence names the option that is missing."""
    chain, key = authority.files.certificate, authority.files.key
    assert key is not None
    code, sentence = failed(*RUN, str(directory), *authority.options[:2])
    assert code == 1 and sentence.endswith(
        "holds no private key in PEM form; name the file that does with --tls-key"
    )
    chain.write_bytes(key.read_bytes() + chain.read_bytes())
    server = RunningServer(directory, *authority.options[:2])
    assert authority.shown_at(server.port) and server.stop() == 0


# other starts


def test_activated(authority: Authority, directory: Path) -> None:
    """On a socket from systemd TLS is spoken likewise."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with activated(listener, str(directory), *authority.options) as line:
            assert line.endswith(f" on https://127.0.0.1:{port}\n") and authority.shown_at(port)


def test_gunicorn(authority: Authority, directory: Path, tmp_path: Path) -> None:
    """Under gunicorn, with its own options for TLS, large buffers arrive whole."""
    (directory / LARGE_NAME[1:]).write_bytes(LARGE)
    files = ("--certfile", str(authority.files.certificate), "--keyfile", str(authority.files.key))
    with gunicorn(tmp_path, *files, HASHSERVER_DIRECTORY=str(directory)) as (_, port):
        until("it serves", lambda: authority.shown_at(port))
        with closing(authority.connect(port)) as connection:
            assert answer(connection, "GET", LARGE_NAME) == (200, LARGE)
