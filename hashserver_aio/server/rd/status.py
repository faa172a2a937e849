"""`/rd/`: what the blocks of a file hash to by SHA-1, as far as it is known.

What is not known yet is `pending`: the client asks again.
"""

from __future__ import annotations

import json
from contextlib import closing

from aiohttp import web

from ...access import Permission
from ...blocks import SHA1_BYTES
from ...checksums import is_checksum, parse_checksum
from ...manifests import Progress
from ...webroot import parse_path
from ..access import guarded
from ..keys import FILE_MANIFESTS, MANIFESTS, WEB_ROOT
from ..manifest_text import hexadecimal, worded
from ..words import UNCACHED
from .words import ABOUT, BASE, path_of

PENDING = "pending"


def routes() -> list[web.RouteDef]:
    """Name the routes."""
    return [*guarded(Permission.READ, web.get(BASE, about), web.get(f"{BASE}{{path:.+}}", status))]


async def about(request: web.Request) -> web.Response:
    """Say what this is."""
    return web.json_response(ABOUT)


async def status(request: web.Request) -> web.Response:
    """Tell of a buffer, or a file, how long it is, and what its blocks hash to."""
    path = path_of(request)
    if is_checksum(path.lower()) or request.app[WEB_ROOT] is None:
        checksum = parse_checksum(path)
        text = await _text(path, checksum, await request.app[MANIFESTS].progress(checksum))
    else:
        text = await _of_file(request)
    return web.json_response(text=text, headers=UNCACHED)


async def _of_file(request: web.Request) -> str:
    """Tell it of the file that a GET of the same path, without what this face adds, would send."""
    root, manifests = request.app[WEB_ROOT], request.app[FILE_MANIFESTS]
    assert root is not None and manifests is not None
    path = parse_path(request.rel_url.raw_path.split("/", 2)[2])
    with closing((opened := await root.open(path)).file):
        return await _text(path.shown, path.shown, await manifests.progress(opened))


async def _text(path: str, filepath: str, progress: Progress) -> str:
    """Word what is known; the names are those of `rd-api`."""
    size, block_size, sha1s = progress
    known, count = len(sha1s) // SHA1_BYTES, -(-size // block_size)

    def block(number: int) -> str:
        first = number * block_size
        last = min(first + block_size, size) - 1
        sha1 = hexadecimal(sha1s, SHA1_BYTES, number) if number < known else PENDING
        return f'[{number}, {first}, {last}, "{sha1}"]'

    answer = {
        "ok": True,
        "msg": "",
        "path": path,
        "filepath": filepath,
        "file_size": size,
        "block_size": _size_text(block_size),
        "block_count": count,
    }
    return f'{json.dumps(answer)[:-1]}, "blocks": [{await worded(count, block)}]}}'


def _size_text(size: int) -> str:
    return f"{size // 2**20}MiB" if size % 2**20 == 0 else f"{size // 2**10}KiB"
