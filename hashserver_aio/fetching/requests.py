"""What who asks for a fetch says of the request: read once, with the names and meanings of the Axon's API."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from yarl import URL

from ..errors import BadArgument
from .texts import Pairs, is_text, read_headers, read_pairs
from .tls import DEFAULT_TLS, TlsOptions, read_tls

MAX_TIMEOUT_S = 24 * 3600.0
"""What nobody bounds ends after a day: enough for 8 TiB at 100 MiB/s."""

ARGUMENTS = frozenset({"url", "params", "headers", "method", "ssl", "timeout", "proxy", "ssl_opts"})

_METHOD = re.compile(r"[A-Za-z][A-Za-z-]{0,30}")

_KEPT_METHODS = frozenset({"CONNECT", "TRACE", "TRACK"})
"""The first opens a tunnel; the others have what was sent said back, with what a proxy was told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchRequest:
    """An HTTP request to be sent. `proxy` is as it was given; whom it means, the fetcher knows."""

    url: str
    method: str
    params: Pairs | str = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    tls: TlsOptions = DEFAULT_TLS
    timeout_s: float = MAX_TIMEOUT_S
    proxy: object = True


def read_request(given: Mapping[str, object], method: str) -> FetchRequest:
    """Read a request from its arguments, of which only `url` is needed; `method` is the usual one.

    Whether the URL can be fetched is told in the result, as the Axon tells it.
    Raises: BadArgument; BadBody, of `ssl` and `ssl_opts`.
    """
    url = given.get("url")
    if not isinstance(url, str) or not is_text(url):
        raise BadArgument("url is needed: the text of an http:// or https:// URL")
    headers = read_headers(given.get("headers"))
    if _names_user(url) and any(name.lower() == "authorization" for name in headers):
        raise BadArgument("url names a user, and headers has an Authorization: only one can be sent")
    return FetchRequest(
        url=url,
        method=_method(given.get("method", method)),
        params=_params(given.get("params")),
        headers=headers,
        tls=read_tls(given.get("ssl", True), given.get("ssl_opts")),
        timeout_s=_timeout(given.get("timeout")),
        proxy=given.get("proxy", True),
    )


def _names_user(url: str) -> bool:
    try:
        parsed = URL(url)
    except ValueError:
        return False
    return parsed.raw_user is not None or parsed.raw_password is not None


def _params(given: object) -> Pairs | str:
    if isinstance(given, str) and is_text(given):
        return given
    return read_pairs(given, "params")


def _method(given: object) -> str:
    if not isinstance(given, str) or _METHOD.fullmatch(given) is None or given.upper() in _KEPT_METHODS:
        raise BadArgument("method is the name of an HTTP method other than CONNECT and TRACE")
    return given.upper()


def _timeout(given: object) -> float:
    """Read seconds; none, and 0, mean as long as there may be."""
    if given is None:
        return MAX_TIMEOUT_S
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given < math.inf:
        raise BadArgument("timeout is a number of seconds")
    return float(min(given, MAX_TIMEOUT_S)) or MAX_TIMEOUT_S
