"""The hashserver face: what clients of `hashserver` 1.1.0 and its older API speak.

Statuses and bodies are theirs to the letter; what is added does not get in their way.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from http import HTTPStatus

from aiohttp import hdrs, web

from ..access import Permission
from ..blobs import Blob
from ..buffers import Buffers
from ..checksums import Checksum, parse_checksum
from ..errors import BufferNotFound, UnknownEncoding
from ..store import Form
from ..store.promises import PROMISE_TTL_S
from .access import guarded
from .codings import sent_form
from .columns import HASHSERVER, REQUESTS
from .fast_path import Door, Wording
from .headers import whole_head
from .keys import BUFFERS, READINESS
from .name_lists import MAX_LIST_BYTES, THREAD_NAMES, parse_names
from .receive import expect_later, read_whole, receive, refuse_deleting, refuse_writing, remove
from .send import send
from .words import UNCACHED


def routes() -> list[web.RouteDef]:
    """Name the routes of this face."""
    lists = {"/has": has, "/has-now": has_now, "/buffer-length": buffer_length}
    methods = (hdrs.METH_GET, hdrs.METH_POST)
    return [
        *guarded(
            Permission.READ,
            web.get("/{checksum}", get_buffer),
            *(web.route(method, path, handler) for path, handler in lists.items() for method in methods),
        ),
        *guarded(
            Permission.WRITE,
            web.put("/{checksum}", put_buffer, expect_handler=expect_later),
            web.put("/promise/{checksum}", promise),
        ),
        *guarded(Permission.DELETE, web.delete("/{checksum}", delete_buffer)),
        web.get("/healthcheck", healthcheck),
    ]


def _named(buffers: Buffers, name: str) -> Checksum:
    return Checksum(name)


def _whole(blob: Blob, is_public: bool) -> Wording:
    return Wording(whole_head(blob, is_public=is_public), None)


DOOR = Door(b"GET /", b"", REQUESTS[HASHSERVER, "GET", "200"], _named, _whole, negotiates=True)
"""Whole buffers, by the fast path."""


async def get_buffer(request: web.Request) -> web.StreamResponse:
    """Send a buffer; also HEAD."""
    return await send(request, request.app[BUFFERS], _name(request))


async def put_buffer(request: web.Request) -> web.Response:
    """Store a buffer: 200, or 201 if it was held already."""
    if await receive(request, _name(request)):
        return web.Response(text="OK")
    return web.Response(status=HTTPStatus.CREATED)


async def delete_buffer(request: web.Request) -> web.Response:
    """Remove a buffer for good."""
    checksum = _name(request)
    refuse_deleting(request)
    if not await remove(request, checksum):
        raise BufferNotFound(checksum)
    return web.Response(text="OK")


async def promise(request: web.Request) -> web.Response:
    """Announce a buffer: who asks for it waits for it."""
    checksum = _name(request)
    refuse_writing(request)
    await request.app[BUFFERS].promise(checksum)
    answer = {"checksum": checksum, "expires_in": PROMISE_TTL_S}
    return web.json_response(answer, status=HTTPStatus.ACCEPTED)


async def has(request: web.Request) -> web.Response:
    """Tell which buffers are held, promised or being uploaded."""
    return await _listed(await request.app[BUFFERS].has(await _names(request)))


async def has_now(request: web.Request) -> web.Response:
    """Tell which buffers are held."""
    return await _listed(await request.app[BUFFERS].has(await _names(request), promised=False))


async def buffer_length(request: web.Request) -> web.Response:
    """Tell plain sizes in bytes: 0 for what is absent, true for what is only promised."""
    sizes = await request.app[BUFFERS].sizes(await _names(request))
    return await _listed([True if size == -1 else size or 0 for size in sizes])


async def healthcheck(request: web.Request) -> web.Response:
    """Say that the server answers; with `?ready`, whether it can do what it is there for."""
    why_not = await request.app[READINESS].why_not() if "ready" in request.query else None
    if why_not is None:
        return web.Response(text="OK")
    return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE, text=why_not, headers=UNCACHED)


def _name(request: web.Request) -> Checksum:
    return parse_checksum(request.match_info["checksum"])


async def _names(request: web.Request) -> list[Checksum]:
    """Read a JSON list of names.

    Raises: BadNameList, BadChecksum, BufferTooLarge, UploadCut.
    """
    if sent_form(request) is not Form.PLAIN:
        raise UnknownEncoding("a list of names is taken uncompressed only")
    return await parse_names(await read_whole(request, MAX_LIST_BYTES))


async def _listed(answers: Sequence[bool | int]) -> web.Response:
    """Answer with a list; wording a long one would hold up the event loop."""
    if len(answers) < THREAD_NAMES:
        return web.json_response(answers)
    return web.json_response(text=await asyncio.to_thread(json.dumps, answers))
