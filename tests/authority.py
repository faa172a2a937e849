"""A certificate authority of the tests' own, and what it issues."""

from __future__ import annotations

import hashlib
import socket
import ssl
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path

import trustme

from hashserver_aio.settings import TlsFiles

from .crews import NEED_S


class Authority:
    """Issues certificates for 127.0.0.1, each into the same two files, as a renewal does."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self.files = TlsFiles(certificate=folder / "chain.pem", key=folder / "key.pem")
        self.root = folder / "authority.pem"
        self._authority.cert_pem.write_to_path(self.root)
        self.context = ssl.create_default_context()
        self._authority.configure_trust(self.context)

    @property
    def options(self) -> tuple[str, ...]:
        """The options of a server with what was issued last."""
        return ("--tls-cert", str(self.files.certificate), "--tls-key", str(self.files.key))

    def issue(self) -> str:
        """Issue a certificate: what `shown_by` says of it."""
        issued = self._authority.issue_cert("127.0.0.1")
        assert self.files.key is not None
        issued.private_key_pem.write_to_path(self.files.key)
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        self.files.certificate.write_bytes(chain)
        return _digest(ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode()))

    def connect(self, port: int) -> HTTPSConnection:
        """Connect to a server on loopback that shows a certificate of this authority."""
        return HTTPSConnection("127.0.0.1", port, timeout=NEED_S, context=self.context)

    def shown_at(self, port: int) -> str:
        """Tell which certificate whoever connects is shown."""
        with socket.create_connection(("127.0.0.1", port), NEED_S) as plain:
            with self.context.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
                return _digest(connection.getpeercert(binary_form=True))


def shown_by(connection: HTTPConnection) -> str:
    """Tell which certificate a connection began with."""
    assert isinstance(connection.sock, ssl.SSLSocket)
    return _digest(connection.sock.getpeercert(binary_form=True))


def _digest(certificate: bytes | None) -> str:
    assert certificate
    return hashlib.sha256(certificate).hexdigest()
