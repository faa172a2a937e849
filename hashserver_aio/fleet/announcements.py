"""What nodes say of themselves, as JSON: read strictly, for it is kept and connected to."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from yarl import URL

from ..errors import BadArgument, BadBody
from ..farmers import parse_address

MAX_BYTES = 4096
"""Of a message."""

MAX_CAPACITY = 2**60
"""An exbibyte."""

MAX_URL_LENGTH = 300

_ORIGIN = re.compile(r"https?://([a-z0-9_.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?/?", re.ASCII | re.IGNORECASE)


class Registration(NamedTuple):
    """Where a node is reached, how many bytes it holds at most, and where it is paid; "" for nowhere."""

    url: str
    capacity: int
    payout_address: str


def read_registration(body: bytes) -> Registration:
    """Read what a node says when it registers.

    Raises: BadBody, BadArgument, BadAddress.
    """
    said = _object(body, "url", "capacity", "payout_address")
    payout_address = _text(said, "payout_address")
    return Registration(
        url=parse_url(_text(said, "url")),
        capacity=_capacity(said),
        payout_address=parse_address(payout_address) if payout_address else "",
    )


def read_ping(body: bytes) -> int:
    """Read what a node says now and then: its capacity.

    Raises: BadBody.
    """
    return _capacity(_object(body, "capacity"))


def parse_url(text: str) -> str:
    """Read where a node is reached: `http://host:port`, in its one spelling.

    Raises: BadArgument.
    """
    try:
        url = URL(text) if len(text) <= MAX_URL_LENGTH and _ORIGIN.fullmatch(text) else None
    except ValueError:  # a port that there is not, an address that is none
        url = None
    if url is None or not url.port:
        raise BadArgument(
            "the URL of a node is http://host:port or https://host:port, without user, path and query"
        )
    return str(url.origin())


def _object(body: bytes, *names: str) -> dict[str, Any]:
    """Read an object that has these names and no others, each once. Raises: BadBody."""
    try:
        pairs = json.loads(body, object_pairs_hook=list)
    except (ValueError, RecursionError):
        raise BadBody("the body is no JSON") from None
    is_object = isinstance(pairs, list) and all(isinstance(pair, tuple) for pair in pairs)
    if not is_object or sorted(name for name, _ in pairs) != sorted(names):
        raise BadBody(f"the body is to be a JSON object with {', '.join(names)}, and nothing else")
    return dict(pairs)


def _text(said: dict[str, Any], name: str) -> str:
    if not isinstance(said[name], str):
        raise BadBody(f"{name} is to be a text")
    return str(said[name])


def _capacity(said: dict[str, Any]) -> int:
    capacity = said["capacity"]
    if type(capacity) is not int or not 0 <= capacity <= MAX_CAPACITY:  # a bool is an int, too
        raise BadBody(f"capacity is to be a whole number of bytes from 0 to {MAX_CAPACITY}")
    return capacity
