"""JSON bodies of requests, refused in the words of the Axon's schemas."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from ...errors import BadBody, BadChecksum, BadNameList
from ..name_lists import MAX_LIST_BYTES, SLICE_BYTES, has_short_names, parse_names
from ..receive import read_whole

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_LONG_LIST = re.compile(rb'\s*\{\s*"sha256s"\s*:\s*(\[[^\[\]{}]*\])\s*\}\s*')


async def read_object(request: web.Request, limit_bytes: int) -> dict[str, Any]:
    """Read a JSON object.

    Raises: BadBody, BufferTooLarge, UploadCut.
    """
    return _object(await read_whole(request, limit_bytes))


async def read_sha256s(request: web.Request) -> Sequence[str]:
    """Read `{"sha256s": [..]}`: the names as they are given.

    A long list of the usual kind is parsed in slices, so that others have their turn meanwhile.
    Raises: BadBody, BufferTooLarge, UploadCut.
    """
    body = await read_whole(request, MAX_LIST_BYTES)
    if len(body) <= SLICE_BYTES:
        return _sha256s(body)
    if has_short_names(body):
        raise violation("data.sha256s", "must hold SHA-256 only")
    usual = _LONG_LIST.fullmatch(body)
    if usual is not None and usual[1] == usual[1].lower():
        try:
            return await parse_names(usual[1])
        except (BadNameList, BadChecksum):
            pass  # all of it at once tells what is wrong
    return await asyncio.to_thread(_sha256s, body)


def _object(body: bytes) -> dict[str, Any]:
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        raise BadBody("Invalid JSON content.") from None
    if not isinstance(given, dict):
        raise violation("data", "must be object")
    return given


def _sha256s(body: bytes) -> Sequence[str]:
    given = _object(body)
    if "sha256s" not in given:
        raise violation("data", "must contain ['sha256s'] properties")
    if len(given) > 1:
        unknown = next(key for key in given if key != "sha256s")
        raise violation("data", f"must not contain {{{unknown[:100]!r}}} properties")
    names = given["sha256s"]
    if not isinstance(names, list):
        raise violation("data.sha256s", "must be array")
    for index, name in enumerate(names):
        if not isinstance(name, str):
            raise violation(f"data.sha256s[{index}]", "must be string")
        if _SHA256.fullmatch(name) is None:
            raise violation(f"data.sha256s[{index}]", "must match pattern (?i)^[0-9a-f]{64}$")
    return names


def violation(name: str, what: str) -> BadBody:
    """Say what of a body is not as it should be, by its path from `data` on."""
    mesg = f"{name} {what}"
    return BadBody(f"SchemaViolation: mesg={mesg!r} name={name!r}")
