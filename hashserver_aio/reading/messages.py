"""Messages: msgpack values, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import msgpack  # type: ignore[import-untyped]  # it has no types

from ..errors import BadContent, HashserverError, RecordTooLong
from .lines import MAX_RECORD_BYTES, check_limit
from .wording import to_extension, to_json, to_map

FED_BYTES = 64 * 1024
MAX_INT_BYTES = 1024
"""Longer ones stay extensions: Python words no number of more than 4,300 digits."""

INT_CODES = {0: False, 1: True}
"""Integers past 64 bits are extensions, big-endian; whether they are signed."""


@dataclass(frozen=True, slots=True)
class Messages:
    """Reads msgpack."""

    name: ClassVar[str] = "iterMpkFile"
    limit_bytes: int = MAX_RECORD_BYTES

    def __post_init__(self) -> None:
        check_limit(self.limit_bytes)

    def texts(self, pieces: Iterable[bytes], size: int) -> Iterator[str]:
        """Word each value as JSON."""
        return map(to_json, read_messages(pieces, self.limit_bytes, size))


def read_messages(pieces: Iterable[bytes], limit_bytes: int, size: int) -> Iterator[object]:
    """Read values that `to_json` has words for, out of `size` bytes.

    Raises: RecordTooLong; BadContent, also if the last value is not there to its end.
    """
    unpacker = _unpacker(limit_bytes, size)
    fed = ended = 0  # bytes fed, and those of the values so far
    for piece in pieces:
        for begin in range(0, len(piece), step := min(FED_BYTES, limit_bytes)):
            unpacker.feed(piece[begin : begin + step])
            fed += len(piece[begin : begin + step])
            try:
                while True:
                    value = unpacker.unpack()
                    _check_length(unpacker.tell() - ended, limit_bytes, ended)
                    ended = unpacker.tell()
                    yield value
            except msgpack.OutOfData:
                _check_length(fed - ended, limit_bytes, ended)
            except (ValueError, msgpack.UnpackException) as error:
                raise _refused(error, ended, limit_bytes, size) from None
    if fed > ended:
        raise _cut_off(ended)


def _unpacker(limit_bytes: int, size: int) -> msgpack.Unpacker:
    """Make an unpacker that makes no room for more than there can be."""
    most = min(limit_bytes, size)
    return msgpack.Unpacker(
        strict_map_key=False,
        unicode_errors="surrogatepass",
        object_pairs_hook=to_map,
        ext_hook=_extension,
        max_buffer_size=limit_bytes + FED_BYTES,
        max_str_len=most,
        max_bin_len=most,
        max_ext_len=most,
        max_array_len=most,
        max_map_len=most,
    )


def _extension(code: int, data: bytes) -> object:
    if code in INT_CODES and len(data) <= MAX_INT_BYTES:
        return int.from_bytes(data, "big", signed=INT_CODES[code])
    return to_extension(code, data)


def _refused(error: Exception, begin: int, limit_bytes: int, size: int) -> HashserverError:
    if isinstance(error, msgpack.StackError):
        return BadContent(f"the value that begins at byte {begin} is nested too deeply")
    if "exceeds max_" in str(error):  # it says how long it is; there is no class for that
        return _too_long(begin, limit_bytes) if limit_bytes <= size else _cut_off(begin)
    return BadContent(f"no msgpack in the value that begins at byte {begin}: {error or type(error).__name__}")


def _check_length(length: int, limit_bytes: int, begin: int) -> None:
    if length > limit_bytes:
        raise _too_long(begin, limit_bytes)


def _too_long(begin: int, limit_bytes: int) -> RecordTooLong:
    return RecordTooLong(f"the value that begins at byte {begin} is longer than {limit_bytes} bytes")


def _cut_off(begin: int) -> BadContent:
    return BadContent(f"the value that begins at byte {begin} is cut off")
