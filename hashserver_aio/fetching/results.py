"""What a fetch came to, in the words of the Axon's API: one dictionary, whether it went well or not."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import (
    ClientConnectionError,
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientHttpProxyError,
    ClientPayloadError,
    ClientProxyConnectionError,
    ClientResponse,
    ClientResponseError,
    NonHttpUrlClientError,
    ServerDisconnectedError,
    TooManyRedirects,
    hdrs,
)

from ..checksums import Hashset

FetchInfo = dict[str, Any]


def reason_of(status: int) -> str:
    """Give the usual phrase of a status, whatever the server said."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"Unknown HTTP status code {status}"


def as_text(given: str) -> str:
    """Make a text that can be written of what others sent, which may be none."""
    return given.encode(errors="replace").decode()


def answered(response: ClientResponse) -> FetchInfo:
    """Describe an answer."""
    return {
        "ok": True,
        "url": as_text(str(response.real_url)),
        "code": response.status,
        "reason": reason_of(response.status),
        "headers": {as_text(name): as_text(text) for name, text in response.headers.items()},
    }


def traced(response: ClientResponse) -> FetchInfo:
    """Describe an answer, the request that led to it, and the redirects before."""
    sent = response.request_info
    # What a proxy is told to let us through is between the operator and the proxy.
    headers = {name: text for name, text in sent.headers.items() if name != hdrs.PROXY_AUTHORIZATION}
    request = {"url": str(sent.real_url), "headers": headers, "method": sent.method}
    info = answered(response) | {"request": request}
    # One that redirects to nowhere aiohttp puts into its own history.
    earlier = [one for one in response.history if one is not response]
    if earlier:
        info["history"] = [traced(one) for one in earlier]
    return info


def stored(hashset: Hashset) -> FetchInfo:
    """Describe a body that was stored."""
    hashes = {name: digest.hex() for name, digest in hashset._asdict().items() if name != "size"}
    return {"size": hashset.size, "hashes": hashes}


def wording(error: Exception) -> str:
    """Say what went wrong, where aiohttp says it to programmers, or says more than is to be told."""
    for kind, words in _WORDS:
        if isinstance(error, kind):
            return words(error)
    return str(error)


def _of_system(error: OSError) -> str:
    """Say an error of the system in its plain words: the others name addresses."""
    number = error.errno
    if isinstance(error, ssl.SSLError):
        return (error.reason or "it is no TLS").lower().replace("_", " ")
    return os.strerror(number) if number is not None and number > 0 else "no address of it takes connections"


def _of_certificate(error: ClientConnectorCertificateError) -> str:
    reason = getattr(error.certificate_error, "verify_message", "") or "it is for another host"
    return f"The certificate of {error.host}:{error.port} is not believed: {reason}"


def _of_payload(error: ClientPayloadError) -> str:
    """Say what is wrong with a body: aiohttp's errors have a cause, and show it; ours have none."""
    return str(error) if error.__cause__ is None else "the answer broke off, or its chunks are malformed"


_WORDS: tuple[tuple[type[Exception], Callable[[Any], str]], ...] = (
    (TimeoutError, lambda error: "it took too long to connect, to send the next byte, or in all"),
    (ClientProxyConnectionError, lambda error: f"Cannot connect to the proxy [{_of_system(error.os_error)}]"),
    (ClientHttpProxyError, lambda error: f"The proxy opens no tunnel: it answers {error.status}"),
    (ClientConnectorDNSError, lambda error: f"Cannot find the address of {error.host}"),
    (ClientConnectorCertificateError, _of_certificate),
    (
        ClientConnectorError,
        lambda error: f"Cannot connect to host {error.host}:{error.port} [{_of_system(error.os_error)}]",
    ),
    (TooManyRedirects, lambda error: f"more than {len(error.history) - 1} redirects"),
    (NonHttpUrlClientError, lambda error: f"{error}: only http and https are fetched"),
    (ClientResponseError, lambda error: "the answer is not HTTP as it has to be"),
    (ServerDisconnectedError, lambda error: "the server hung up before it had answered"),
    (ClientPayloadError, _of_payload),
    (ClientConnectionError, lambda error: "the connection broke"),
    (OSError, _of_system),
)
"""The first that fits holds."""


def failed(name: str, about: Mapping[str, str]) -> FetchInfo:
    """Describe a failure; `name` is what the kind of error is called, `mesg` of `about` what it says."""
    told = {key: as_text(text) for key, text in about.items()}
    mesg = f"{name}: {told['mesg']}" if told["mesg"] else name
    return {
        "ok": False,
        "code": -1,
        "mesg": mesg,
        "reason": f"Exception occurred during request: {mesg}",
        "err": (name, told),
    }
