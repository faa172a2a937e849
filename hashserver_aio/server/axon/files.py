"""The Axon's own HTTP API: put, has, get and delete, by SHA-256."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from aiohttp import web

from ...checksums import Hashset
from ...errors import BufferNotFound, ReadOnly
from ..keys import BUFFERS, FAST_PATH
from ..receive import expect_later, receive_unnamed, refuse_deleting, remove
from ..send import send
from ..watched import watch
from .bodies import read_sha256s
from .doors import AS_ATTACHMENT
from .names import SHA256, Right, allowed, checksum_of, sha256_in
from .words import BASE, ok, ok_list

PUT, DEL = f"{BASE}axon/files/put", f"{BASE}axon/files/del"
HAS, BY = f"{BASE}axon/files/has/sha256/{SHA256}", f"{BASE}axon/files/by/sha256/{SHA256}"

AT_ONCE = 16
"""So many buffers of a list are deleted at a time: they wait for the disk."""


def routes() -> list[web.RouteDef]:
    """Name the routes."""
    return [
        *allowed(
            Right.UPLOAD,
            web.put(PUT, put, expect_handler=expect_later),
            web.post(PUT, put, expect_handler=expect_later),
        ),
        *allowed(Right.HAS, web.get(HAS, has, allow_head=False)),
        *allowed(Right.GET, web.get(BY, get)),
        *allowed(Right.DEL, web.delete(BY, delete), web.post(DEL, delete_many)),
        web.get(f"{BASE}active", active, allow_head=False),
    ]


async def put(request: web.Request) -> web.Response:
    """Store what the body is, and tell all that it is called."""
    return ok(hashset_as_json(await receive_unnamed(request)))


def hashset_as_json(hashset: Hashset) -> dict[str, Any]:
    """Write digests as hexadecimal digits."""
    return {name: value if name == "size" else value.hex() for name, value in hashset._asdict().items()}


async def has(request: web.Request) -> web.Response:
    """Tell whether a buffer is held."""
    watch(request, request.app[FAST_PATH])
    buffers = request.app[BUFFERS]
    checksum = buffers.named(sha256_in(request))
    return ok(checksum is not None and (await buffers.has([checksum], promised=False))[0])


async def get(request: web.Request) -> web.StreamResponse:
    """Send a buffer; also HEAD."""
    checksum = checksum_of(request, sha256_in(request))
    return await send(request, request.app[BUFFERS], checksum, more=AS_ATTACHMENT, negotiates=False)


async def delete(request: web.Request) -> web.Response:
    """Delete a buffer."""
    refuse_deleting(request)
    sha256 = sha256_in(request)
    if not await remove(request, checksum_of(request, sha256)):
        raise BufferNotFound(sha256)
    return ok(True)


async def delete_many(request: web.Request) -> web.Response:
    """Delete buffers: tell of each whether it was held, and is no more."""
    refuse_deleting(request)
    names = await read_sha256s(request)
    wanted = list(dict.fromkeys(name.lower() for name in names))
    deleted: set[str] = set()
    for begin in range(0, len(wanted), AT_ONCE):
        deleted |= await _deleted(request, wanted[begin : begin + AT_ONCE])
    answers = []
    for name in names:
        answers.append([name, name.lower() in deleted])
        deleted.discard(name.lower())  # named once more, it was not held any more
    return await ok_list(answers)


async def _deleted(request: web.Request, sha256s: Sequence[str]) -> set[str]:
    """Delete some buffers: those that are gone now, and were not."""

    async def try_one(sha256: str) -> bool:
        checksum = request.app[BUFFERS].named(sha256)
        with suppress(ReadOnly):  # held by an extra directory
            return checksum is not None and await remove(request, checksum)
        return False

    done = await asyncio.gather(*map(try_one, sha256s))
    return {sha256 for sha256, is_gone in zip(sha256s, done, strict=True) if is_gone}


async def active(request: web.Request) -> web.Response:
    """Say that the server answers; for everybody."""
    return ok({"active": True})
