"""Numbers and strings at fixed places, as Python's `struct` describes them."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from ..errors import BadArgument, BadContent
from .wording import to_json

MAX_STRUCT_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Struct:
    """Reads what one format describes, as one list."""

    name: ClassVar[str] = "unpack"
    fmt: str
    limit_bytes: int = MAX_STRUCT_BYTES

    def __post_init__(self) -> None:
        if self.size == 0:
            raise BadArgument(f"Struct format reads nothing: {self.fmt!r}")
        if self.size > self.limit_bytes:
            raise BadArgument(f"Struct format would read too much data: {self.size} bytes")

    @property
    def size(self) -> int:
        """Tell how many bytes it reads. Raises: BadArgument."""
        try:
            return struct.calcsize(self.fmt)
        except (struct.error, UnicodeError) as error:
            raise BadArgument(f"Failed to unpack bytes with format {self.fmt}: {error}") from None

    def texts(self, pieces: Iterable[bytes], size: int) -> Iterator[str]:
        """Word the list as JSON. Raises: BadContent."""
        data = b"".join(pieces)
        if len(data) != self.size:
            raise BadContent(f"Expected {self.size} bytes but got {len(data)} bytes")
        yield to_json(struct.unpack(self.fmt, data))
