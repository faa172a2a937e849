"""Proxies that fetches may go through: by HTTP only, named by the operator or by who asks."""

from __future__ import annotations

from aiohttp import encode_basic_auth
from yarl import URL

from ..errors import BadArgument, CannotStart
from .guard import Proxy

SCHEMES = frozenset({"http", "https"})


def parse_proxy(text: str, *, trusted: bool = False) -> Proxy:
    """Read a proxy's URL; its user and password are put where no message shows them.

    Raises: BadArgument, also for the other kinds of proxies there are.
    """
    try:
        url = URL(text)
        authorization = encode_basic_auth(url.user or "", url.password or "") if url.user else None
    except ValueError:
        url, authorization = URL(), None
    if url.scheme not in SCHEMES or not url.raw_host:
        shown = url.scheme[:20] or "none"
        raise BadArgument(f"proxies are spoken to by http:// or https:// URLs; this one's scheme is {shown}")
    return Proxy(str(url.with_user(None).origin()), trusted, authorization)


def configured_proxy(text: str | None) -> Proxy | None:
    """Read the operator's proxy.

    Raises: CannotStart.
    """
    try:
        return None if text is None else parse_proxy(text, trusted=True)
    except BadArgument as error:
        raise CannotStart(f"--http-proxy: {error}") from None


def chosen(asked: object, configured: Proxy | None) -> Proxy | None:
    """Tell the proxy that a request goes through: True and None mean the configured one, False none.

    Raises: BadArgument.
    """
    if asked is True or asked is None:
        return configured
    if asked is False:
        return None
    if isinstance(asked, str):
        return parse_proxy(asked)
    raise BadArgument("proxy is true (the configured one), false, or the URL of a proxy")
