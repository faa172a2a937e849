"""What the system says of the disk, as errors of ours; and how large a buffer may be."""

from __future__ import annotations

import errno

from .buffers import BufferTooLarge
from .root import HashserverError
from .servers import NoSpace, Starved, StoreFailed

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def from_os_error(error: OSError) -> HashserverError:
    """Translate what the system said about the disk, without naming a path of it."""
    if error.errno in FULL:
        return NoSpace("no room left on the server's disk; free some, or send it elsewhere")
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return Starved("the server has too many files open; try again")
    name = errno.errorcode.get(error.errno or 0, type(error).__name__)
    return StoreFailed(f"the server's disk failed ({name})")


def check_size(size: int, limit_bytes: int | None) -> None:
    """Raise BufferTooLarge if a buffer has more bytes than the server accepts."""
    if limit_bytes is not None and size > limit_bytes:
        raise BufferTooLarge(f"this server takes buffers of up to {limit_bytes} bytes")
