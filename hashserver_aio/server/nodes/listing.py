"""Nodes, for whoever may read: all of them, or one.

Nothing is cached. A listing is read and worded some nodes at a time, so that it holds up nobody, and takes no
more memory where it is read slowly.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from aiohttp import web

from ...access import Permission
from ...catalogue.nodes import Node, Nodes
from ...errors import BadArgument, NodeNotFound
from ...fleet.registering import Registering
from ..access import guarded
from ..keys import NODES, REGISTERING
from ..node_words import SERVERS
from ..send import begun, write_piece
from ..words import UNCACHED

MIN_DIGITS = 8
"""Of an id, if it is unique."""

_DIGITS = 64


def routes() -> list[web.RouteDef]:
    """Name the routes."""
    listings = {SERVERS.rstrip("/"): every, f"{SERVERS}{{id}}": one}
    return [
        *guarded(Permission.READ, *(web.get(path, show, allow_head=False) for path, show in listings.items()))
    ]


async def every(request: web.Request) -> web.StreamResponse:
    """Tell of all nodes, and how much is placed on them."""
    rows, registering = request.app[NODES], request.app[REGISTERING]
    totals, page, comma = await rows.count(), await rows.page(0), ""
    response = web.StreamResponse(headers=UNCACHED | {"Content-Type": "application/json; charset=utf-8"})
    async with begun(request, response):
        await write_piece(response, f'{{"placements": {json.dumps(totals._asdict())}, "nodes": ['.encode())
        while page:
            await write_piece(response, f"{comma}{_worded(registering, page)}".encode())
            page, comma = await rows.page(page[-1].seq), ", "
        await write_piece(response, b"]}")
        await response.write_eof()
    return response


async def one(request: web.Request) -> web.Response:
    """Tell of one node."""
    node = await find(request.app[NODES], request.match_info["id"])
    return answer(request, node)


def answer(request: web.Request, node: Node) -> web.Response:
    """Answer with a node."""
    return web.json_response(described(request.app[REGISTERING], node), headers=UNCACHED)


async def find(rows: Nodes, text: str) -> Node:
    """Find a node by its id, or by how that begins.

    Raises: BadArgument, NodeNotFound, StoreFailed.
    """
    digits = text.lower()
    if not MIN_DIGITS <= len(digits) <= _DIGITS or not set(digits) <= set("0123456789abcdef"):
        raise BadArgument(
            f"{text[:100]!r} is no id of a node: 64 hexadecimal digits, or the first {MIN_DIGITS} or more"
        )
    if len(digits) == _DIGITS:
        node = rows.get(bytes.fromhex(digits))
        found = [] if node is None else [node]
    else:
        found = [node for node in await rows.all() if node.key.hex().startswith(digits)]
    if len(found) > 1:
        raise BadArgument(f"the ids of {len(found)} nodes begin with {digits}; give more of it")
    if not found:
        raise NodeNotFound()
    return found[0]


def described(registering: Registering, node: Node) -> dict[str, object]:
    """Tell what is known of a node; times are in milliseconds since 1970, sizes in bytes."""
    return {
        "id": node.key.hex(),
        "url": node.url,
        "state": node.state,
        "online": registering.is_online(node),
        "last_seen_s": registering.last_seen_s(node),
        "registered_ms": node.registered_ms,
        "capacity": node.capacity,
        "used": node.used,
        "full": registering.is_full(node),
        "record": round(node.record, 4),
        "passed": node.passed,
        "failed": node.failed,
        "last_failure": node.failure or None,
        "last_failure_ms": node.failed_ms if node.failure else None,
        "payout_address": node.payout_address or None,
        "placements": {"good": node.good, "dead": node.dead, "surplus": node.surplus},
    }


def _worded(registering: Registering, nodes: Sequence[Node]) -> str:
    return json.dumps([described(registering, node) for node in nodes])[1:-1]
