"""What nodes say of themselves: each call is signed with the node's key, over its body, too."""

from __future__ import annotations

import hashlib

from aiohttp import web

from ...errors import DigestMismatch
from ...fleet.announcements import MAX_BYTES, read_ping, read_registration
from ...fleet.registering import REGISTERING_COSTS
from ...nodes.messages import Message
from ..digests import repr_digest
from ..keys import BUFFERS, REGISTERING
from ..node_words import SERVERS
from ..receive import read_whole
from ..words import UNCACHED
from .listing import described


def routes() -> list[web.RouteDef]:
    """Name the routes; signatures are what guards them, and everybody may know the server's key."""
    return [
        web.get(f"{SERVERS}server", about, allow_head=False),
        web.post(f"{SERVERS}register", register),
        web.post(f"{SERVERS}ping", ping),
    ]


async def about(request: web.Request) -> web.Response:
    """Tell what a node has to know before it signs anything."""
    algorithm = request.app[BUFFERS].store.format.algorithm
    answer = {"key": request.app[REGISTERING].pair.id, "algorithm": algorithm}
    return web.json_response(answer, headers=UNCACHED)


async def register(request: web.Request) -> web.Response:
    """Take a node in, or what it says of itself anew."""
    registering = request.app[REGISTERING]
    signed = registering.hear(request.remote, _message(request), REGISTERING_COSTS)
    said = read_registration(await _signed_body(request))
    node = await registering.register(request.remote, signed, said)
    return web.json_response(described(registering, node), headers=UNCACHED)


async def ping(request: web.Request) -> web.Response:
    """Hear that a node lives."""
    registering = request.app[REGISTERING]
    signed = registering.hear(request.remote, _message(request))
    await registering.ping(signed, read_ping(await _signed_body(request)))
    return web.json_response({"next_ping_s": registering.next_ping_s}, headers=UNCACHED)


def _message(request: web.Request) -> Message:
    path, _, query = request.raw_path.partition("?")
    return Message(request.method, path, query, request.headers)


async def _signed_body(request: web.Request) -> bytes:
    """Read a body, which is to be the one that was signed.

    Raises: BufferTooLarge, UploadCut, DigestMismatch.
    """
    body = await read_whole(request, MAX_BYTES)
    if request.headers["Content-Digest"] != repr_digest(hashlib.sha256(body).digest()):
        raise DigestMismatch("the body is not the one that was signed")
    return body
