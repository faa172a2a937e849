"""TLS: the certificate that whoever connects is shown, and how such a connection begins.

A connection keeps what it began with; what is read anew is for those that come later.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import socket
import ssl
import stat
from pathlib import Path
from typing import NoReturn

from aiohttp import web

from ..errors import CannotStart
from ..settings import TlsFiles

log = logging.getLogger(__name__)

HANDSHAKE_S = 10.0
"""Whoever says nothing for so long, or has not shaken hands so long after that, is hung up on.

A packet that is lost three times takes 7 s."""

FAREWELL_S = 5.0
"""How long a client that is hung up on may take to agree that all has been said."""

_MAX_FILE_BYTES = 1024 * 1024
_CERTIFICATE = re.compile(rb"-----BEGIN [A-Z0-9 ]*CERTIFICATE-----")
_KEY = re.compile(rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----")

_HANDSHAKE_RECORD = b"\x16"
"""What TLS of any version begins with (RFC 8446 section 5.1), and nothing that HTTP begins with."""

_READ_AWAY_BYTES = 64 * 1024


class Certificate:
    """A chain of certificates with its key, in files that may be read anew."""

    def __init__(self, files: TlsFiles) -> None:
        """Read the files.

        Raises: CannotStart.
        """
        self._files = files
        self.context = _read(files)

    def reload(self) -> bool:
        """Read the files anew; where they are wrong, what they held before goes on being shown."""
        try:
            self.context = _read(self._files)
        except CannotStart as error:
            log.error("%s; the certificate from before is still in use", error)
            return False
        log.info("certificate read anew")
        return True


def certificate_in(files: TlsFiles | None) -> Certificate | None:
    """Read a certificate, if there is to be one.

    Raises: CannotStart.
    """
    return None if files is None else Certificate(files)


def _read(files: TlsFiles) -> ssl.SSLContext:
    chain, key = files.certificate, files.key or files.certificate
    if _CERTIFICATE.search(_content(chain)) is None:
        raise CannotStart(f"{chain} holds no certificate in PEM form")
    if _KEY.search(_content(key)) is None:
        hint = "" if files.key else "; name the file that does with --tls-key"
        raise CannotStart(f"{key} holds no private key in PEM form{hint}")

    def no_password() -> NoReturn:  # else OpenSSL asks for one on the terminal
        raise CannotStart(f"the key in {key} is encrypted; a server needs one without a password")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(chain, key, no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise CannotStart(f"the key in {key} does not belong to the certificate in {chain}") from None
        reason = (error.reason or "it is damaged").replace("_", " ").lower()
        raise CannotStart(
            f"the certificate in {chain} with the key in {key} can't be used: {reason}"
        ) from None
    except OSError as error:  # it vanished just now
        raise CannotStart(f"{chain} or {key} can't be read: {error.strerror}") from None
    return context


def _content(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe could be read only once
            raise CannotStart(f"{path} is no file; --tls-cert and --tls-key need files")
        with path.open("rb") as file:
            return file.read(_MAX_FILE_BYTES)
    except OSError as error:
        raise CannotStart(f"{path} can't be read: {error.strerror}") from None


async def shake_hands(server: web.Server, connection: socket.socket, context: ssl.SSLContext) -> None:
    """Shake hands with whoever connected, and hand the connection to the server.

    Who speaks plain HTTP is told so.
    Raises: OSError, also where the handshake fails or takes too long; the connection is to be closed then.
    """
    if not await _speaks_tls(connection):
        _answer_plain_http(connection)
        return
    loop = asyncio.get_running_loop()
    limits = {"ssl_handshake_timeout": HANDSHAKE_S, "ssl_shutdown_timeout": FAREWELL_S}
    await loop.connect_accepted_socket(server, connection, ssl=context, **limits)


async def _speaks_tls(connection: socket.socket) -> bool:
    """Wait for the first byte, and leave it where it is.

    Raises: ConnectionError, TimeoutError.
    """
    connection.setblocking(False)
    loop, arrived = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(connection, arrived.set)
    try:
        async with asyncio.timeout(HANDSHAKE_S):
            await arrived.wait()
    finally:
        loop.remove_reader(connection)
    first = connection.recv(1, socket.MSG_PEEK)
    if not first:
        raise ConnectionResetError("hung up before it said anything")
    return first == _HANDSHAKE_RECORD


def _answer_plain_http(connection: socket.socket) -> None:
    body = json.dumps({"message": "This port speaks HTTPS; ask for https://", "code": "NotEncrypted"})
    head = (
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    with connection:
        connection.send((head + body).encode())
        connection.recv(_READ_AWAY_BYTES)  # what is left unread may cost the client the answer
