"""Whether who sent a request may do what it asks for: judged before anything of it is looked at.

Each face says with its routes what they need; a route that says nothing is for everybody.
"""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from ..access import Permission, Principal
from ..errors import NotAuthenticated, NotPermitted
from .credentials import API_KEY, credentials_in
from .keys import ACCESS, SETTINGS

_HERE = Principal("", frozenset(Permission))
"""What all may do where there is no access file: as much as the server does at all."""

_ANYWHERE = Principal("", _HERE.permissions - {Permission.ADMIN})
"""What they may do if they can be on other machines."""


def guarded(permission: Permission, *routes: web.RouteDef) -> Iterable[web.RouteDef]:
    """Let only those through to some routes who have a permission."""
    return [
        web.RouteDef(route.method, route.path, _guard(route.handler, permission), route.kwargs)
        for route in routes
    ]


def _guard(handler: Handler, permission: Permission) -> Handler:
    async def guard(request: web.Request) -> web.StreamResponse:
        await require(request, permission)
        return await handler(request)

    return guard


async def require(request: web.Request, permission: Permission) -> Principal:
    """Tell who sent a request, if that may do this.

    Raises: NotAuthenticated, NotPermitted, Busy.
    """
    principal = await principal_of(request)
    if principal.may(permission):
        return principal
    if request.app[ACCESS] is None:
        raise NotPermitted(
            "a server that others can reach lets nobody do this without an access file: start it with "
            "--auth-file, or let it listen on 127.0.0.1 only"
        )
    if not principal.name:
        raise NotAuthenticated("tell who you are: a user and password, or a key")
    raise NotPermitted(f"{principal.name} does not have the permission {permission} here")


async def principal_of(request: web.Request) -> Principal:
    """Tell who sent a request.

    Raises: NotAuthenticated, Busy.
    """
    access = request.app[ACCESS]
    if access is None:
        return _HERE if request.app[SETTINGS].is_local else _ANYWHERE
    credentials = credentials_in(request.headers.get(API_KEY), request.headers.get(hdrs.AUTHORIZATION, ""))
    if credentials is None:
        return access.anonymous
    principal = await access.identify(credentials)
    if principal is None:
        raise NotAuthenticated("this user and password, or this key, is unknown here")
    return principal


def is_public(request: web.Request) -> bool:
    """Tell whether what may be read here may be read without credentials."""
    access = request.app[ACCESS]
    return access is None or access.everybody_may(Permission.READ)
