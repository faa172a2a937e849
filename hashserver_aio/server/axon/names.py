"""Names by SHA-256, and who may do what with them, in the Axon's order: who, what, whether."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from aiohttp import web
from aiohttp.typedefs import Handler

from ...access import Permission
from ...checksums import Checksum, parse_checksum
from ...errors import BufferNotFound, NotAuthenticated, NotPermitted
from ..access import principal_of
from ..keys import BUFFERS

SHA256 = "{sha256:.*}"
"""The end of a path that names a buffer; whatever it is, it is this face that answers."""


class Right(StrEnum):
    """What the Axon calls a permission."""

    GET = "axon.get"
    HAS = "axon.has"
    UPLOAD = "axon.upload"
    DEL = "axon.del"
    WGET = "axon.wget"
    WPUT = "axon.wput"


PERMISSIONS = {
    Right.GET: Permission.READ,
    Right.HAS: Permission.READ,
    Right.UPLOAD: Permission.WRITE,
    Right.DEL: Permission.DELETE,
    Right.WGET: Permission.FETCH,
    Right.WPUT: Permission.FETCH,
}
"""What each of them is here."""


def allowed(right: Right, *routes: web.RouteDef) -> Iterable[web.RouteDef]:
    """Let only those through to some routes who have a right."""
    return [
        web.RouteDef(route.method, route.path, _guard(route.handler, right), route.kwargs) for route in routes
    ]


def _guard(handler: Handler, right: Right) -> Handler:
    async def guard(request: web.Request) -> web.StreamResponse:
        principal = await principal_of(request)
        permitted = principal.may(PERMISSIONS[right])
        if not permitted and not principal.name:
            raise NotAuthenticated("tell who you are: a user and password, or a key")
        if "sha256" in request.match_info:
            sha256_in(request)
        if not permitted:
            raise NotPermitted(f"User ({principal.name}) must have permission {right}")
        return await handler(request)

    return guard


def sha256_in(request: web.Request) -> str:
    """Read the SHA-256 that a path ends with: 64 lower-case digits.

    Raises: BadChecksum.
    """
    return parse_checksum(request.match_info["sha256"])


def checksum_of(request: web.Request, sha256: str) -> Checksum:
    """Find what the store calls the buffer of a SHA-256.

    Raises: BufferNotFound, where none is catalogued.
    """
    checksum = request.app[BUFFERS].named(sha256)
    if checksum is None:
        raise BufferNotFound(sha256)
    return checksum
