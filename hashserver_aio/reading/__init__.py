"""Reading inside buffers: lines, rows, JSON, msgpack, structs.

A reader is pure: it takes pieces of bytes and gives JSON texts, in memory bounded by its longest
record. None is run in the server's own process on more than 2 KiB: parsing one record keeps the
interpreter's lock to its end, in whatever thread, and everybody would wait. `apart.py` runs them.
"""

from __future__ import annotations

from .json_lines import JsonLines
from .lines import MAX_RECORD_BYTES, Lines
from .messages import Messages
from .rows import Parameter, Rows
from .structs import MAX_STRUCT_BYTES, Struct

__all__ = [
    "MAX_RECORD_BYTES",
    "MAX_STRUCT_BYTES",
    "READERS",
    "JsonLines",
    "Lines",
    "Messages",
    "Parameter",
    "Reader",
    "Rows",
    "Struct",
]

Reader = Lines | Rows | JsonLines | Messages | Struct
"""What to read, and how. Each has a `name`, options that are JSON, so that another process can make
the same, `limit_bytes` of a record, and `texts`, which words each record as a line of JSON and raises
BadContent, BadJson or RecordTooLong; RecursionError and MemoryError say the same of a value."""

READERS: tuple[type[Reader], ...] = (Lines, Rows, JsonLines, Messages, Struct)
