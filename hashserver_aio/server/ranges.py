"""Range headers: which bytes of a representation are asked for.

Source: RFC 9110 section 14. A header that is no valid range set is ignored, as it demands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_RANGES = 64
"""More than this, or ranges of more bytes than there are, get the whole instead: one request shall
not make the server send a multiple of the buffer."""

_SPEC = re.compile(r"([0-9]{0,19})-([0-9]{0,19})")


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes from `first` on, `length` of them; in bytes, counted from 0."""

    first: int
    length: int

    def content_range(self, size: int) -> str:
        """Word the Content-Range header of this part."""
        return f"bytes {self.first}-{self.first + self.length - 1}/{size}"


class Unsatisfiable(Exception):
    """No range that is asked for touches the representation."""


def parse_ranges(header: str, size: int) -> list[ByteRange] | None:
    """Read a Range header for a representation of `size` bytes; None means send the whole.

    Raises: Unsatisfiable.
    """
    unit, equals, text = header.partition("=")
    if not equals or unit.strip().lower() != "bytes":
        return None
    specs = [spec.strip(" \t") for spec in text.split(",")]
    specs = [spec for spec in specs if spec]
    if not specs or len(specs) > MAX_RANGES:
        return None
    ranges = []
    for spec in specs:
        match = _SPEC.fullmatch(spec)
        if match is None or spec == "-":
            return None
        bounds = _bounds(match[1], match[2], size)
        if bounds is None:
            return None
        if bounds.length > 0:
            ranges.append(bounds)
    if not ranges:
        raise Unsatisfiable
    if sum(part.length for part in ranges) > size:
        return None
    return ranges


def _bounds(first: str, last: str, size: int) -> ByteRange | None:
    """Cut one range to the size; length 0 if it lies outside, None if it is backwards."""
    if not first:
        length = min(int(last), size)
        return ByteRange(size - length, length)
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        return ByteRange(size, 0)
    end = min(int(last), size - 1) if last else size - 1
    return ByteRange(int(first), end - int(first) + 1)
