"""What who asks for a fetch says of the request: read once, with the names and meanings of the Axon's API."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import BadArgument
from .tls import DEFAULT_TLS, TlsOptions, read_tls

MAX_TIMEOUT_S = 24 * 3600.0
"""What nobody bounds ends after a day: enough for 8 TiB at 100 MiB/s."""

ARGUMENTS = frozenset({"url", "params", "headers", "method", "ssl", "timeout", "proxy", "ssl_opts"})

_METHOD = re.compile(r"[A-Za-z][A-Za-z-]{0,30}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchRequest:
    """An HTTP request to be sent. `proxy` is as it was given; whom it means, the fetcher knows."""

    url: str
    method: str
    params: Any = None
    headers: Mapping[str, str] | None = None
    tls: TlsOptions = DEFAULT_TLS
    timeout_s: float = MAX_TIMEOUT_S
    proxy: object = True


def read_request(given: Mapping[str, object], method: str) -> FetchRequest:
    """Read a request from its arguments, of which only `url` is needed; `method` is the usual one.

    Raises: BadArgument; BadBody, of `ssl` and `ssl_opts`.
    """
    url = given.get("url")
    if not isinstance(url, str):
        raise BadArgument("url is needed: the text of an http:// or https:// URL")
    params = given.get("params")
    if not isinstance(params, dict | list | str | None):
        raise BadArgument("params is an object of names and values")
    return FetchRequest(
        url=url,
        method=_method(given.get("method", method)),
        params=params,
        headers=_headers(given.get("headers")),
        tls=read_tls(given.get("ssl", True), given.get("ssl_opts")),
        timeout_s=_timeout(given.get("timeout")),
        proxy=given.get("proxy", True),
    )


def _method(given: object) -> str:
    if not isinstance(given, str) or _METHOD.fullmatch(given) is None or given.upper() == "CONNECT":
        raise BadArgument("method is the name of an HTTP method other than CONNECT")
    return given.upper()


def _headers(given: object) -> dict[str, str] | None:
    if given is None:
        return None
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise BadArgument("headers is an object of names and texts")
    return given


def _timeout(given: object) -> float:
    """Read seconds; none, and 0, mean as long as there may be."""
    if given is None:
        return MAX_TIMEOUT_S
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given < math.inf:
        raise BadArgument("timeout is a number of seconds")
    return min(float(given), MAX_TIMEOUT_S) or MAX_TIMEOUT_S
