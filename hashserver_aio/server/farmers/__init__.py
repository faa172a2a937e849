"""The registry of nodes, as clients of `dataserv` 2.2 speak to it; there only where the server keeps one."""

from __future__ import annotations

from aiohttp import web

from . import calls, listing

__all__ = ["routes"]


def routes() -> list[web.RouteDef]:
    """Name the routes of this face."""
    return [*calls.routes(), *listing.routes()]
