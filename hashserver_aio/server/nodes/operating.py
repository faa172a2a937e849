"""What the server's operator has nodes do, and buffers placed on them."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from aiohttp import web
from aiohttp.typedefs import Handler

from ...access import Permission
from ...catalogue.nodes import NodeState
from ...errors import BadArgument, NodeNotFound
from ..access import guarded
from ..cors import refuse_foreign_origin
from ..keys import BUFFERS, NODES
from ..node_words import SERVERS
from ..receive import read_whole
from ..words import UNCACHED
from .listing import answer, find
from .wishes import MAX_BYTES, read_wish

STATES = {"pause": NodeState.PAUSED, "resume": NodeState.ACTIVE, "drain": NodeState.DRAINING}


def routes() -> list[web.RouteDef]:
    """Name the routes."""
    node = f"{SERVERS}{{id}}"
    return [
        *guarded(
            Permission.ADMIN,
            web.post(f"{SERVERS}place", place),
            *(web.post(f"{node}/{verb}", _setting(state)) for verb, state in STATES.items()),
            web.delete(node, _setting(NodeState.REMOVED)),
        )
    ]


def _setting(state: NodeState) -> Handler:
    return partial(_set_state, state)


async def _set_state(state: NodeState, request: web.Request) -> web.Response:
    """Let a node do so much."""
    refuse_foreign_origin(request)
    rows = request.app[NODES]
    node = await find(rows, request.match_info["id"])
    if node.state is NodeState.REMOVED and state in (NodeState.PAUSED, NodeState.DRAINING):
        raise BadArgument("this node was removed, and has nothing; resume lets it register again")
    changed = await rows.set_state(node.key, state, _now_ms())
    if changed is None:
        raise NodeNotFound()
    return answer(request, changed)


async def place(request: web.Request) -> web.Response:
    """Have buffers placed on so many nodes; on none: taken from all."""
    refuse_foreign_origin(request)
    wish = read_wish(await read_whole(request, MAX_BYTES))
    rows, at_ms = request.app[NODES], _now_ms()
    sizes = dict(zip(wish.checksums, await request.app[BUFFERS].sizes(wish.checksums), strict=True))
    for checksum, size in sizes.items():
        if size is None or size < 0:  # not here, or only promised: it may be on nodes all the same
            placed = rows.placed(checksum)
            sizes[checksum] = None if placed is None else placed.size
    absent = [checksum for checksum, size in sizes.items() if size is None]
    held = {checksum: size for checksum, size in sizes.items() if size is not None}
    if wish.replicas:
        await asyncio.gather(*(rows.want(name, size, wish.replicas, at_ms) for name, size in held.items()))
    else:
        await asyncio.gather(*(rows.unwant(name, at_ms) for name in held))
    return web.json_response({"placed": len(held), "absent": absent}, headers=UNCACHED)


def _now_ms() -> int:
    return int(time.time() * 1000)
