"""What nodes that hold data say to their server, and what its operator asks; only where it has nodes."""

from __future__ import annotations

from aiohttp import web

from . import calls, listing, operating
from .opening import fleet

__all__ = ["fleet", "routes"]


def routes() -> list[web.RouteDef]:
    """Name the routes of this face; fixed paths go before those with an id."""
    return [*calls.routes(), *operating.routes(), *listing.routes()]
