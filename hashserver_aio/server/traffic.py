"""Requests and the bytes of their bodies, counted whichever face they are for.

What the fast path answers never comes here; it counts for itself.
"""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from ..counting import BYTES_IN, BYTES_OUT, Counts
from . import hashserver, rd, webroot
from .axon.words import BASE as AXON_PATHS
from .columns import AXON, FARMERS, HASHSERVER, INFO, NODES, OTHER, RD, WEB_ROOT, column_of
from .farmers.words import PATHS as FARMER_PATHS
from .node_words import NODES as NODE_PATHS
from .node_words import SERVERS as SERVER_PATHS
from .receive import RECEIVED

_FACES = {route.path: HASHSERVER for route in hashserver.routes()} | {
    route.path.replace(":.+", ""): RD for route in rd.routes()
}
"""Of paths as routes have them."""


def face_of(request: web.Request) -> str:
    """Tell which face a request is for."""
    resource = request.match_info.route.resource
    path = request.path if resource is None else resource.canonical
    if path.startswith(AXON_PATHS):
        return AXON
    if path.startswith(FARMER_PATHS):
        return FARMERS
    if f"{path}/".startswith((NODE_PATHS, SERVER_PATHS)):
        return NODES
    if path == webroot.PATH:
        return WEB_ROOT
    return _FACES.get(path, INFO)


def traffic(counts: Counts) -> Middleware:
    """Make the middleware that counts; a request that gets no answer has the status "other"."""
    row = counts.row

    @web.middleware
    async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
        status = OTHER
        try:
            response = await handler(request)
            status = str(response.status)
            row[BYTES_OUT] += _not_counted_yet(request, response)
            return response
        finally:
            row[column_of(face_of(request), request.method, status)] += 1
            # The rest: of a body that somebody read in another way, or nobody did.
            row[BYTES_IN] += request.content.total_bytes - request.get(RECEIVED, 0)

    return count


def _not_counted_yet(request: web.Request, response: web.StreamResponse) -> int:
    """Tell the size of a body that is still to be sent, or was sent in chunks; `send` counts its own."""
    if request.method == "HEAD":
        return 0
    if response.prepared:
        return request.writer.output_size if response.chunked else 0
    return response.content_length or 0 if isinstance(response, web.Response) else 0
