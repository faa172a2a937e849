"""The process that reads: a buffer comes in at 0, JSON goes out at 1, and at 2 how it ended.

It knows nothing of the server. It is started without the package's own `__init__`: each
reading waits for what is imported here.
"""

from __future__ import annotations

import csv
import gc
import json
import os
import resource
import signal
from collections.abc import Callable, Iterable, Iterator

from ..errors import BadContent, BadJson, HashserverError, RecordTooLong
from . import READERS, Reader
from .wording import to_bytes

PIECE_BYTES = 256 * 1024

NICENESS = 5
"""As the threads that hash: who answers requests goes first."""

BASE_BYTES = 192 * 1024 * 1024
BYTES_A_BYTE = 20
"""What a process may take: as much as any honest record needs. One byte of msgpack may be an empty
list, and 16 MiB of these a gigabyte; such a record is too long."""

OUTCOMES = {error.__name__: error for error in (BadContent, BadJson, RecordTooLong)}
"""What a reader may find to be wrong."""

WHOLE = "whole"

Outcome = tuple[str, str]

Frame = tuple[str, str]
"""What stands before and after the JSON of each record."""


def main(wish: str) -> None:
    """Read; `wish` is the name of a reader, its options, the buffer's size and a frame, as JSON."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # nobody reads any more: that is all
    os.nice(NICENESS)
    gc.disable()  # records have no cycles, and looking for some in a long one takes seconds
    name, options, size, frame = json.loads(wish)
    reader: Reader = next(kind for kind in READERS if kind.name == name)(**options)
    csv.field_size_limit(reader.limit_bytes)
    most = BASE_BYTES + BYTES_A_BYTE * reader.limit_bytes
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    with open(1, "wb", buffering=PIECE_BYTES) as out:
        outcome = read(reader, _pieces(), size, frame, out.writelines)
    os.write(2, json.dumps(outcome).encode())


def read(
    reader: Reader,
    pieces: Iterable[bytes],
    size: int,
    frame: Frame,
    write: Callable[[Iterable[bytes]], object],
) -> Outcome:
    """Write what is read, and tell how it ended: WHOLE, or one of OUTCOMES and its message."""
    try:
        write(texts(reader, pieces, size, frame))
    except HashserverError as error:
        return type(error).__name__, str(error)
    return WHOLE, ""


def texts(reader: Reader, pieces: Iterable[bytes], size: int, frame: Frame) -> Iterator[bytes]:
    """Give the JSON of each record in a frame, in UTF-8.

    Raises: BadContent, BadJson, RecordTooLong.
    """
    before, after = frame
    try:
        for text in reader.texts(pieces, size):
            yield to_bytes(f"{before}{text}{after}")
    except RecursionError:
        raise BadContent("a value is nested too deeply") from None
    except MemoryError:
        raise RecordTooLong("a value takes more memory than reading may") from None


def _pieces() -> Iterator[bytes]:
    return iter(lambda: os.read(0, PIECE_BYTES), b"")
