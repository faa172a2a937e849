"""Web pages of other origins: they may read; they write only where the server's owner says so.

Else any page that a user visits could fill a server on the user's own machine.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from ..errors import ForeignOrigin
from .headers import EVERYWHERE
from .keys import SETTINGS

_READING = "GET, HEAD, POST, OPTIONS"


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add what every answer has, also an error."""
    response.headers.update(EVERYWHERE)


@web.middleware
async def preflight(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer OPTIONS, for whatever path."""
    if request.method != "OPTIONS":
        return await handler(request)
    methods = f"{_READING}, PUT, DELETE" if _may_write(request) else _READING
    headers = {"Access-Control-Allow-Methods": methods, "Access-Control-Max-Age": "600", "Vary": "Origin"}
    asked = request.headers.get("Access-Control-Request-Headers")
    if asked:
        headers["Access-Control-Allow-Headers"] = asked
    return web.Response(text="OK", headers=headers)


def refuse_foreign_origin(request: web.Request) -> None:
    """Refuse a request that a web page of another origin made a browser send.

    Raises: ForeignOrigin.
    """
    if not _may_write(request):
        origin = request.headers["Origin"][:100]
        raise ForeignOrigin(f"pages of {origin} may not write here; allow it with --cors-origin")


def _may_write(request: web.Request) -> bool:
    origin = request.headers.get("Origin")
    if origin is None:  # no browser, or no other page
        return True
    allowed = request.app[SETTINGS].cors_origins
    return origin in allowed or "*" in allowed or _is_same(origin, request.headers.get("Host", ""))


def _is_same(origin: str, host: str) -> bool:
    """Tell whether a page comes from this server itself.

    By address or as localhost only: any other name may be made to point here by whoever owns it.
    """
    try:
        page = urlsplit(origin)
        if page.netloc != host or page.hostname is None:
            return False
        return page.hostname == "localhost" or bool(ipaddress.ip_address(page.hostname))
    except ValueError:
        return False
