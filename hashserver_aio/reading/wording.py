"""Values in the words of JSON, those that JSON has none for included.

    bytes                                {"$bytes": "<base64>"}
    a float that is no number            {"$float": "nan"}, "inf", "-inf"
    a msgpack extension                  {"$ext": [<code>, "<base64>"]}
    a map with keys that JSON has not,   {"$map": [[<key>, <value>], ...]}
    or with one that begins with "$"

So nothing is lost, and nothing can be taken for something else.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable

from msgpack import Timestamp  # type: ignore[import-untyped]  # it has no types

TIME_CODE = -1
"""The extension that msgpack has for times, and unpacks by itself."""

Pair = tuple[object, object]


def to_json(value: object) -> str:
    """Word a value in one line of JSON; maps are of `to_map`, extensions of `to_extension`.

    Raises: RecursionError, if it is nested too deeply.
    """
    try:
        return _ENCODER.encode(value)
    except ValueError:  # rare, so that the others need not be searched for it
        return _ENCODER.encode(_with_numbers_only(value))


def to_bytes(text: str) -> bytes:
    """Encode JSON in UTF-8; half of a surrogate pair, which UTF-8 has not, as JSON's own escape of it."""
    return text.encode("utf-8", "backslashreplace")


def to_map(pairs: Iterable[Pair]) -> dict[object, object]:
    """Make of a map what JSON can word; of equal keys the last one counts."""
    pairs = list(pairs)
    for key, _ in pairs:
        if not isinstance(key, str) or key.startswith("$"):
            return {"$map": pairs}
    return dict(pairs)


def to_extension(code: int, data: bytes) -> dict[str, object]:
    """Make of a msgpack extension what JSON can word."""
    return {"$ext": [code, base64.b64encode(data).decode()]}


def _tagged(value: object) -> object:
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, Timestamp):
        return to_extension(TIME_CODE, value.to_bytes())
    raise TypeError(f"{type(value).__name__} has no words in JSON")


def _with_numbers_only(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": str(value)}
    if isinstance(value, dict):
        return {key: _with_numbers_only(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_with_numbers_only(inner) for inner in value]
    return value


_ENCODER = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"), default=_tagged
)
