"""How `dataserv` words things: short sentences, called HTML, some with what failed before them."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import hdrs, web

from ... import errors as e
from ..words import CHALLENGE, UNCACHED

HTML = "text/html; charset=utf-8"

PATHS = tuple(
    f"/api/{name}" for name in ("register/", "ping/", "height/", "audit/", "online", "total", "address")
)
"""What the paths of this face begin with."""

TEXTS: dict[type[e.HashserverError], str] = {
    e.BadAddress: "Invalid Bitcoin address.",
    e.NotSigned: "Invalid authentication headers.",
    e.NodeNotFound: "Farmer not found.",
    e.AlreadyRegistered: "Address already is registered.",
    e.HeightTooLarge: "Height limit exceeded.",
    e.BadArgument: "Invalid response.",
    e.TooManyRequests: "Too many requests.",
}

_FAILED = {"register": "Registration Failed: ", "ping": "Ping Failed: "}
_NOT_SIGNED = {"height": "Set height failed: ", "audit": "Audit failed: "}
"""What comes before a sentence: to some calls always, to others only if they were not signed."""


def text(sentence: str, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    """Answer with a sentence."""
    return web.Response(status=status, body=sentence.encode(), headers=UNCACHED | {"Content-Type": HTML})


class FarmersWords:
    """How `dataserv` says what went wrong."""

    def refusal(self, request: web.Request, error: e.HashserverError, status: HTTPStatus) -> web.Response:
        """Word an error of ours."""
        call = request.path.split("/")[2]
        before = _FAILED.get(call, "")
        if isinstance(error, e.NotSigned):
            before = before or _NOT_SIGNED.get(call, "")
        sentence = TEXTS.get(type(error), str(error))
        if isinstance(error, e.AlreadyAudited):
            sentence = f"Duplicate audit: Block {error.block}"
        response = text(before + sentence, status)
        if isinstance(error, e.NotAuthenticated):
            response.headers[hdrs.WWW_AUTHENTICATE] = CHALLENGE
        return response

    def notice(self, status: HTTPStatus, code: str, message: str) -> web.Response:
        """Word anything else."""
        return text(f"{message}.", status)


WORDS = FarmersWords()
