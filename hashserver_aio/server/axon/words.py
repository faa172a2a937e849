"""The Axon's envelope: `{"status": "ok", "result": ..}`, or `{"status": "err", "code": .., "mesg": ..}`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from http import HTTPStatus

from aiohttp import hdrs, web

from ... import errors as e
from ..words import ECHOED, UNCACHED

BASE = "/api/v1/"

CODES: dict[type[e.HashserverError], str] = {
    e.BadChecksum: "BadArg",
    e.BadArgument: "BadArg",
    e.BadBody: "SchemaViolation",
    e.BadContent: "BadDataValu",
    e.BadJson: "BadJsonText",
    e.RecordTooLong: "BadDataValu",
    e.BufferNotFound: "NoSuchFile",
    e.NotPermitted: "AuthDeny",
    e.ForeignOrigin: "AuthDeny",
    e.ReadOnly: "IsReadOnly",
    e.LimitReached: "HitLimit",
    e.NoSpace: "LowSpace",
}
"""The names of the Axon's own errors; of what it does not know, the class's name says it."""

SLICE_ITEMS = 1000
"""Items of a list that are worded before others have a turn: a millisecond."""

CONTENT_TYPE = "application/json; charset=UTF-8"

CHALLENGE = "Basic realm=synapse"

NOT_LOGGED_IN = "The session is not logged in."


def ok(result: object) -> web.Response:
    """Answer with a result."""
    return _json(HTTPStatus.OK, {"status": "ok", "result": result})


async def ok_list(result: Sequence[object]) -> web.Response:
    """Answer with a list, worded in slices: a long one at once would hold up the event loop."""
    texts = []
    for begin in range(0, len(result), SLICE_ITEMS):
        texts.append(worded(result[begin : begin + SLICE_ITEMS])[1:-1])
        await asyncio.sleep(0)
    return ok_worded(f"[{','.join(texts)}]".encode(errors="surrogatepass"))


def ok_worded(result: bytes) -> web.Response:
    """Answer with a result that is JSON already."""
    body = b'{"status":"ok","result":%b}' % result
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})


def code_of(error: e.HashserverError) -> str:
    """Name an error of ours."""
    return CODES.get(type(error), type(error).__name__)


def error_of(request: web.Request, error: e.HashserverError) -> dict[str, str]:
    """Word an error of ours, for an answer or inside a stream."""
    return {"code": code_of(error), "mesg": _message(request, error)}


def _message(request: web.Request, error: e.HashserverError) -> str:
    if isinstance(error, e.BadChecksum):
        return f"Hash is not a SHA-256: {str(error.text)[:ECHOED]}"
    if isinstance(error, e.BufferNotFound):
        name = request.match_info["sha256"]
        return f"SHA-256 not found: {name if request.method == hdrs.METH_DELETE else name.lower()}"
    if isinstance(error, e.NotAuthenticated):
        return NOT_LOGGED_IN
    return str(error)


class AxonWords:
    """How the Axon says what went wrong."""

    def refusal(self, request: web.Request, error: e.HashserverError, status: HTTPStatus) -> web.Response:
        """Word an error of ours."""
        if isinstance(error, e.BadChecksum):  # no such thing can be there
            if request.method == hdrs.METH_HEAD:
                return web.Response(status=HTTPStatus.NOT_FOUND, headers=UNCACHED | {"Content-Length": "0"})
            status = HTTPStatus.NOT_FOUND
        response = _json(status, {"status": "err"} | error_of(request, error), UNCACHED)
        if isinstance(error, e.NotAuthenticated):
            response.headers[hdrs.WWW_AUTHENTICATE] = CHALLENGE
        return response

    def notice(self, status: HTTPStatus, code: str, message: str) -> web.Response:
        """Word anything else."""
        return _json(status, {"status": "err", "code": code, "mesg": message}, UNCACHED)


def worded(value: object) -> str:
    """Write JSON as the Axon does: without blanks, everything but ASCII as it is."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _json(status: HTTPStatus, value: object, headers: dict[str, str] | None = None) -> web.Response:
    more = (headers or {}) | {"Content-Type": CONTENT_TYPE}
    return web.Response(status=status, body=worded(value).encode(errors="surrogatepass"), headers=more)


WORDS = AxonWords()
