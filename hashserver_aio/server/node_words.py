"""How servers and nodes tell each other what went wrong: JSON, with the name of the error and a sentence."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import hdrs, web

from .. import errors as e
from .words import CHALLENGE, UNCACHED

NODES = "/api/node/"
"""What the paths of a node begin with."""

SERVERS = "/api/nodes/"
"""What the paths of a server of nodes begin with; the first of them is without the slash."""


class NodeWords:
    """How servers and nodes say what went wrong."""

    def refusal(self, request: web.Request, error: e.HashserverError, status: HTTPStatus) -> web.Response:
        """Word an error of ours."""
        response = self.notice(status, type(error).__name__, str(error))
        if isinstance(error, e.NotAuthenticated):
            response.headers[hdrs.WWW_AUTHENTICATE] = CHALLENGE
        return response

    def notice(self, status: HTTPStatus, code: str, message: str) -> web.Response:
        """Word anything else."""
        return web.json_response({"error": code, "message": message}, status=status, headers=UNCACHED)


WORDS = NodeWords()
