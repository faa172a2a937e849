"""What this server is, for a person with curl."""

from __future__ import annotations

from aiohttp import web

from ..access import Permission
from ..version import __version__
from .access import guarded
from .keys import BUFFERS, SETTINGS


def routes(*, at_the_top: bool) -> list[web.RouteDef]:
    """Name the routes; `at_the_top`: "/" is one of them."""
    paths = ("/", "/api/server") if at_the_top else ("/api/server",)
    return [*guarded(Permission.READ, *(web.get(path, about) for path in paths))]


async def about(request: web.Request) -> web.Response:
    """Tell name, version, how buffers are named and kept, and for whom, if this is a node."""
    store = request.app[BUFFERS].store
    answer = {
        "name": "hashserver-aio",
        "version": __version__,
        "algorithm": store.format.algorithm,
        "layout": store.format.layout,
        "writable": store.writable,
    }
    holding = request.app[SETTINGS].holding
    if holding is not None:
        answer["node_of"] = holding.server
    return web.json_response(answer)
