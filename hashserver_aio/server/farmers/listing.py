"""Who is online, for people and for programs; and the server's own address.

Nothing is cached: what a node said is in the next answer. Listings are sent as they are read, so that they
take the memory of a page, however many nodes there are.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from aiohttp import web

from ...access import Permission
from ...catalogue.farmers import Farmer
from ...farmers import Registry
from ..access import guarded
from ..keys import REGISTRY
from ..words import UNCACHED
from .words import HTML

HEIGHTS_PER_TB = 8192
"""A height is 128 MiB."""

TOTAL_EVERY_MINUTES = 30
"""How often the id of the totals changes."""

JSON = "application/json; charset=utf-8"


def routes() -> list[web.RouteDef]:
    """Name the routes. Clients ask for the address before they sign anything, so it is for everybody."""
    handlers = {"/api/online": online, "/api/online/json": online_json, "/api/total": total}
    listings = [web.get(path, handler, allow_head=False) for path, handler in handlers.items()]
    return [web.get("/api/address", address, allow_head=False), *guarded(Permission.READ, *listings)]


async def address(request: web.Request) -> web.Response:
    """Tell what nodes sign for."""
    answer = {"address": request.app[REGISTRY].rules.server_address}
    return web.json_response(answer, headers=UNCACHED)


async def total(request: web.Request) -> web.Response:
    """Sum up who is online."""
    registry = request.app[REGISTRY]
    totals = await registry.totals()
    answer = {
        "id": int(registry.clock() / 60 / TOTAL_EVERY_MINUTES),
        "total_TB": round(totals.height / HEIGHTS_PER_TB, 2),
        "total_farmers": totals.farmers,
    }
    return web.json_response(answer, headers=UNCACHED)


async def online(request: web.Request) -> web.StreamResponse:
    """List who is online, a line each."""
    registry = request.app[REGISTRY]

    async def pages() -> AsyncIterator[str]:
        async for page in registry.online():
            yield "".join([_line(registry, node) for node in page])

    return await _sent(request, HTML, pages())


async def online_json(request: web.Request) -> web.StreamResponse:
    """List who is online, for programs."""
    registry = request.app[REGISTRY]

    async def pages() -> AsyncIterator[str]:
        before = '{"farmers": ['
        async for page in registry.online():
            yield before + json.dumps([described(registry, node) for node in page])[1:-1]
            before = ", "
        yield "]}" if before == ", " else f"{before}]}}"

    return await _sent(request, JSON, pages())


def described(registry: Registry, node: Farmer) -> dict[str, object]:
    """Tell what is known of a node, in the names of `dataserv`."""
    return {
        "btc_addr": node.address,
        "payout_addr": node.payout_address,
        "last_seen": registry.last_seen_s(node),
        "height": node.height,
        "reg_time": node.registered_ms // 1000,
        "uptime": registry.uptime_percent(node),
    }


def _line(registry: Registry, node: Farmer) -> str:
    seen = _ago(registry.last_seen_s(node))
    return f"{node.payout_address} |  Last Seen: {seen} | Height: {node.height}<br/>"


def _ago(seconds: int) -> str:
    if seconds < 60:
        return f"{seconds} second(s)"
    return f"{seconds // 60} minute(s)" if seconds < 3600 else f"{seconds // 3600} hour(s)"


async def _sent(request: web.Request, content_type: str, pages: AsyncIterator[str]) -> web.StreamResponse:
    """Send pages as they come; what goes wrong before the first one is still answered in words."""
    first = await anext(pages, "")
    response = web.StreamResponse(headers=UNCACHED | {"Content-Type": content_type})
    await response.prepare(request)
    await response.write(first.encode())
    async for page in pages:
        await response.write(page.encode())
    await response.write_eof()
    return response
