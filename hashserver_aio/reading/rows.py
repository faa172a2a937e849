"""Rows of comma-separated values, in the dialects that Python knows."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ..errors import BadArgument, BadContent, RecordTooLong
from .lines import MAX_RECORD_BYTES, check_errors, check_limit, cut, decoded, kept
from .wording import to_json

Parameter = str | int | bool | None


@dataclass(frozen=True, slots=True)
class Rows:
    """Reads rows; `parameters` are the format parameters of `csv.reader`."""

    name: ClassVar[str] = "csvrows"
    dialect: str = "excel"
    errors: str = "ignore"
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    limit_bytes: int = MAX_RECORD_BYTES

    def __post_init__(self) -> None:
        check_errors(self.errors)
        check_limit(self.limit_bytes)
        if self.dialect not in csv.list_dialects():
            raise BadArgument(f"Invalid CSV dialect, use one of {csv.list_dialects()}")
        try:
            csv_reader([], self.dialect, self.parameters)
        except (TypeError, ValueError, csv.Error) as error:
            raise BadArgument(f"Invalid csv format parameter: {error}") from None

    def texts(self, pieces: Iterable[bytes], size: int) -> Iterator[str]:
        """Word each row as a JSON list."""
        rows = read_rows(pieces, self.dialect, self.errors, self.parameters, self.limit_bytes)
        return map(to_json, rows)


def read_rows(
    pieces: Iterable[bytes],
    dialect: str,
    errors: str,
    parameters: Mapping[str, Parameter],
    limit_bytes: int,
) -> Iterator[list[Any]]:
    r"""Read rows; every end of a line inside quotes is a `\n`.

    `csv.field_size_limit` counts as well; it is one for the whole process.
    Raises: BadContent; RecordTooLong, if a row, with all its lines, is.
    """
    lines = _LinesOfRow(cut(kept(pieces, errors), limit_bytes), limit_bytes)
    reader = csv_reader(decoded(lines, errors), dialect, parameters)
    try:
        for row in reader:
            lines.row_bytes = 0
            yield row
    except (csv.Error, ValueError) as error:  # ValueError: QUOTE_NONNUMERIC, and no number
        raise BadContent(f"CSV error: line {reader.line_num}: {error}") from None


def csv_reader(lines: Iterable[str], dialect: str, parameters: Mapping[str, Parameter]) -> Any:
    """Make Python's reader, with parameters that nobody has looked at."""
    keywords: Any = parameters
    return csv.reader(lines, dialect, **keywords)


class _LinesOfRow(Iterator[bytes]):
    """Passes lines on as long as one row does not take too many of them."""

    def __init__(self, lines: Iterator[bytes], limit_bytes: int) -> None:
        self._lines = lines
        self._limit_bytes = limit_bytes
        self._number = 0
        self.row_bytes = 0

    def __next__(self) -> bytes:
        line = next(self._lines)
        self._number += 1
        self.row_bytes += len(line)
        if self.row_bytes > self._limit_bytes + 1:  # the end of its last line is no part of a row
            raise RecordTooLong(
                f"the row that goes on in line {self._number} is longer than {self._limit_bytes} bytes"
            )
        return line
