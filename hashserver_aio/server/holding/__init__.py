"""What a node answers its server, and nobody else: buffers placed here, and that they are.

There only where this server is a node. Each request is signed with the server's key.
"""

from __future__ import annotations

from aiohttp import web

from . import calls, leaves
from .life import known, pinging

__all__ = ["known", "pinging", "routes"]


def routes() -> list[web.RouteDef]:
    """Name the routes of this face."""
    return [*calls.routes(), *leaves.routes()]
