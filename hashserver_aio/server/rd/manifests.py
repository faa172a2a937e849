"""`/{checksum}/blocks` and `/{checksum}/proof`: what each block and leaf is checked by as it arrives."""

from __future__ import annotations

import base64
import json
from http import HTTPStatus
from typing import Any

from aiohttp import web

from ...access import Permission
from ...blocks import DIGEST_BYTES, LEAF_BYTES, Manifest
from ...checksums import Checksum, parse_checksum
from ...errors import BadArgument
from ..access import guarded, is_public
from ..conditions import failed
from ..headers import immutable
from ..keys import MANIFESTS
from ..words import ECHOED, UNCACHED
from .packed import hexadecimal, worded


def routes() -> list[web.RouteDef]:
    """Name the routes."""
    return [
        *guarded(Permission.READ, web.get("/{checksum}/blocks", blocks), web.get("/{checksum}/proof", proof))
    ]


async def blocks(request: web.Request) -> web.Response:
    """Tell what the blocks of a buffer hash to, and the root of the tree over its leaves."""
    checksum = parse_checksum(request.match_info["checksum"])
    manifest = await request.app[MANIFESTS].get(checksum)
    count = len(manifest.digests) // DIGEST_BYTES
    answer = _described(checksum, manifest) | {"block_size": manifest.block_size, "block_count": count}

    def digest(number: int) -> str:
        return f'"{hexadecimal(manifest.digests, DIGEST_BYTES, number)}"'

    text = f'{json.dumps(answer)[:-1]}, "blocks": [{await worded(count, digest)}]}}'
    return _lasting(request, f"{checksum}-blocks-{manifest.block_size}", text)


async def proof(request: web.Request) -> web.Response:
    """Send a leaf of a buffer with the hashes that lead from it to the root."""
    checksum = parse_checksum(request.match_info["checksum"])
    index = _leaf(request)
    manifest, found = await request.app[MANIFESTS].prove(checksum, index)
    answer = _described(checksum, manifest) | {
        "leaf_index": index,
        "leaf": base64.b64encode(found.leaf).decode(),
        "path": [sibling.hex() for sibling in found.path],
    }
    return _lasting(request, f"{checksum}-proof-{index}", json.dumps(answer))


def _leaf(request: web.Request) -> int:
    text = request.query.get("leaf", "")
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise BadArgument(f"{text[:ECHOED]!r} is no number of a leaf; ask for ?leaf=0")
    return int(text)


def _described(checksum: Checksum, manifest: Manifest) -> dict[str, Any]:
    return {
        "checksum": checksum,
        "size": manifest.size,
        "algorithm": manifest.algorithm,
        "leaf_size": LEAF_BYTES,
        "leaf_count": manifest.leaf_count,
        "root": manifest.root.hex(),
    }


def _lasting(request: web.Request, etag: str, text: str) -> web.Response:
    """Answer with what never changes."""
    headers = {"ETag": f'"{etag}"', "Cache-Control": immutable(is_public=is_public(request))}
    if {"If-Match", "If-None-Match"} & request.headers.keys():
        status = failed(request, etag, 0)
        if status is HTTPStatus.NOT_MODIFIED:
            return web.Response(status=status, headers=headers)
        if status is not None:
            return web.Response(status=status, headers=UNCACHED)
    return web.json_response(text=text, headers=headers)
