"""Buffers that the server places here, asks for and takes away again; and who this node is.

They are stored as in any directory, so that another server can serve it as it is.
"""

from __future__ import annotations

import asyncio
import re
import time
from http import HTTPStatus

from aiohttp import web

from ...blocks import MAX_BLOCKS, Manifest
from ...checksums import Checksum, parse_checksum
from ...errors import BadArgument, BadBody, NotYet, UnknownEncoding, check_size
from ...nodes.keys import identity_text
from ...store import Form
from ..codings import sent_form
from ..keys import BUFFERS, MANIFESTS, SETTINGS
from ..node_words import NODES
from ..receive import receive, remove
from ..send import send
from ..words import UNCACHED
from .guard import GUARD, signed

BUFFER = f"{NODES}buffers/{{checksum}}"

ROOT_WAIT_S = 300.0
"""What a large buffer takes to be digested, after it was stored; then the server is told to ask again."""

ROOT_PAUSE_S = 1.0

_NONCE = re.compile(r"[0-9a-fA-F]{32}")


def routes() -> list[web.RouteDef]:
    """Name the routes; each is for the server of this node only."""
    return [
        *signed(
            web.get(f"{NODES}identity", identify, allow_head=False),
            web.put(BUFFER, put_buffer),
            web.get(BUFFER, get_buffer, allow_head=False),
            web.delete(BUFFER, delete_buffer),
        )
    ]


def name_in(request: web.Request) -> Checksum:
    """Read which buffer a request is about. Raises: BadChecksum."""
    return parse_checksum(request.match_info["checksum"])


async def identify(request: web.Request) -> web.Response:
    """Prove to the server that it speaks with this node."""
    nonce = request.query.get("nonce", "")
    if not _NONCE.fullmatch(nonce):
        raise BadArgument("a nonce has 32 hexadecimal digits")
    node = request.app[GUARD].node
    proof = node.pair.sign(identity_text(node.server.key, bytes.fromhex(nonce)))
    return web.json_response({"key": node.pair.id, "proof": proof.hex()}, headers=UNCACHED)


async def put_buffer(request: web.Request) -> web.Response:
    """Hold a buffer: 200, or 201 if it was held already; either with what it will be audited by."""
    checksum = name_in(request)
    if sent_form(request) is not Form.PLAIN:
        raise UnknownEncoding("a buffer is placed uncompressed")
    if request.content_length is None:
        raise BadBody("say in Content-Length how long the buffer is")
    check_size(request.content_length, MAX_BLOCKS * request.app[SETTINGS].block_size)
    is_new = await receive(request, checksum)
    manifest = await _digested(request, checksum)
    answer = {"root": manifest.root.hex(), "size": manifest.size}
    return web.json_response(answer, status=HTTPStatus.OK if is_new else HTTPStatus.CREATED, headers=UNCACHED)


async def get_buffer(request: web.Request) -> web.StreamResponse:
    """Send a buffer, or ranges of it; nobody between is to keep it."""
    about = {"Cache-Control": "no-store", "Link": f'<{request.rel_url.raw_path}/leaves>; rel="describedby"'}
    return await send(request, request.app[BUFFERS], name_in(request), negotiates=False, more=about)


async def delete_buffer(request: web.Request) -> web.Response:
    """Hold a buffer no longer; also if it never was."""
    await remove(request, name_in(request))
    return web.json_response({}, headers=UNCACHED)


async def _digested(request: web.Request, checksum: Checksum) -> Manifest:
    """Tell what a buffer's leaves hash to, after waiting for it. Raises: NotYet."""
    deadline_s = time.monotonic() + ROOT_WAIT_S
    while True:
        try:
            return await request.app[MANIFESTS].get(checksum)
        except NotYet:
            if time.monotonic() >= deadline_s:
                raise
        await asyncio.sleep(ROOT_PAUSE_S)
