"""Which HTTP status each error of ours has, and the words it is answered in.

A handler raises; only this middleware turns an error into an answer.
"""

from __future__ import annotations

import logging
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler

from .. import errors as e

log = logging.getLogger(__name__)

STATUS: dict[type[e.HashserverError], HTTPStatus] = {
    e.BadChecksum: HTTPStatus.BAD_REQUEST,
    e.BadNameList: HTTPStatus.BAD_REQUEST,
    e.BadDigest: HTTPStatus.BAD_REQUEST,
    e.BadEncoding: HTTPStatus.BAD_REQUEST,
    e.BufferCorrupt: HTTPStatus.BAD_REQUEST,
    e.ChecksumMismatch: HTTPStatus.BAD_REQUEST,
    e.DigestMismatch: HTTPStatus.BAD_REQUEST,
    e.NotAuthenticated: HTTPStatus.UNAUTHORIZED,
    e.ForeignOrigin: HTTPStatus.FORBIDDEN,
    e.NotPermitted: HTTPStatus.FORBIDDEN,
    e.BufferNotFound: HTTPStatus.NOT_FOUND,
    e.ReadOnly: HTTPStatus.METHOD_NOT_ALLOWED,
    e.UploadCut: HTTPStatus.BAD_REQUEST,
    e.AlreadyHeld: HTTPStatus.PRECONDITION_FAILED,
    e.BufferTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    e.UnknownEncoding: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    e.StoreFailed: HTTPStatus.INTERNAL_SERVER_ERROR,
    e.Busy: HTTPStatus.SERVICE_UNAVAILABLE,
    e.FormatConflict: HTTPStatus.SERVICE_UNAVAILABLE,
    e.CannotStart: HTTPStatus.SERVICE_UNAVAILABLE,
    e.NoSpace: HTTPStatus.INSUFFICIENT_STORAGE,
    e.LimitReached: HTTPStatus.INSUFFICIENT_STORAGE,
}

PLAIN_TEXT: dict[type[e.HashserverError], str] = {
    e.BufferNotFound: "Not found",
    e.ChecksumMismatch: "Incorrect checksum",
    e.BadEncoding: "Invalid compressed payload",
}
"""What `hashserver` 1.1.0 says in plain text."""

CHALLENGE = 'Basic realm="hashserver-aio", charset="UTF-8"'

UNCACHED = {"Cache-Control": "no-store"}

ECHOED = 200
"""So much of a bad input is shown to its sender."""


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer what went wrong, as long as no other answer has begun."""
    try:
        return await handler(request)
    except e.HashserverError as error:
        if request.writer.output_size:  # headers are out: only hanging up is honest
            raise
        return _domain_response(error)
    except web.HTTPException as error:
        return _http_response(error)
    except ConnectionError:
        raise  # the client is gone: there is nobody to answer
    except OSError as error:  # too many open files, a disk that can't be read
        if request.writer.output_size:
            raise
        return _domain_response(e.from_os_error(error))
    except Exception:
        if request.writer.output_size:
            raise
        log.exception("%s %s failed", request.method, request.rel_url.path[:ECHOED])
        return _json(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal error", "InternalError")


def _domain_response(error: e.HashserverError) -> web.Response:
    status, code = STATUS[type(error)], type(error).__name__
    if status >= 500:
        log.log(logging.INFO if isinstance(error, e.LimitReached) else logging.ERROR, "%s: %s", code, error)
    if type(error) in PLAIN_TEXT:
        plain = web.Response(status=status, text=PLAIN_TEXT[type(error)], headers=UNCACHED)
        return _closing(error, plain)
    if isinstance(error, e.BadChecksum):
        loc: list[str | int] = ["path", "checksum"] if error.index is None else ["body", error.index]
        kind = "value_error" if isinstance(error.text, str) else "string_type"
        return _invalid(code, kind, loc, error.reason, error.text)
    if isinstance(error, e.BadNameList):
        return _closing(error, _invalid(code, error.kind, ["body"], error.reason, None))
    response = _closing(error, _json(status, str(error), code))
    if isinstance(error, e.UnknownEncoding):
        response.headers["Accept-Encoding"] = "zstd, gzip"
    elif isinstance(error, e.NotAuthenticated):
        response.headers["WWW-Authenticate"] = CHALLENGE
    elif isinstance(error, e.ReadOnly):
        response.headers["Allow"] = "GET, HEAD, OPTIONS"
    elif isinstance(error, e.Busy):
        response.headers["Retry-After"] = "5"
    return response


def _closing(error: e.HashserverError, response: web.Response) -> web.Response:
    """Close the connection where the rest of a request would only be thrown away."""
    if isinstance(error, e.UploadCut):
        response.force_close()
    return response


def _http_response(error: web.HTTPException) -> web.Response:
    """Reword aiohttp's own answers (no such route, no such method, too large)."""
    code = type(error).__name__.removeprefix("HTTP")
    response = _json(HTTPStatus(error.status), error.reason, code)
    for name in ("Allow", "Location"):
        if name in error.headers:
            response.headers[name] = error.headers[name]
    return response


def _invalid(code: str, kind: str, loc: list[str | int], reason: str, given: object) -> web.Response:
    shown = given[:ECHOED] if isinstance(given, str) else repr(given)[:ECHOED] if given else given
    exception = {"type": kind, "loc": loc, "msg": reason, "input": shown}
    return _json(HTTPStatus.BAD_REQUEST, "Invalid data", code, exception=exception)


def _json(status: HTTPStatus, message: str, code: str, **more: object) -> web.Response:
    body = {"message": message, "code": code, **more}
    return web.json_response(body, status=status, headers=UNCACHED)
