"""Lines of JSON: checked, and passed on in their own words.

So no number is rounded and none is too big. `NaN` and `Infinity`, which Python would take, are no JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, NoReturn

from ..errors import BadJson
from .lines import MAX_RECORD_BYTES, check_errors, check_limit, cut, decoded, kept


@dataclass(frozen=True, slots=True)
class JsonLines:
    """Reads lines of JSON."""

    name: ClassVar[str] = "jsonlines"
    errors: str = "ignore"
    limit_bytes: int = MAX_RECORD_BYTES

    def __post_init__(self) -> None:
        check_errors(self.errors)
        check_limit(self.limit_bytes)

    def texts(self, pieces: Iterable[bytes], size: int) -> Iterator[str]:
        """Give each value as it is worded there."""
        return read_json_lines(pieces, self.errors, self.limit_bytes)


def read_json_lines(pieces: Iterable[bytes], errors: str, limit_bytes: int) -> Iterator[str]:
    """Read lines of JSON, as text; blank ones are skipped.

    Raises: BadJson, BadContent, RecordTooLong.
    """
    for number, line in enumerate(decoded(cut(kept(pieces, errors), limit_bytes), errors), 1):
        text = line.strip()
        if not text:
            continue
        try:
            _DECODER.decode(text)
        except json.JSONDecodeError as error:
            where = f"line {number}, character {error.pos + 1}"
            raise BadJson(f"Bad json line encountered: {where}: {error.msg}") from None
        except RecursionError:
            raise BadJson(f"Bad json line encountered: line {number} is nested too deeply") from None
        yield text


def _refuse(constant: str) -> NoReturn:
    raise json.JSONDecodeError(f"{constant} is no JSON", constant, 0)


# What the numbers are is not asked: as text they cost nothing, however long they are.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_refuse)
