"""What the query of a request asks for."""

from __future__ import annotations

import math

from aiohttp import web

from ...errors import BadArgument

MAX_NUMBER = 2**62


def number(request: web.Request, name: str, default: int) -> int:
    """Read a whole number. Raises: BadArgument."""
    text = request.query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 19 or int(text) > MAX_NUMBER:
        raise BadArgument(f"{name} is a whole number from 0 on, not {text[:50]!r}")
    return int(text)


def flag(request: web.Request, name: str) -> bool:
    """Read a yes or no; no where there is none. Raises: BadArgument."""
    text = request.query.get(name, "false").lower()
    if text not in ("", "0", "1", "false", "true"):
        raise BadArgument(f"{name} is true or false, not {text[:50]!r}")
    return text not in ("0", "false")


def seconds(request: web.Request, name: str) -> float:
    """Read a number of seconds; infinity where there is none. Raises: BadArgument."""
    text = request.query.get(name)
    if text is None:
        return math.inf
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise BadArgument(f"{name} is a number of seconds, not {text[:50]!r}")
    return value


def only(request: web.Request, *names: str) -> None:
    """Refuse a query that asks for what is not known here. Raises: BadArgument."""
    for name in request.query:
        if name not in names:
            raise BadArgument(f"{name[:50]!r} is not known here, use {', '.join(names)}")
