"""Which HTTP status each error of ours has; each face answers it in its own words.

A handler raises; only this middleware turns an error into an answer.
"""

from __future__ import annotations

import logging
import math
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler

from .. import errors as e
from ..settings import Settings
from . import node_words, words
from .axon import words as axon
from .farmers import words as farmers
from .keys import SETTINGS
from .rd import words as rd
from .words import ECHOED, Words

log = logging.getLogger(__name__)

STATUS: dict[type[e.HashserverError], HTTPStatus] = {
    e.BadChecksum: HTTPStatus.BAD_REQUEST,
    e.BadNameList: HTTPStatus.BAD_REQUEST,
    e.BadBody: HTTPStatus.BAD_REQUEST,
    e.BadArgument: HTTPStatus.BAD_REQUEST,
    e.BadDigest: HTTPStatus.BAD_REQUEST,
    e.BadContent: HTTPStatus.BAD_REQUEST,
    e.BadJson: HTTPStatus.BAD_REQUEST,
    e.RecordTooLong: HTTPStatus.BAD_REQUEST,
    e.BadEncoding: HTTPStatus.BAD_REQUEST,
    e.BufferCorrupt: HTTPStatus.BAD_REQUEST,
    e.ChecksumMismatch: HTTPStatus.BAD_REQUEST,
    e.DigestMismatch: HTTPStatus.BAD_REQUEST,
    e.NotAuthenticated: HTTPStatus.UNAUTHORIZED,
    e.ForeignOrigin: HTTPStatus.FORBIDDEN,
    e.NotPermitted: HTTPStatus.FORBIDDEN,
    e.AddressRefused: HTTPStatus.FORBIDDEN,
    e.BufferNotFound: HTTPStatus.NOT_FOUND,
    e.NoSuchFile: HTTPStatus.NOT_FOUND,
    e.ReadOnly: HTTPStatus.METHOD_NOT_ALLOWED,
    e.UploadCut: HTTPStatus.BAD_REQUEST,
    e.FeedChanged: HTTPStatus.CONFLICT,
    e.BadAddress: HTTPStatus.BAD_REQUEST,
    e.NotSigned: HTTPStatus.UNAUTHORIZED,
    e.NodeNotFound: HTTPStatus.NOT_FOUND,
    e.AlreadyRegistered: HTTPStatus.CONFLICT,
    e.AlreadyAudited: HTTPStatus.CONFLICT,
    e.HeightTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    e.BadSignature: HTTPStatus.UNAUTHORIZED,
    e.NodeUnreachable: HTTPStatus.BAD_REQUEST,
    e.NodeMoved: HTTPStatus.CONFLICT,
    e.TooManyRequests: HTTPStatus.TOO_MANY_REQUESTS,
    e.AlreadyHeld: HTTPStatus.PRECONDITION_FAILED,
    e.BufferTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    e.UnknownEncoding: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    e.StoreFailed: HTTPStatus.INTERNAL_SERVER_ERROR,
    e.FileChanged: HTTPStatus.SERVICE_UNAVAILABLE,
    e.Busy: HTTPStatus.SERVICE_UNAVAILABLE,
    e.Starved: HTTPStatus.SERVICE_UNAVAILABLE,
    e.NotYet: HTTPStatus.SERVICE_UNAVAILABLE,
    e.FormatConflict: HTTPStatus.SERVICE_UNAVAILABLE,
    e.CannotStart: HTTPStatus.SERVICE_UNAVAILABLE,
    e.NoSpace: HTTPStatus.INSUFFICIENT_STORAGE,
    e.LimitReached: HTTPStatus.INSUFFICIENT_STORAGE,
}

EXPECTED = frozenset({e.Busy, e.FileChanged, e.LimitReached, e.NotYet})
"""Clients bring these about, as often as they like, and nothing is broken."""


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer what went wrong, as long as no other answer has begun."""
    try:
        return await handler(request)
    except e.HashserverError as error:
        if request.writer.output_size:  # headers are out: only hanging up is honest
            raise
        return _refusal(request, error)
    except web.HTTPException as error:
        return _of_aiohttp(request, error)
    except ConnectionError:
        raise  # the client is gone: there is nobody to answer
    except OSError as error:  # too many open files, a disk that can't be read
        if request.writer.output_size:
            raise
        return _refusal(request, e.from_os_error(error))
    except Exception:
        if request.writer.output_size:
            raise
        log.exception("%s %s failed", request.method, request.rel_url.path[:ECHOED])
        failed = HTTPStatus.INTERNAL_SERVER_ERROR
        return _words_for(request).notice(failed, "InternalError", "Internal error")


def _words_for(request: web.Request) -> Words:
    path = request.path
    if path.startswith(axon.BASE):
        return axon.WORDS
    if _is_of_nodes(path, request.app[SETTINGS]):
        return node_words.WORDS
    if path.startswith(farmers.PATHS) and request.app[SETTINGS].farmers is not None:
        return farmers.WORDS
    return rd.WORDS if path.startswith(rd.BASE) else words.WORDS


def _is_of_nodes(path: str, settings: Settings) -> bool:
    if settings.holding is not None:
        return path.startswith(node_words.NODES)
    return settings.nodes is not None and f"{path}/".startswith(node_words.SERVERS)


def _refusal(request: web.Request, error: e.HashserverError) -> web.Response:
    status = STATUS[type(error)]
    if status >= 500:
        level = logging.INFO if type(error) in EXPECTED else logging.ERROR
        log.log(level, "%s: %s", type(error).__name__, error)
    if isinstance(error, e.FormatConflict | e.CannotStart):  # which name paths, for who starts a server
        error = type(error)("the directory has become one of another format")
    response = _words_for(request).refusal(request, error, status)
    if isinstance(error, e.UploadCut):
        response.force_close()  # the rest of the request would only be thrown away
    elif isinstance(error, e.UnknownEncoding):
        response.headers["Accept-Encoding"] = "zstd, gzip"
    elif isinstance(error, e.ReadOnly):
        response.headers["Allow"] = "GET, HEAD, OPTIONS"
    elif isinstance(error, e.Busy | e.FileChanged | e.NotYet):
        response.headers["Retry-After"] = "5"
    elif isinstance(error, e.TooManyRequests):
        response.headers["Retry-After"] = str(math.ceil(error.wait_s))
    return response


def _of_aiohttp(request: web.Request, error: web.HTTPException) -> web.Response:
    """Reword aiohttp's own answers (no such route, no such method, too large)."""
    code = type(error).__name__.removeprefix("HTTP")
    response = _words_for(request).notice(HTTPStatus(error.status), code, error.reason)
    for name in ("Allow", "Location"):
        if name in error.headers:
            response.headers[name] = error.headers[name]
    return response
