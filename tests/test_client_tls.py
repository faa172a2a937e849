"""The client, and the command line over it, of a server that speaks TLS under a private authority."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest

from hashserver_aio import Client
from hashserver_aio.errors import HashserverError, ServerUnreachable

from .authority import Authority
from .clients import LONG, name, shorten_pauses
from .conftest import ServerFactory
from .servers import COMMAND, RunningServer, environment


@pytest.fixture
def server(start_server: ServerFactory, directory: Path, authority: Authority) -> RunningServer:
    """A server that shows a certificate of a private authority."""
    return start_server(directory, "--writable", *authority.options)


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The longest that each pause before another attempt might have been."""
    return shorten_pauses(monkeypatch)


async def test_trusted(server: RunningServer, authority: Authority, tmp_path: Path) -> None:
    """Who trusts the authority puts and gets, whatever the length."""
    async with Client(server.url, tls=authority.context) as client:
        assert client.url.startswith("https://")
        for body in (b"", b"hello", LONG):
            assert await client.put(body) == (name(body), True)
            assert await client.get(name(body)) == body
            assert await client.download(name(body), tmp_path / "file") == len(body)
        assert [size async for _, (_, size) in client.hashes()] == [0, 5, len(LONG)]


async def test_not_trusted(server: RunningServer, tmp_path: Path, pauses: list[float]) -> None:
    """Who does not is told at once: a certificate that is wrong is wrong again."""
    (tmp_path / "another").mkdir()
    another = Authority(tmp_path / "another").context
    for tls in (None, another):
        async with Client(server.url, tls=tls) as client:
            for ask in (client.has(name(b"")), client.put(b"hello"), client.get(name(b""))):
                with pytest.raises(ServerUnreachable, match="can't be used"):
                    await ask
    assert pauses == []


async def test_another_host(server: RunningServer, authority: Authority, pauses: list[float]) -> None:
    """A certificate of the authority for another host is none for this one."""
    async with Client(f"https://localhost:{server.port}", tls=authority.context) as client:
        with pytest.raises(ServerUnreachable, match="can't be used"):
            await client.get(name(b""))
    assert pauses == []


async def test_another_protocol(
    start_server: ServerFactory, server: RunningServer, authority: Authority, directory: Path
) -> None:
    """TLS to a server that speaks none, and none to one that does, are told, and end."""
    plain = start_server(directory)
    for url in (plain.url.replace("http:", "https:"), server.url.replace("https:", "http:")):
        async with Client(url, tls=authority.context, algorithm="sha3-256") as client:
            with pytest.raises(HashserverError):
                await client.get(name(b""))


def run(server: RunningServer, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command with the server's URL."""
    command = [*COMMAND, *arguments, "--url", server.url]
    return subprocess.run(
        command, env=environment(**env), capture_output=True, text=True, timeout=60, check=False
    )


def test_command_line(server: RunningServer, authority: Authority, tmp_path: Path) -> None:
    """The authority's certificate may be named in SSL_CERT_FILE; who names none is told in a sentence."""
    (tmp_path / "file").write_bytes(LONG)
    put, get = ("put", str(tmp_path / "file")), ("get", name(LONG), "-o", str(tmp_path / "copy"))
    for arguments in (put, get):
        done = run(server, *arguments, SSL_CERT_FILE=str(authority.root))
        assert (done.returncode, done.stdout.split()[0]) == (0, name(LONG)), done.stderr
    assert (tmp_path / "copy").read_bytes() == LONG
    (tmp_path / "copy").unlink()
    for arguments in (put, get):
        done = run(server, *arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert "can't be used" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "copy").exists()


def test_certificate_is_checked(authority: Authority) -> None:
    """The context of these tests checks what it is shown, or they would hold nothing."""
    assert authority.context.verify_mode is ssl.CERT_REQUIRED and authority.context.check_hostname
