"""Fetching from other servers, and sending to them, with the arguments and results of the Axon's API.

What goes wrong with the other server is part of the result; what may not be asked is refused.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from aiohttp import web

from ...buffers import Buffers
from ...errors import BufferNotFound, HashserverError, NotPermitted
from ...fetching import Fetcher, configured_proxy, parse_allowed, read_request
from ...fetching.held import HeldBuffers
from ...fetching.requests import ARGUMENTS
from ...settings import Settings
from ..cors import refuse_foreign_origin
from ..keys import FETCHER, SETTINGS
from ..receive import refuse_writing
from .bodies import read_object, violation
from .names import Right, allowed
from .words import BASE, code_of, ok

WGET, WPUT, POSTFILES = (f"{BASE}axon/{name}" for name in ("wget", "wput", "postfiles"))

MAX_REQUEST_BYTES = 2**20
"""A request with certificates, a body and a thousand fields; JSON of this size is parsed in milliseconds."""


def routes() -> list[web.RouteDef]:
    """Name the routes. Who stores a body has to be allowed to, and who sends a buffer, to read it."""
    return [
        *allowed(Right.WGET, *allowed(Right.UPLOAD, web.post(WGET, wget))),
        *allowed(Right.WPUT, *allowed(Right.GET, web.post(WPUT, wput), web.post(POSTFILES, postfiles))),
    ]


def make_fetcher(buffers: Buffers, settings: Settings) -> Fetcher:
    """Make what fetches.

    Raises: CannotStart.
    """
    allowed, proxy = parse_allowed(settings.fetch_allow), configured_proxy(settings.http_proxy)
    return Fetcher(HeldBuffers(buffers), allowed, proxy, word=_word)


async def wget(request: web.Request) -> web.Response:
    """Store what a URL answers with, whatever its status."""
    _refuse_fetching(request)
    refuse_writing(request)
    given = await _arguments(request, "json", "body")
    wanted = read_request(given, "GET")
    return ok(await request.app[FETCHER].wget(wanted, json=given.get("json"), body=given.get("body")))


async def wput(request: web.Request) -> web.Response:
    """Send a buffer as the body of a request."""
    _refuse_fetching(request)
    refuse_foreign_origin(request)
    given = await _arguments(request, "sha256")
    return ok(await request.app[FETCHER].wput(given.get("sha256"), read_request(given, "PUT")))


async def postfiles(request: web.Request) -> web.Response:
    """Send buffers and values as a form; the body of the answer is told in base64."""
    _refuse_fetching(request)
    refuse_foreign_origin(request)
    given = await _arguments(request, "fields")
    info = await request.app[FETCHER].postfiles(given.get("fields"), read_request(given, "POST"))
    return ok(info | {"body": b64encode(info["body"]).decode()})


def _refuse_fetching(request: web.Request) -> None:
    """Raises: NotPermitted."""
    if not request.app[SETTINGS].allow_fetch:
        raise NotPermitted("this server fetches nothing; start it with --allow-fetch")


async def _arguments(request: web.Request, *more: str) -> dict[str, Any]:
    """Read what a fetch is asked with. Raises: BadBody, BufferTooLarge, UploadCut."""
    given = await read_object(request, MAX_REQUEST_BYTES)
    for name in given:
        if name not in ARGUMENTS and name not in more:
            raise violation("data", f"must not contain {{{name[:100]!r}}} properties")
    return given


def _word(error: HashserverError) -> tuple[str, dict[str, str]]:
    """Word an error for a result."""
    if isinstance(error, BufferNotFound):
        mesg = "Axon does not contain the requested file."
        return code_of(error), {"mesg": mesg, "sha256": str(error).lower()}
    return code_of(error), {"mesg": str(error)}
