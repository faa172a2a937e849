"""TLS: whom a fetch believes, and which certificate it shows."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web
from cryptography.hazmat.primitives import serialization

from hashserver_aio.errors import BadArgument
from hashserver_aio.fetching import tls

from .fetches import LOOPBACK, Memory, asked, code_of, fetcher, hello, target, to


class Authority:
    """A private CA, a server's certificate of it for 127.0.0.1, and a client's."""

    def __init__(self) -> None:
        self.ca = trustme.CA()
        self.pem = self.ca.cert_pem.bytes().decode()
        self.server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.ca.issue_cert("127.0.0.1").configure_cert(self.server)
        client = self.ca.issue_cert("me@example.org")
        self.cert = "".join(part.bytes().decode() for part in client.cert_chain_pems)
        self.key = client.private_key_pem.bytes().decode()

    def ask_for_certificates(self) -> None:
        """Let the server serve only who shows a certificate."""
        self.ca.configure_trust(self.server)
        self.server.verify_mode = ssl.CERT_REQUIRED


@pytest.fixture
def authority() -> Authority:
    """A CA that the system does not know."""
    return Authority()


async def wget(url: str, **more: object) -> dict[str, Any]:
    """Fetch once."""
    async with fetcher(Memory(), *LOOPBACK) as fetch:
        return await fetch.wget(asked(url, **more))


async def test_whom_to_believe(authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A server is believed if its CA is the system's or the request's, or if nobody wants to know."""
    async with target({"/": hello}, ssl_context=authority.server) as url:
        assert code_of(await wget(url)) == "ClientConnectorCertificateError"
        assert code_of(await wget(url, ssl_opts={"verify": False})) == "ClientConnectorCertificateError"
        assert (await wget(url, ssl=False))["code"] == 200
        assert (await wget(url, ssl=None, ssl_opts={"verify": False}))["code"] == 200
        assert (await wget(url, ssl_opts={"ca_cert": authority.pem, "client_cert": None}))["code"] == 200
        named = url.replace("127.0.0.1", "localhost")  # for which the certificate is not
        assert (
            code_of(await wget(named, ssl_opts={"ca_cert": authority.pem}))
            == "ClientConnectorCertificateError"
        )
        authority.ca.cert_pem.write_to_path(tmp_path / "ca.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert (await wget(url))["code"] == 200


async def test_plain_for_tls(authority: Authority) -> None:
    """Speaking HTTP to HTTPS, or the other way round, is told of."""
    async with target({"/": hello}, ssl_context=authority.server) as url:
        assert not (await wget(url.replace("https", "http")))["ok"]
    async with target({"/": hello}) as url:
        assert code_of(await wget(url.replace("http", "https"))) == "ClientConnectorSSLError"


async def test_client_certificates(authority: Authority) -> None:
    """The certificate of a request is shown, its key in the same text or in one of its own."""
    authority.ask_for_certificates()
    trusted = {"ca_cert": authority.pem}
    async with target({"/": hello}, ssl_context=authority.server) as url:
        assert not (await wget(url, ssl_opts=trusted))["ok"]
        split = {"client_cert": authority.cert, "client_key": authority.key}
        assert (await wget(url, ssl_opts=trusted | split))["code"] == 200
        joined = {"client_cert": authority.key + authority.cert}
        assert (await wget(url, ssl=False, ssl_opts=joined))["code"] == 200
        memory = Memory()
        name = memory.add(b"x")
        async with fetcher(memory, *LOOPBACK) as fetch:
            request = asked(url, method="PUT", ssl_opts=trusted | split)
            assert (await fetch.wput(name, request))["code"] == 200
            assert (await fetch.postfiles([], request))["body"] == b"hello"


async def test_certificates_stay(authority: Authority) -> None:
    """A certificate is for the host that was named: another one that it redirects to is not shown it."""
    authority.ask_for_certificates()
    seen: list[str] = []

    async def see(request: web.Request) -> web.StreamResponse:
        seen.append(request.path)
        return web.Response()

    split = {"ca_cert": authority.pem, "client_cert": authority.cert, "client_key": authority.key}
    async with target({"/": see}, ssl_context=authority.server) as other:
        routes = {"/away": to(other), "/here": to("/there"), "/there": hello}
        async with target(routes, ssl_context=authority.server) as url:
            assert code_of(await wget(f"{url}/away", ssl_opts=split)) == "AddressRefused"
            assert (await wget(f"{url}/here", ssl_opts=split))["code"] == 200
    assert seen == []


def encrypted(key: str) -> str:
    """Encrypt a key."""
    loaded = serialization.load_pem_private_key(key.encode(), None)
    form, kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return loaded.private_bytes(form, kind, serialization.BestAvailableEncryption(b"pass")).decode()


@pytest.mark.parametrize("bad", ["no PEM", "empty", "other key", "no key", "encrypted", "bad CA", "NUL"])
async def test_bad_certificates(authority: Authority, bad: str) -> None:
    """What can't be used is said before anybody is called, and no password is asked for at the terminal."""
    other = authority.ca.issue_cert("you@example.org").private_key_pem.bytes().decode()
    options = {
        "no PEM": {"client_cert": "no PEM"},
        "empty": {"client_cert": "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"},
        "other key": {"client_cert": authority.cert, "client_key": other},
        "no key": {"client_cert": authority.cert},
        "encrypted": {"client_cert": authority.cert, "client_key": encrypted(authority.key)},
        "bad CA": {"ca_cert": "no PEM"},
        "NUL": {"ca_cert": "\0ü"},
    }[bad]
    with pytest.raises(BadArgument, match="in ssl_opts can't be used"):
        await wget("https://127.0.0.1:1/", ssl_opts=options)


def test_keys_leave_nothing_behind(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A key is never a file that somebody could find, and no descriptor stays open."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    before = os.listdir("/proc/self/fd")
    tls.make_context(tls.TlsOptions(client_cert=authority.cert, client_key=authority.key))
    with pytest.raises(BadArgument):
        tls.make_context(tls.TlsOptions(client_cert="x", client_key="y"))
    assert os.listdir("/proc/self/fd") == before
    assert list(tmp_path.iterdir()) == []
