"""What a server refuses with, as errors of this package: the tree of the server, on the other side.

Each face words its errors in its own way; here both come back to the class that was raised.
"""

from __future__ import annotations

import json
from typing import Any

from .. import errors as e

CODES: dict[str, type[e.HashserverError]] = {
    "BadArg": e.BadArgument,
    "SchemaViolation": e.BadBody,
    "BadDataValu": e.BadContent,
    "BadJsonText": e.BadJson,
    "NoSuchFile": e.BufferNotFound,
    "AuthDeny": e.NotPermitted,
    "IsReadOnly": e.ReadOnly,
    "HitLimit": e.LimitReached,
    "LowSpace": e.NoSpace,
}
"""What the Axon calls its errors. Where it has one word for two of ours, the wider one."""

PLAIN_TEXT: dict[str, type[e.HashserverError]] = {
    "Not found": e.BufferNotFound,
    "Incorrect checksum": e.ChecksumMismatch,
    "Invalid compressed payload": e.BadEncoding,
}

STATUS: dict[int, type[e.HashserverError]] = {
    401: e.NotAuthenticated,
    403: e.NotPermitted,
    404: e.BufferNotFound,
    405: e.ReadOnly,
    409: e.FeedChanged,
    412: e.AlreadyHeld,
    413: e.BufferTooLarge,
    415: e.UnknownEncoding,
    429: e.Busy,
    500: e.StoreFailed,
    502: e.ServerUnreachable,
    503: e.Busy,
    504: e.ServerUnreachable,
    507: e.NoSpace,
}
"""What a status means where the body does not say it: to a HEAD, or from a proxy."""

PASSING = frozenset({429, 502, 503, 504})
"""What may be over in a moment."""

SHOWN = 300
"""So much of what a server says is passed on."""


def refusal(status: int, body: bytes, name: str) -> e.HashserverError:
    """Make the error that an answer tells of; `name`: what was asked for, for answers that do not say it."""
    text = body.decode(errors="replace").strip()
    if text in PLAIN_TEXT:
        return PLAIN_TEXT[text](f"{name}: {text}")
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        told = None
    if isinstance(told, dict) and isinstance(told.get("code", told.get("error")), str):
        return told_error(told, status)
    if status in STATUS:
        return STATUS[status](f"{name}: the server answered {status}")
    return e.BadAnswer(f"the server answered {status}: is this a hashserver?")


def told_error(told: dict[str, Any], status: int = 0) -> e.HashserverError:
    """Make an error of its `code` (or `error`) and its message, as all faces and streams tell them."""
    code = told.get("code", told.get("error"))
    message = str(told.get("mesg", told.get("message", "")))[:SHOWN]
    if code == "BadChecksum":
        given = told.get("exception")
        given = given if isinstance(given, dict) else {}
        return e.BadChecksum(given.get("input", ""), str(given.get("msg", message))[:SHOWN])
    if code == "BadNameList":
        return e.BadNameList("server", message)
    axons = CODES.get(str(code)) if "mesg" in told else None  # one of its words is also a class of ours
    kind = axons or _named(str(code)) or (STATUS.get(status) if status != 404 else None) or e.BadAnswer
    return kind.__new__(kind, message or f"the server answered {status}")  # the message is worded already


def _named(code: str) -> type[e.HashserverError] | None:
    kind = getattr(e, code, None)
    is_ours = isinstance(kind, type) and issubclass(kind, e.HashserverError)
    return kind if is_ours and kind is not e.HashserverError else None
