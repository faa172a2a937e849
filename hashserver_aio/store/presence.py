"""Which of many buffers a place holds, at the least number of system calls.

A folder is listed where that is cheaper than asking for its names one by one; the listing stops as
soon as it no longer is, so that a folder of millions costs a small request nothing.
"""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Iterable
from itertools import islice

from ..checksums import CHECKSUM_DIGITS, Checksum
from ..settings import Layout
from .files import FORMS, is_absence, parse_name
from .layout import PREFIX_DIGITS, Place

_ENTRIES_PER_NAME = 10
"""Reading an entry costs 1 us, asking for a name in its three forms 14 us and more (ext4, folders
of 200 to 40,000 entries); some distance is kept because what is listed may be of no use."""

_ASKED_ONE_BY_ONE = 4


def held(place: Place, checksums: Iterable[Checksum]) -> set[Checksum]:
    """Tell which of these buffers a place holds in any form.

    Raises: OSError, for anything but absence.
    """
    folders: defaultdict[str, list[Checksum]] = defaultdict(list)
    digits = PREFIX_DIGITS if place.layout is Layout.PREFIX else 0
    for checksum in checksums:
        folders[checksum[:digits]].append(checksum)
    found: set[Checksum] = set()
    for names in folders.values():
        found |= _held_in(place.folder(names[0]), names)
    return found


def _held_in(folder: str, checksums: list[Checksum]) -> set[Checksum]:
    if len(checksums) <= _ASKED_ONE_BY_ONE:
        return {checksum for checksum in checksums if _is_file(folder, checksum)}
    limit = _ENTRIES_PER_NAME * len(checksums)
    try:
        with os.scandir(folder) as entries:
            listed = {entry.name for entry in islice(entries, limit + 1)}
    except OSError as error:
        if is_absence(error):
            return set()
        raise
    if len(listed) <= limit:
        checksums = _named_among(listed, checksums)
    return {checksum for checksum in checksums if _is_file(folder, checksum)}


def _named_among(listed: set[str], checksums: list[Checksum]) -> list[Checksum]:
    """Tell which buffers have a file of some form, by the names of all files in a folder."""
    plain = {name for name in listed if len(name) == CHECKSUM_DIGITS}
    if len(plain) < len(listed):  # else no name has to be looked at one by one
        named = map(parse_name, listed - plain)
        plain |= {name[0] for name in named if name}
    return list(map(Checksum, plain.intersection(checksums)))


def _is_file(folder: str, checksum: Checksum) -> bool:
    return any(_regular_size(f"{folder}/{checksum}{form}") is not None for form in FORMS)


def _regular_size(path: str) -> int | None:
    try:
        status = os.stat(path)
    except OSError as error:
        if is_absence(error):
            return None
        raise
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def size_of(place: Place, checksum: Checksum) -> int | None:
    """Tell a held buffer's plain size; None where only reading a compressed form would tell it."""
    size = _regular_size(place.path(checksum))
    if size is not None:
        return size
    try:
        with open(place.sidecar(checksum), "rb") as file:
            return max(0, int(file.read(32)))
    except (OSError, ValueError):
        return None
