"""The words that an error is answered in: an interface, and those of `hashserver` and of everything
that has none of its own.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Protocol

from aiohttp import web

from .. import errors as e

ECHOED = 200
"""So much of a bad input is shown to its sender."""


class Words(Protocol):
    """How a face words what went wrong."""

    def refusal(self, request: web.Request, error: e.HashserverError, status: HTTPStatus) -> web.Response:
        """Word an error of ours."""

    def notice(self, status: HTTPStatus, code: str, message: str) -> web.Response:
        """Word anything else, such as that there is no such route."""


PLAIN_TEXT: dict[type[e.HashserverError], str] = {
    e.BufferNotFound: "Not found",
    e.ChecksumMismatch: "Incorrect checksum",
    e.BadEncoding: "Invalid compressed payload",
}
"""What `hashserver` 1.1.0 says in plain text."""

CHALLENGE = 'Basic realm="hashserver-aio", charset="UTF-8"'

UNCACHED = {"Cache-Control": "no-store"}


class HashserverWords:
    """Plain text where `hashserver` 1.1.0 has it, and JSON for what it does not know."""

    def refusal(self, request: web.Request, error: e.HashserverError, status: HTTPStatus) -> web.Response:
        """Word an error of ours."""
        code = type(error).__name__
        if type(error) in PLAIN_TEXT:
            return web.Response(status=status, text=PLAIN_TEXT[type(error)], headers=UNCACHED)
        if isinstance(error, e.BadChecksum):
            loc: list[str | int] = ["path", "checksum"] if error.index is None else ["body", error.index]
            kind = "value_error" if isinstance(error.text, str) else "string_type"
            return _invalid(code, kind, loc, error.reason, error.text)
        if isinstance(error, e.BadNameList):
            return _invalid(code, error.kind, ["body"], error.reason, None)
        response = self.notice(status, code, str(error))
        if isinstance(error, e.NotAuthenticated):
            response.headers["WWW-Authenticate"] = CHALLENGE
        return response

    def notice(self, status: HTTPStatus, code: str, message: str) -> web.Response:
        """Word anything else."""
        return _json(status, message, code)


def _invalid(code: str, kind: str, loc: list[str | int], reason: str, given: object) -> web.Response:
    shown = given[:ECHOED] if isinstance(given, str) else repr(given)[:ECHOED] if given else given
    exception = {"type": kind, "loc": loc, "msg": reason, "input": shown}
    return _json(HTTPStatus.BAD_REQUEST, "Invalid data", code, exception=exception)


def _json(status: HTTPStatus, message: str, code: str, **more: object) -> web.Response:
    body = {"message": message, "code": code, **more}
    return web.json_response(body, status=status, headers=UNCACHED)


WORDS = HashserverWords()
