"""What a fetch came to, in the words of the Axon's API: one dictionary, whether it went well or not."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

from aiohttp import (
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientResponse,
    NonHttpUrlClientError,
    TooManyRedirects,
    hdrs,
)

from ..checksums import Hashset

FetchInfo = dict[str, Any]

_PLACE = re.compile(r" at 0x[0-9a-f]+")


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
    if response.history:
        info["history"] = [traced(earlier) for earlier in response.history]
    return info


def stored(hashset: Hashset) -> FetchInfo:
    """Describe a body that was stored."""
    hashes = {name: digest.hex() for name, digest in hashset._asdict().items() if name != "size"}
    return {"size": hashset.size, "hashes": hashes}


def wording(error: Exception) -> str:
    """Say what went wrong, where aiohttp says it to programmers only."""
    if isinstance(error, TimeoutError):
        return "it took too long to connect, to send the next byte, or in all"
    if isinstance(error, ClientConnectorError) and not isinstance(error, ClientConnectorDNSError):
        return f"Cannot connect to host {error.host}:{error.port} [{error.strerror}]"
    if isinstance(error, TooManyRedirects):
        return f"more than {len(error.history) - 1} redirects"
    if isinstance(error, NonHttpUrlClientError):
        return f"{error}: only http and https are fetched"
    return str(error)


def failed(name: str, message: str) -> FetchInfo:
    """Describe a failure; `name` is what the kind of error is called."""
    text = as_text(_PLACE.sub("", message))
    mesg = f"{name}: {text}" if text else name
    return {
        "ok": False,
        "code": -1,
        "mesg": mesg,
        "reason": f"Exception occurred during request: {mesg}",
        "err": (name, {"mesg": text}),
    }
