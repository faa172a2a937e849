"""A real nginx as the target of fetches: files, ranges, redirects, uploads, and client certificates."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .fetches import LOOPBACK, Memory, asked, code_of, fetcher
from .programs import free_port, tool
from .test_fetch_tls import Authority

BODY = os.urandom(3_000_000)

CONFIGURATION = """
daemon off; master_process off; pid {root}/pid; error_log {root}/error.log;
events {{ worker_connections 64; }}
http {{
    log_format short '$server_addr $request_method $uri $status'; access_log {root}/access.log short;
    client_max_body_size 0; default_type application/octet-stream; types {{ text/plain txt; }}
    gzip on; gzip_min_length 1; gzip_types text/plain;
    lingering_close off;
    client_body_temp_path {root}/t1; proxy_temp_path {root}/t2; fastcgi_temp_path {root}/t3;
    uwsgi_temp_path {root}/t4; scgi_temp_path {root}/t5;
    server {{
        listen 127.0.0.1:{port}; listen 127.0.0.2:{port}; root {root}/www; error_page 404 /gone.txt;
        location /moved {{ return 301 /file.bin; }}
        location /kept {{ return 302 http://127.0.0.2:{port}/file.bin; }}
        location /up/ {{ dav_methods PUT; create_full_put_path on; }}
        location /slow/ {{ limit_rate 1k; alias {root}/www/; }}
    }}
    server {{
        listen 127.0.0.1:{tls_port} ssl; root {root}/www;
        ssl_certificate {root}/server.pem; ssl_certificate_key {root}/server.key;
        ssl_client_certificate {root}/ca.pem; ssl_verify_client on;
    }}
}}
"""


@dataclass(frozen=True)
class Nginx:
    """Where it listens, and what of."""

    root: Path
    url: str
    tls_url: str
    authority: Authority

    @property
    def log(self) -> str:
        """What it was asked for, a line a request."""
        return (self.root / "access.log").read_text()


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Nginx]:
    """Run nginx on loopback."""
    program = tool("nginx")
    authority, port, tls_port = Authority(), free_port(), free_port()
    (tmp_path / "www" / "up").mkdir(parents=True)
    (tmp_path / "www" / "file.bin").write_bytes(BODY)
    (tmp_path / "www" / "text.txt").write_text("text " * 1000)
    (tmp_path / "www" / "gone.txt").write_text("it is gone")
    issued = authority.ca.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(tmp_path / "server.key")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "server.pem")
    authority.ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    (tmp_path / "nginx.conf").write_text(CONFIGURATION.format(root=tmp_path, port=port, tls_port=tls_port))
    command = [
        program,
        "-p",
        str(tmp_path),
        "-c",
        str(tmp_path / "nginx.conf"),
        "-e",
        str(tmp_path / "error.log"),
    ]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        deadline_s = time.monotonic() + 10
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            assert process.poll() is None and time.monotonic() < deadline_s, (
                tmp_path / "error.log"
            ).read_text()
            time.sleep(0.02)
        yield Nginx(tmp_path, f"http://127.0.0.1:{port}", f"https://127.0.0.1:{tls_port}", authority)
    finally:
        process.terminate()
        process.wait(10)


async def test_wget(nginx: Nginx) -> None:
    """Files, ranges, redirects, compressed text and the body of a 404 are stored as they came."""
    memory = Memory()
    async with fetcher(memory, "127.0.0.1") as fetch:
        info = await fetch.wget(asked(f"{nginx.url}/moved"))
        assert (info["code"], info["size"]) == (200, len(BODY))
        assert [one["code"] for one in info["history"]] == [301]
        assert memory.held[info["hashes"]["sha256"]] == BODY
        info = await fetch.wget(asked(f"{nginx.url}/file.bin", headers={"Range": "bytes=5-9"}))
        assert (info["code"], info["hashes"]["md5"]) == (206, hashlib.md5(BODY[5:10]).hexdigest())
        info = await fetch.wget(asked(f"{nginx.url}/none"))
        assert (info["code"], info["reason"], info["size"]) == (404, "Not Found", 10)
        assert b"it is gone" in memory.held.values()
        info = await fetch.wget(asked(f"{nginx.url}/text.txt", headers={"Accept-Encoding": "gzip"}))
        assert (info["headers"]["Content-Encoding"], info["size"]) == ("gzip", 5000)
        info = await fetch.wget(asked(f"{nginx.url}/file.bin", method="HEAD"))
        assert (info["code"], info["size"]) == (200, 0)


async def test_refused(nginx: Nginx) -> None:
    """nginx sees nothing of a fetch that is refused, nor what it redirects to."""
    async with fetcher(Memory(), "127.0.0.1") as fetch:
        assert code_of(await fetch.wget(asked(f"{nginx.url}/kept"))) == "AddressRefused"
        there = nginx.url.replace("127.0.0.1", "127.0.0.2")
        assert code_of(await fetch.wget(asked(f"{there}/file.bin"))) == "AddressRefused"
        info = await fetch.wput(Memory().add(b""), asked(f"{there}/up/x", method="PUT"))
        assert not info["ok"]
    assert nginx.log == "127.0.0.1 GET /kept 302\n"


async def test_slow(nginx: Nginx) -> None:
    """A body that nginx sends slowly ends by the timeout, and is not stored."""
    memory = Memory()
    async with fetcher(memory, "127.0.0.1") as fetch:
        begin = time.monotonic()
        assert code_of(await fetch.wget(asked(f"{nginx.url}/slow/file.bin", timeout=1))) == "TimeoutError"
        assert time.monotonic() - begin < 3
    assert memory.held == {}


async def test_wput(nginx: Nginx) -> None:
    """A buffer that is put there is there."""
    memory = Memory()
    name = memory.add(BODY)
    async with fetcher(memory, *LOOPBACK) as fetch:
        assert (await fetch.wput(name, asked(f"{nginx.url}/up/a/b", method="PUT")))["code"] == 201
        assert (await fetch.wput(name, asked(f"{nginx.url}/up/a/b", method="PUT")))["code"] == 204
        assert (await fetch.wput(name, asked(f"{nginx.url}/file.bin", method="PUT")))["code"] == 405
        info = await fetch.postfiles(
            [{"name": "a", "sha256": name}], asked(f"{nginx.url}/none", method="POST")
        )
        assert (info["code"], info["body"]) == (404, b"it is gone")
    assert (nginx.root / "www" / "up" / "a" / "b").read_bytes() == BODY


async def test_client_certificates(nginx: Nginx) -> None:
    """nginx lets in who shows a certificate of its CA, and the server's own is verified."""
    authority = nginx.authority
    trusted = {"ca_cert": authority.pem}
    split = {"client_cert": authority.cert, "client_key": authority.key}
    url = f"{nginx.tls_url}/text.txt"
    async with fetcher(Memory(), *LOOPBACK) as fetch:
        assert (await fetch.wget(asked(url, ssl_opts=trusted)))["code"] == 400  # "No required certificate"
        assert (await fetch.wget(asked(url, ssl_opts=trusted | split)))["size"] == 5000
        assert code_of(await fetch.wget(asked(url, ssl_opts=split))) == "ClientConnectorCertificateError"
