"""What nodes (`dataserv` calls them farmers) say of themselves: each call is signed with the node's key.

All are GETs, though they change something: so HEAD is not answered, and nothing of it may be cached.
"""

from __future__ import annotations

import json

from aiohttp import hdrs, web

from ...farmers import Call
from ..keys import REGISTRY
from .listing import described
from .words import text

_NUMBER = "{number:[0-9]+}"
_BLOCK = "{block:[0-9]{1,18}}"

_MAX_DIGITS = 18


def routes() -> list[web.RouteDef]:
    """Name the routes; their signatures are what guards them."""
    handlers = {
        "/api/register/{address}": register,
        "/api/register/{address}/{payout}": register,
        "/api/ping/{address}": ping,
        f"/api/height/{{address}}/{_NUMBER}": set_height,
        f"/api/audit/{{address}}/{_BLOCK}/{{response}}": submit_audit,
    }
    return [web.get(path, handler, allow_head=False) for path, handler in handlers.items()]


async def register(request: web.Request) -> web.Response:
    """Take a node in; tell what is known of it, as JSON that is called HTML."""
    registry = request.app[REGISTRY]
    node = await registry.register(_call(request), request.match_info.get("payout"))
    return text(json.dumps(described(registry, node)))


async def ping(request: web.Request) -> web.Response:
    """Hear that a node lives."""
    await request.app[REGISTRY].ping(_call(request))
    return text("Ping accepted.")


async def set_height(request: web.Request) -> web.Response:
    """Hear how much a node says it holds."""
    digits = request.match_info["number"].lstrip("0") or "0"
    height = int(digits) if len(digits) <= _MAX_DIGITS else 10**_MAX_DIGITS
    await request.app[REGISTRY].set_height(_call(request), height)
    return text("Height accepted.")


async def submit_audit(request: web.Request) -> web.Response:
    """Keep what a node answers to a block."""
    block, response = int(request.match_info["block"]), request.match_info["response"]
    await request.app[REGISTRY].submit_audit(_call(request), block, response)
    return text("Audit accepted.")


def _call(request: web.Request) -> Call:
    address, client = request.match_info["address"], request.remote
    return Call(address, client, _only(request, hdrs.DATE), _only(request, hdrs.AUTHORIZATION))


def _only(request: web.Request, name: str) -> str | None:
    """Read a header; of two nobody could tell which one was signed."""
    values = request.headers.getall(name, [])
    return values[0] if len(values) == 1 else None
