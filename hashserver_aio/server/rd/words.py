"""How `rd-api` words things: JSON with `ok` and `msg`, and a status that is always 200.

Except where a client should not take the answer for one about the file: who may not ask is told so by the
status, too.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from aiohttp import hdrs, web

from ... import errors as e
from ...version import __version__
from ..words import CHALLENGE, ECHOED, UNCACHED

BASE = "/rd/"

_NO_FILE = {
    "block_count": -1,
    "block_size": "",
    "blocks": [],
    "file_size": -1,
    "filepath": "",
    "path": "",
}
"""What is said of a file that nothing can be said of."""

ABOUT = {"app": "hashserver-aio reliable-download api", "ok": True, "version": __version__}


def path_of(request: web.Request) -> str:
    """Read what is asked about."""
    return request.match_info.get("path", "")


class RdWords:
    """How `rd-api` says what went wrong."""

    def refusal(self, request: web.Request, error: e.HashserverError, status: HTTPStatus) -> web.Response:
        """Word an error of ours."""
        message = str(error)
        if isinstance(error, e.BufferNotFound | e.BadChecksum | e.NoSuchFile):
            message = f"getFileStatus on {path_of(request)[:ECHOED]} failed"
        if status not in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            status = HTTPStatus.OK
        response = self.notice(status, type(error).__name__, message)
        if isinstance(error, e.NotAuthenticated):
            response.headers[hdrs.WWW_AUTHENTICATE] = CHALLENGE
        return response

    def notice(self, status: HTTPStatus, code: str, message: str) -> web.Response:
        """Word anything else."""
        return _json(status, {"ok": False, "msg": message, "code": code} | _NO_FILE)


def _json(status: HTTPStatus, value: dict[str, Any]) -> web.Response:
    return web.json_response(text=json.dumps(value), status=status, headers=UNCACHED)


WORDS = RdWords()
