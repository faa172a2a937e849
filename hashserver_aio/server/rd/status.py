"""`/rd/`: what the blocks of a file hash to by SHA-1, as far as it is known.

What is not known yet is `pending`: the client asks again.
"""

from __future__ import annotations

import json

from aiohttp import web

from ...access import Permission
from ...blocks import SHA1_BYTES
from ...checksums import parse_checksum
from ...manifests import Progress
from ..access import guarded
from ..keys import MANIFESTS
from ..words import UNCACHED
from .packed import hexadecimal, worded
from .words import ABOUT, BASE, path_of

PENDING = "pending"


def routes() -> list[web.RouteDef]:
    """Name the routes."""
    return [*guarded(Permission.READ, web.get(BASE, about), web.get(f"{BASE}{{path:.+}}", status))]


async def about(request: web.Request) -> web.Response:
    """Say what this is."""
    return web.json_response(ABOUT)


async def status(request: web.Request) -> web.Response:
    """Tell of a buffer how long it is, and what its blocks hash to."""
    path = path_of(request)
    checksum = parse_checksum(path)
    progress = await request.app[MANIFESTS].progress(checksum)
    return web.json_response(text=await _text(path, checksum, progress), headers=UNCACHED)


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
