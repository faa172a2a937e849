"""What is in a folder, page by page: however many names there are, no more are kept than a page has."""

from __future__ import annotations

import heapq
import os
import stat
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ..store.files import Identity
from .paths import file_name
from .walking import Walk

PAGE = 10_000
"""So many names are told at a time: a page of some 2 MB."""


class Entry(NamedTuple):
    """A file or folder; `size` in bytes, 0 for a folder; `modified_s` since the epoch."""

    name: bytes
    is_folder: bool
    size: int
    modified_s: float


class Listing(NamedTuple):
    """A page of a folder's names, sorted; `last`: the name after which the next page begins, if any."""

    entries: list[Entry]
    last: bytes | None


def listed(walk: Walk, lead: Callable[[bytes], os.stat_result | None], after: bytes) -> Listing:
    """List the folder that a walk came to, from the first name behind `after`; `lead` follows links.

    Raises: OSError.
    """
    folder = walk.open_folder()
    try:
        names = heapq.nsmallest(PAGE + 1, (name for name in _names(folder, walk) if name > after))
        shown = names[:PAGE]
        entries = [entry for name in shown if (entry := _entry(folder, name, lead)) is not None]
    finally:
        os.close(folder)
    return Listing(entries, shown[-1] if len(names) > PAGE else None)


def _names(folder: int, walk: Walk) -> Iterator[bytes]:
    with os.scandir(folder) as found:
        for entry in found:
            name = file_name(entry.name)
            if not walk.hides(name):
                yield name


def _entry(folder: int, name: bytes, lead: Callable[[bytes], os.stat_result | None]) -> Entry | None:
    """Tell of a name what its URL leads to; None if that is nothing."""
    try:
        status: os.stat_result | None = os.stat(name, dir_fd=folder, follow_symlinks=False)
        assert status is not None
        if stat.S_ISLNK(status.st_mode):
            status = lead(name)
    except OSError:  # gone by now
        return None
    if status is None or not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        return None
    is_folder = stat.S_ISDIR(status.st_mode)
    modified_s = Identity.of(status).modified_s
    return Entry(name, is_folder, 0 if is_folder else status.st_size, modified_s)
