"""Lines of text: what `\n`, `\r` or `\r\n` ends, as Python's universal newlines have it.

The bytes are cut before they are decoded: in UTF-8 the bytes of these ends are never part of another
character, so no character is ever split, wherever the pieces of a file end.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from ..errors import BadArgument, BadContent, RecordTooLong
from .wording import to_json

ERRORS = ("ignore", "replace", "backslashreplace", "strict", "surrogateescape", "surrogatepass")
"""What may be done with bytes that are no UTF-8: Python's names."""

MAX_RECORD_BYTES = 16 * 1024 * 1024
"""The longest line, row or message that is read; longer ones are refused, so that memory is bounded."""


@dataclass(frozen=True, slots=True)
class Lines:
    """Reads lines."""

    name: ClassVar[str] = "readlines"
    errors: str = "ignore"
    limit_bytes: int = MAX_RECORD_BYTES

    def __post_init__(self) -> None:
        check_errors(self.errors)
        check_limit(self.limit_bytes)

    def texts(self, pieces: Iterable[bytes], size: int) -> Iterator[str]:
        """Word each line as JSON."""
        return map(to_json, read_lines(pieces, self.errors, self.limit_bytes))


def read_lines(pieces: Iterable[bytes], errors: str, limit_bytes: int) -> Iterator[str]:
    """Read lines, without their ends.

    Raises: RecordTooLong; BadContent, if `errors` is strict.
    """
    for line in decoded(cut(kept(pieces, errors), limit_bytes), errors):
        yield line.removesuffix("\n")


def kept(pieces: Iterable[bytes], errors: str) -> Iterable[bytes]:
    r"""Leave out what is ignored before lines are cut: what stands between `\r` and `\n` may be."""
    return _valid(pieces) if errors == "ignore" else pieces


def _valid(pieces: Iterable[bytes]) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder("utf-8")("ignore")
    for piece in pieces:  # what its end leaves open is decoded with the next one, or ignored
        yield decoder.decode(piece).encode()


def decoded(lines: Iterable[bytes], errors: str) -> Iterator[str]:
    """Decode lines of UTF-8. Raises: BadContent, if `errors` is strict."""
    for number, line in enumerate(lines, 1):
        try:
            yield line.decode("utf-8", errors)
        except UnicodeDecodeError as error:
            raise BadContent(f"line {number}: {error}") from None


def cut(pieces: Iterable[bytes], limit_bytes: int) -> Iterator[bytes]:
    r"""Cut bytes into lines, each ended by `\n`; only the last one may have no end.

    Raises: RecordTooLong, after the lines before the one that is too long.
    """
    number = 0
    held: list[bytes] = []
    held_bytes = 0
    after_return = False
    for piece in pieces:
        held.append(piece)
        held_bytes += len(piece)
        if not (after_return or b"\n" in piece or b"\r" in piece):
            _check_length(held_bytes, limit_bytes, number + 1)
            continue
        *lines, rest = _lines(b"".join(held))
        for line in lines:
            number += 1
            _check_length(len(line) - 1, limit_bytes, number)
            yield line
        # Whether a `\r` is a whole end is only known from what follows.
        after_return = rest.endswith(b"\r")
        held, held_bytes = [rest], len(rest)
        _check_length(held_bytes - after_return, limit_bytes, number + 1)
    last = b"".join(held)
    if last:
        yield last[:-1] + b"\n" if after_return else last


def _lines(data: bytes) -> list[bytes]:
    r"""Cut data; the last one has no end, or one that may go on with `\n`, or is empty."""
    after = b"\r" if data.endswith(b"\r") else b""
    if b"\r" in data:
        data = data[: len(data) - len(after)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    lines = data.splitlines(keepends=True)
    if not lines or lines[-1].endswith(b"\n"):
        lines.append(b"")
    lines[-1] += after
    return lines


def check_errors(errors: str) -> None:
    """Raise BadArgument unless it is known what to do with bytes that are no UTF-8."""
    if errors not in ERRORS:
        raise BadArgument(f"errors={errors[:40]!r} is not known, use one of {', '.join(ERRORS)}")


def check_limit(limit_bytes: int) -> None:
    """Raise BadArgument unless records of up to so many bytes may be asked for."""
    if not 0 < limit_bytes <= MAX_RECORD_BYTES:
        raise BadArgument(f"limit={limit_bytes} is not from 1 to {MAX_RECORD_BYTES} bytes")


def _check_length(length: int, limit_bytes: int, number: int) -> None:
    if length > limit_bytes:
        raise RecordTooLong(f"line {number} is longer than {limit_bytes} bytes")
