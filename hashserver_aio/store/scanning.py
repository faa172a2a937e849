"""Going through all that is stored, part by part, in the order of names.

A part is what is sorted in memory at a time: so a walk can end anywhere, and go on there later.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import product
from typing import NamedTuple

from ..checksums import Checksum
from ..settings import Layout
from .files import Form, is_absence, parse_name
from .layout import PREFIX_DIGITS, Place

_HEX = "0123456789abcdef"

_FLAT_DIGITS = 1
"""A flat folder is listed once for each part: sixteen times, for a sixteenth of the memory."""


class Part(NamedTuple):
    """The buffers of a place whose names begin with the same digits."""

    place: str
    digits: str


class Entry(NamedTuple):
    """A file that is named like a buffer."""

    checksum: Checksum
    form: Form


def parts_of(places: Iterable[Place]) -> list[Part]:
    """Name the parts of some places, in the order they are gone through."""
    return [Part(place.key, "".join(digits)) for place in places for digits in _beginnings(place)]


def _beginnings(place: Place) -> Iterable[tuple[str, ...]]:
    return product(_HEX, repeat=PREFIX_DIGITS if place.layout is Layout.PREFIX else _FLAT_DIGITS)


def list_part(place: Place, digits: str) -> list[Entry]:
    """List the files of a part, in the order of names.

    Raises: OSError, for anything but absence.
    """
    try:
        with os.scandir(place.folder(digits)) as entries:
            names = [entry.name for entry in entries if entry.name.startswith(digits)]
    except OSError as error:
        if is_absence(error):
            return []
        raise
    return [Entry(*parsed) for parsed in map(parse_name, sorted(names)) if parsed is not None]
