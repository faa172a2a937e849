"""Manifests as JSON, a thousand digests at a time: of something large all at once would hold up others."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from aiohttp import web

from ..blocks import DIGEST_BYTES, LEAF_BYTES, Manifest
from .conditions import failed
from .words import UNCACHED

AT_ONCE = 1000
"""So many are worded in half a millisecond."""


def described(manifest: Manifest) -> dict[str, Any]:
    """Say of the whole what blocks and proofs have in common."""
    return {
        "size": manifest.size,
        "algorithm": manifest.algorithm,
        "leaf_size": LEAF_BYTES,
        "leaf_count": manifest.leaf_count,
        "root": manifest.root.hex(),
    }


async def manifest_text(name: dict[str, Any], manifest: Manifest) -> str:
    """Word a manifest; `name`: of what it is."""
    count = len(manifest.digests) // DIGEST_BYTES
    answer = name | described(manifest) | {"block_size": manifest.block_size, "block_count": count}

    def digest(number: int) -> str:
        return f'"{hexadecimal(manifest.digests, DIGEST_BYTES, number)}"'

    return f'{json.dumps(answer)[:-1]}, "blocks": [{await worded(count, digest)}]}}'


def conditional(request: web.Request, text: str, headers: dict[str, str]) -> web.Response:
    """Answer with JSON under the request's conditions; its ETag is among the `headers`."""
    if {"If-Match", "If-None-Match"} & request.headers.keys():
        status = failed(request, headers["ETag"].strip('"'), 0)
        if status is HTTPStatus.NOT_MODIFIED:
            return web.Response(status=status, headers=headers)
        if status is not None:
            return web.Response(status=status, headers=UNCACHED)
    return web.json_response(text=text, headers=headers)


async def worded(count: int, word: Callable[[int], str]) -> str:
    """Word things by their numbers, with commas between them."""
    parts = []
    for first in range(0, count, AT_ONCE):
        if first:
            await asyncio.sleep(0)
        parts.append(",".join(map(word, range(first, min(first + AT_ONCE, count)))))
    return ",".join(parts)


def hexadecimal(packed: bytes, digest_size: int, number: int) -> str:
    """Write one of some packed digests."""
    return packed[number * digest_size : (number + 1) * digest_size].hex()
