"""TLS as who asks for a fetch wants it: which certificates to believe, and which one to show.

Keys that come with a request never touch a disk.
"""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import BadArgument, BadBody

_KEYS = frozenset({"verify", "client_cert", "client_key", "ca_cert"})


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """What `ssl` and `ssl_opts` say: PEM texts, and whether the server's certificate is verified."""

    verify: bool = True
    client_cert: str | None = None
    client_key: str | None = None
    ca_cert: str | None = None


DEFAULT_TLS = TlsOptions()


def read_tls(verify: object, options: object) -> TlsOptions:
    """Read `ssl` and `ssl_opts`; where both say whether to verify, `ssl` stands above.

    Raises: BadBody.
    """
    given = {} if options is None else options
    if not isinstance(given, dict) or not given.keys() <= _KEYS:
        raise BadBody(f"ssl_opts is an object with some of {', '.join(sorted(_KEYS))}")
    verified = given.get("verify", True) if verify is None else verify
    texts = {key: given.get(key) for key in _KEYS - {"verify"}}
    if not isinstance(verified, bool) or not isinstance(given.get("verify", True), bool):
        raise BadBody("ssl, and verify in ssl_opts, are true or false")
    for key, text in texts.items():
        if not isinstance(text, str | None):
            raise BadBody(f"{key} in ssl_opts is a text in PEM form")
    return TlsOptions(verified, **{key: text or None for key, text in texts.items()})


def make_context(options: TlsOptions) -> ssl.SSLContext:
    """Make what connections are secured with. This reads the system's certificates: not for the loop.

    Raises: BadArgument.
    """
    if options.verify:
        context = ssl.create_default_context()
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    try:
        if options.ca_cert:
            context.load_verify_locations(cadata=options.ca_cert)
    except (ssl.SSLError, ValueError, TypeError) as error:  # a TypeError where it is no ASCII
        raise BadArgument(f"ca_cert in ssl_opts can't be used: {_reason(error)}") from None
    if options.client_cert:
        _show(context, options.client_cert, options.client_key)
    return context


def _show(context: ssl.SSLContext, certificate: str, key: str | None) -> None:
    """Let a context show a certificate."""
    try:
        with _in_memory(certificate) as shown, _in_memory(key or certificate) as secret:
            # Without a password OpenSSL would ask for it, at the terminal.
            context.load_cert_chain(shown, secret, password="")
    except (ssl.SSLError, ValueError) as error:
        reason = _reason(error)
        raise BadArgument(f"client_cert and client_key in ssl_opts can't be used: {reason}") from None


@contextlib.contextmanager
def _in_memory(text: str) -> Iterator[str]:
    """Give the path of a file that is in memory only, as OpenSSL takes nothing but paths."""
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text.encode())
        file.flush()
        yield f"/proc/self/fd/{descriptor}"


def _reason(error: Exception) -> str:
    """Word an error of OpenSSL without the places in its sources."""
    reason = getattr(error, "reason", None) or "no PEM"
    return str(reason).lower().replace("_", " ")
