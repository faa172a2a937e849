"""`/{path}?blocks`: what each block of a file is checked by as it arrives.

Files may be called anything, so there is no path for it that could not be one of theirs; but a query is no
part of a path, and goes with it to wherever a proxy moves that.
"""

from __future__ import annotations

import secrets

from aiohttp import web

from ...webroot import WebFile, WebPath
from ..keys import FILE_MANIFESTS
from ..manifest_text import conditional, manifest_text
from .validators import cache_control, lasting_etag

QUERY = "blocks"

LINK = f'<?{QUERY}>; rel="describedby"'
"""Relative to the file that it comes with."""


def asks_for_blocks(request: web.Request) -> bool:
    """Tell whether a manifest is asked for; with any other query it is the file."""
    return request.rel_url.raw_query_string == QUERY


async def blocks(request: web.Request, opened: WebFile) -> web.Response:
    """Tell what the blocks of a file hash to, and its ETag: that says that the bytes sent are these."""
    manifests = request.app[FILE_MANIFESTS]
    assert manifests is not None
    digested = await manifests.get(opened)
    etag = lasting_etag(opened)
    name = {
        "path": WebPath(opened.names, False).shown,
        "etag": None if etag is None else f'"{etag}"',
        "digest": digested.checksum,
    }
    text = await manifest_text(name, digested.manifest)
    headers = {
        "ETag": f'"{etag or secrets.token_hex(16)}-blocks-{digested.manifest.block_size}"',
        "Cache-Control": cache_control(request),
    }
    return conditional(request, text, headers)
