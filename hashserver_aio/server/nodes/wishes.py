"""What an operator wishes to be placed, as JSON."""

from __future__ import annotations

import json
from typing import NamedTuple

from ...checksums import Checksum, parse_checksums
from ...errors import BadBody
from ...settings import MAX_REPLICAS

MAX_BYTES = 128 * 1024
"""Of a request: some 1,900 names, parsed in two milliseconds; who has more asks again."""


class Wish(NamedTuple):
    """Buffers, each once, that are to be on so many nodes."""

    checksums: list[Checksum]
    replicas: int


def read_wish(body: bytes) -> Wish:
    """Read what is to be placed.

    Raises: BadBody, BadChecksum.
    """
    try:
        wish = json.loads(body)
    except (ValueError, RecursionError):
        raise BadBody("the body is no JSON") from None
    if not isinstance(wish, dict) or set(wish) != {"checksums", "replicas"}:
        raise BadBody("the body is to be a JSON object with checksums and replicas, and nothing else")
    checksums, replicas = wish["checksums"], wish["replicas"]
    if not isinstance(checksums, list):
        raise BadBody("checksums is to be a list of names")
    if type(replicas) is not int or not 0 <= replicas <= MAX_REPLICAS:
        raise BadBody(f"replicas is to be a whole number from 0 to {MAX_REPLICAS}")
    return Wish(list(dict.fromkeys(parse_checksums(checksums))), replicas)
