"""`/{checksum}/blocks` and `/{checksum}/proof`: what each block and leaf is checked by as it arrives."""

from __future__ import annotations

import base64
import json

from aiohttp import web

from ...access import Permission
from ...checksums import parse_checksum
from ...errors import BadArgument
from ..access import guarded, is_public
from ..headers import immutable
from ..keys import MANIFESTS
from ..manifest_text import conditional, described, manifest_text
from ..words import ECHOED


def routes() -> list[web.RouteDef]:
    """Name the routes."""
    return [
        *guarded(Permission.READ, web.get("/{checksum}/blocks", blocks), web.get("/{checksum}/proof", proof))
    ]


async def blocks(request: web.Request) -> web.Response:
    """Tell what the blocks of a buffer hash to, and the root of the tree over its leaves."""
    checksum = parse_checksum(request.match_info["checksum"])
    manifest = await request.app[MANIFESTS].get(checksum)
    text = await manifest_text({"checksum": checksum}, manifest)
    return _lasting(request, f"{checksum}-blocks-{manifest.block_size}", text)


async def proof(request: web.Request) -> web.Response:
    """Send a leaf of a buffer with the hashes that lead from it to the root."""
    checksum = parse_checksum(request.match_info["checksum"])
    index = _leaf(request)
    manifest, found = await request.app[MANIFESTS].prove(checksum, index)
    answer = (
        {"checksum": checksum}
        | described(manifest)
        | {
            "leaf_index": index,
            "leaf": base64.b64encode(found.leaf).decode(),
            "path": [sibling.hex() for sibling in found.path],
        }
    )
    return _lasting(request, f"{checksum}-proof-{index}", json.dumps(answer))


def _leaf(request: web.Request) -> int:
    text = request.query.get("leaf", "")
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise BadArgument(f"{text[:ECHOED]!r} is no number of a leaf; ask for ?leaf=0")
    return int(text)


def _lasting(request: web.Request, etag: str, text: str) -> web.Response:
    """Answer with what never changes."""
    headers = {"ETag": f'"{etag}"', "Cache-Control": immutable(is_public=is_public(request))}
    return conditional(request, text, headers)
