"""Lists of names: JSON of up to 16 MiB, parsed without holding up the event loop.

Parsing JSON keeps the interpreter's lock to the end, in whatever thread: a long list is cut into
slices, and everybody else has a turn between two of them.
"""

from __future__ import annotations

import asyncio
import json

from ..checksums import Checksum, parse_checksums
from ..errors import BadChecksum, BadNameList

MAX_LIST_BYTES = 16 * 1024 * 1024
"""Some 240,000 names; who has more asks twice."""

SLICE_BYTES = 64 * 1024
"""1,000 names, parsed in a millisecond."""

MIN_BYTES_A_NAME = 67

THREAD_NAMES = 10_000
"""What is to be done with more names than this is done in a thread."""


async def parse_names(body: bytes) -> list[Checksum]:
    """Parse a JSON list of names.

    Raises: BadNameList; BadChecksum, with the index of the first bad name.
    """
    if len(body) <= SLICE_BYTES:
        return _parsed(body)
    if has_short_names(body):
        raise BadNameList("list_type", "Input should be a valid list of names")
    names = await _parsed_in_slices(body)
    if names is None:  # it is wrong, or unusual: all of it at once tells
        return await asyncio.to_thread(_parsed, body)
    return names


def has_short_names(body: bytes) -> bool:
    """Tell 16 MiB of something else from a list: it would take seconds and hundreds of megabytes."""
    return body.count(b",") > len(body) // MIN_BYTES_A_NAME


def _parsed(body: bytes) -> list[Checksum]:
    if not body:
        raise BadNameList("missing", "Field required")
    try:
        names = json.loads(body)
    except (ValueError, RecursionError):
        raise BadNameList("json_invalid", "JSON decode error") from None
    if not isinstance(names, list):
        raise BadNameList("list_type", "Input should be a valid list")
    return parse_checksums(names)


async def _parsed_in_slices(body: bytes) -> list[Checksum] | None:
    """Parse a list cut at commas; None if a slice is no list of names by itself.

    A comma inside a string, or inside a list in the list, leaves a slice that is no JSON; one too
    many leaves an empty slice.
    """
    text = body.strip(b" \t\r\n")
    if text[:1] != b"[" or text[-1:] != b"]":
        return None
    names: list[Checksum] = []
    begin, last = 1, len(text) - 1
    while begin <= last:
        end = text.find(b",", begin + SLICE_BYTES, last)
        end = last if end < 0 else end
        try:
            some = parse_checksums(json.loads(b"[%b]" % text[begin:end]))
        except (ValueError, RecursionError, BadChecksum):
            return None
        if not some:
            return None
        names += some
        begin = end + 1
        await asyncio.sleep(0)
    return names
