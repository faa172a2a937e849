"""What others give to be sent, brought into one shape: what can't be sent as it was meant is refused here.

What passes aiohttp takes without a complaint; so a complaint of it is a bug, and is not hidden.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from urllib.parse import urlencode

from aiohttp import BytesPayload, Payload

from ..errors import BadArgument

Pairs = Sequence[tuple[str, str]]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""Source: RFC 9110, section 5.6.2."""

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

_FRAMING = frozenset(
    {
        *("connection", "content-length", "expect", "keep-alive", "te", "trailer", "transfer-encoding"),
        "upgrade",
    }
)
"""Where a request ends, and what becomes of its connection, is not for who asks to say: else a part of what
they send could be read as a request of its own, which nobody has judged."""


def is_text(given: object) -> bool:
    """Tell whether a thing is a text that can be sent: JSON may name halves of characters."""
    try:
        return isinstance(given, str) and given.encode() is not None
    except UnicodeEncodeError:
        return False


def is_line(given: object) -> bool:
    """Tell whether a thing is a text that can be part of a line, and end none."""
    return is_text(given) and _CONTROL.search(str(given)) is None


def read_headers(given: object) -> dict[str, str]:
    """Read the headers of a request.

    Raises: BadArgument.
    """
    if given is None:
        return {}
    if not isinstance(given, dict) or not all(is_line(value) for value in given.values()):
        raise BadArgument("headers is an object of names and texts of one line")
    for name in given:
        if not isinstance(name, str) or _TOKEN.fullmatch(name) is None:
            raise BadArgument("headers has a name that is no name of a header")
        if name.lower() in _FRAMING or name.lower().startswith("proxy-"):
            raise BadArgument(f"the header {name} is not for who asks to say")
    if len({name.lower() for name in given}) < len(given):
        raise BadArgument("headers has a name twice")
    return given


def read_pairs(given: object, what: str) -> Pairs:
    """Read names with a value each, or a list of values; or a list of names and values.

    Raises: BadArgument.
    """
    items: Iterable[object] = ()
    if isinstance(given, dict):
        items = given.items()
    elif isinstance(given, list | tuple):
        items = given
    elif given is not None:
        raise BadArgument(f"{what} is an object of names and values")
    pairs: list[tuple[str, str]] = []
    for item in items:
        if not isinstance(item, list | tuple) or len(item) != 2 or not is_text(item[0]):
            raise BadArgument(f"{what} is an object of names and values")
        values = item[1] if isinstance(item[1], list | tuple) else [item[1]]
        pairs += [(item[0], _value(value, what)) for value in values]
    return pairs


def _value(given: object, what: str) -> str:
    """Write a value as a text; of an object, null or true each would write another one."""
    if isinstance(given, bool) or not isinstance(given, str | int | float) or not is_text(str(given)):
        raise BadArgument(f"each value in {what} is a text or a number, or a list of these")
    if isinstance(given, float) and not math.isfinite(given):
        raise BadArgument(f"{what} has a number that is none")
    return str(given)


def write_json(given: object, what: str, *, compact: bool = False) -> bytes:
    """Write JSON.

    Raises: BadArgument.
    """
    try:
        if compact:
            return json.dumps(given, separators=(",", ":"), ensure_ascii=False).encode()
        return json.dumps(given).encode()
    except (RecursionError, TypeError, ValueError):
        raise BadArgument(
            f"{what} can't be written as JSON: it is too deep, or not of texts and numbers"
        ) from None


def read_body(json: object, body: object) -> Payload | None:
    """Read the body of a request: anything as JSON, or bytes, a text, or the fields of a form.

    Raises: BadArgument.
    """
    if json is not None and body is not None:
        raise BadArgument("json and body can't be sent both")
    if json is not None:
        return BytesPayload(write_json(json, "json"), content_type="application/json")
    if body is None:
        return None
    if isinstance(body, bytes):
        return BytesPayload(body)
    if isinstance(body, str) and is_text(body):
        return BytesPayload(body.encode(), content_type="text/plain; charset=utf-8")
    if isinstance(body, dict):
        form = urlencode(read_pairs(body, "body")).encode()
        return BytesPayload(form, content_type="application/x-www-form-urlencoded")
    raise BadArgument("body is a text, or an object of the fields of a form")
