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
from .files import FORMS
from .layout import Place

_ENTRIES_PER_NAME = 10
"""Reading an entry costs 1 us, asking for a name in its three forms 14 us and more (ext4, folders
of 200 to 40,000 entries); some distance is kept because what is listed may be of no use."""

_ASKED_ONE_BY_ONE = 4

ABSENT = (FileNotFoundError, NotADirectoryError)
"""Any other error is no answer: a disk that fails must not look empty."""


def held(place: Place, checksums: Iterable[Checksum]) -> set[Checksum]:
    """Tell which of these buffers a place holds in any form.

    Raises: OSError, for anything but absence.
    """
    folders: defaultdict[str, list[Checksum]] = defaultdict(list)
    for checksum in checksums:
        folders[place.folder(checksum)].append(checksum)
    found: set[Checksum] = set()
    for folder, names in folders.items():
        found |= _held_in(folder, names)
    return found


def _held_in(folder: str, checksums: list[Checksum]) -> set[Checksum]:
    if len(checksums) <= _ASKED_ONE_BY_ONE:
        return {checksum for checksum in checksums if _is_file(folder, checksum)}
    limit = _ENTRIES_PER_NAME * len(checksums)
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in islice(entries, limit + 1)]
    except ABSENT:
        return set()
    if len(names) > limit:
        return {checksum for checksum in checksums if _is_file(folder, checksum)}
    listed = {name[:CHECKSUM_DIGITS] for name in names if name[CHECKSUM_DIGITS:] in FORMS}
    return {checksum for checksum in checksums if checksum in listed}


def _is_file(folder: str, checksum: Checksum) -> bool:
    return any(_is_regular(f"{folder}/{checksum}{form}") for form in FORMS)


def _is_regular(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except ABSENT:
        return False


def size_of(place: Place, checksum: Checksum) -> int | None:
    """Tell a held buffer's plain size; None where only reading a compressed form would tell it."""
    try:
        return os.stat(place.path(checksum)).st_size
    except OSError:
        pass
    try:
        with open(place.sidecar(checksum), "rb") as file:
            return max(0, int(file.read(32)))
    except (OSError, ValueError):
        return None
