"""Values that JSON has no words for, back from the words that the server finds for them.

{"$bytes": "<base64>"}   bytes
{"$float": "nan"}        a float that is no number
{"$ext": [code, ..]}     a msgpack extension
{"$map": [[key, ..]]}    a map with keys that are no strings, or begin with "$"
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import Any

from msgpack import ExtType, Timestamp  # type: ignore[import-untyped]  # it has no types

from ..errors import BadAnswer

TIME_CODE = -1
"""The extension that msgpack has for times."""


def unworded(value: Any) -> Any:
    """Give the value that was worded. Raises: BadAnswer."""
    try:
        return _unworded(value)
    except (ValueError, TypeError, binascii.Error, RecursionError):
        raise BadAnswer("the server worded a value in a way that is not known here") from None


def _unworded(value: Any) -> Any:
    if isinstance(value, list):
        return [_unworded(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((key, inner),) = value.items()
        if key == "$bytes":
            return b64decode(inner, validate=True)
        if key == "$float":
            return float(inner)
        if key == "$map":
            return {_as_key(_unworded(name)): _unworded(each) for name, each in inner}
        if key == "$ext":
            return _extension(*inner)
    return {name: _unworded(inner) for name, inner in value.items()}


def _extension(code: int, data: str) -> object:
    packed = b64decode(data, validate=True)
    return Timestamp.from_bytes(packed) if code == TIME_CODE else ExtType(code, packed)


def _as_key(value: Any) -> Any:
    """Make a key of what was one in msgpack, also of an array."""
    return tuple(map(_as_key, value)) if isinstance(value, list) else value
