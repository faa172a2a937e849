"""What an answer sends: bytes of a file, or pieces, and what is said of them."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from ..errors import HashserverError


def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Representation:
    """Bytes to be sent, from `file` or else in `pieces`; who made it closes them.

    `shared`: headers that a 304 has too; `headers`: those that go with the bytes. `is_still` tells whether
    the file is what it was when it was opened, and `changed` words that it is not, or became shorter.
    `is_buffer`: it never changes, and a connection that asks for one may ask for more.
    """

    etag: str
    modified_s: float
    size: int
    file: io.FileIO | None
    pieces: AsyncIterator[bytes] | None
    shared: dict[str, str]
    headers: dict[str, str]
    changed: Callable[[], HashserverError]
    is_still: Callable[[], bool] = _always
    is_buffer: bool = False
