"""What a request says of who sent it."""

from __future__ import annotations

import base64

from ..access import Basic, Credentials, Key
from ..errors import NotAuthenticated

API_KEY = "X-API-KEY"


def credentials_in(api_key: str | None, authorization: str) -> Credentials | None:
    """Read what the headers of a request bring. Source: RFC 7617 (Basic), RFC 6750 (Bearer).

    Raises: NotAuthenticated.
    """
    if api_key is not None:
        return Key(api_key)
    scheme, _, rest = authorization.partition(" ")
    if not scheme:
        return None
    if scheme.lower() == "bearer":
        return Key(rest.strip())
    if scheme.lower() == "basic":
        return _basic(rest)
    raise NotAuthenticated("credentials are taken as Basic, Bearer or X-API-KEY")


def _basic(text: str) -> Basic:
    try:
        user, colon, password = base64.b64decode(text.strip(), validate=True).decode().partition(":")
    except ValueError:  # no base64, no UTF-8
        colon = user = password = ""
    if not colon or "\0" in password:  # scrypt takes a NUL at the end for none
        raise NotAuthenticated("the Basic credentials can't be read")
    return Basic(user, password)
