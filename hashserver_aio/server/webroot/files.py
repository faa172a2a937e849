"""The routes of the web-root: a file, the index of a folder, or what is in it."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Iterable
from contextlib import closing
from http import HTTPStatus
from urllib.parse import parse_qs

from aiohttp import web

from ...access import Permission
from ...errors import FileChanged, NoSuchFile
from ...webroot import WebFile, WebPath, WebRoot, parse_path, reference
from ..access import guarded
from ..dates import http_date
from ..keys import WEB_ROOT
from ..representation import Representation
from ..send import answer
from .blocks import LINK, asks_for_blocks, blocks
from .kinds import content_type_of, sandbox
from .pages import html_page, json_page
from .validators import cache_control, lasting_etag

PATH = "/{path}"
"""What the route is called, once what it may not match is left away."""

PAGE_HEADERS = {
    "Vary": "Accept",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
}


def routes(taken: Iterable[str]) -> list[web.RouteDef]:
    """Name the routes: all paths, but for buffers and what else is `taken` at the top."""
    others = "|".join(["[0-9a-fA-F]{64}", *map(re.escape, sorted(taken))])
    return [*guarded(Permission.READ, web.get(f"/{{path:(?!(?:{others})(?:/|\\Z))(?s:.*)}}", get_file))]


async def get_file(request: web.Request) -> web.StreamResponse:
    """Send a file, or what is in a folder; also HEAD."""
    root = request.app[WEB_ROOT]
    if root is None:
        raise NoSuchFile
    path = parse_path(request.rel_url.raw_path)
    opened = await root.find(path)
    if opened is None and asks_for_blocks(request):
        raise NoSuchFile  # a folder has none
    if opened is None:
        return await _list(request, root, path) if path.is_folder else _to_folder(request, path)
    with closing(opened.file):
        if asks_for_blocks(request):
            return await blocks(request, opened)
        return await answer(request, _of_file(request, opened))


def _of_file(request: web.Request, opened: WebFile) -> Representation:
    etag = lasting_etag(opened) or secrets.token_hex(16)
    # A file from the future was last modified now, at the latest (RFC 9110 section 8.8.2.1).
    modified_s = min(opened.identity.modified_s, time.time())
    content_type = content_type_of(opened.names[-1])
    shared = {
        "ETag": f'"{etag}"',
        "Last-Modified": http_date(modified_s),
        "Cache-Control": cache_control(request),
    }
    headers = {"Content-Type": content_type, "Accept-Ranges": "bytes", "Link": LINK}
    return Representation(
        etag=etag,
        modified_s=modified_s,
        size=opened.identity.size,
        file=opened.file,
        pieces=None,
        shared=shared,
        headers=headers | sandbox(request, content_type),
        changed=FileChanged,
        is_still=opened.is_still,
    )


def _to_folder(request: web.Request, path: WebPath) -> web.Response:
    """Send who asks for a folder to its slash, from which relative links lead into it."""
    headers = {
        "Location": reference(path.names[-1], is_folder=True),
        "Cache-Control": cache_control(request),
    }
    return web.Response(status=HTTPStatus.FOUND, headers=headers)


async def _list(request: web.Request, root: WebRoot, path: WebPath) -> web.Response:
    after = parse_qs(request.rel_url.raw_query_string, errors="surrogateescape").get("after", [""])[0]
    listing = await root.listing(path, after.encode("utf-8", "surrogateescape"))
    word, content_type = (json_page, "application/json") if _wants_json(request) else (html_page, "text/html")
    text = await asyncio.to_thread(word, path, listing)
    headers = PAGE_HEADERS | {"Cache-Control": cache_control(request)}
    return web.Response(text=text, content_type=content_type, charset="utf-8", headers=headers)


def _wants_json(request: web.Request) -> bool:
    accepted = ",".join(request.headers.getall("Accept", ()))
    return "application/json" in accepted and "text/html" not in accepted
