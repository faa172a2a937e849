"""The cases, by group, and what each group measures."""

from __future__ import annotations

from ..arena import Options
from ..case import Case
from . import axon, downloads, names, reads, resources, rows, writes

__all__ = ["GROUPS", "all_cases"]

GROUPS = {
    reads.GROUP: reads.ABOUT,
    writes.GROUP: writes.ABOUT,
    names.GROUP: names.ABOUT,
    downloads.GROUP: downloads.ABOUT,
    resources.GROUP: resources.ABOUT,
    axon.GROUP: axon.ABOUT,
    rows.GROUP: rows.ABOUT,
}
"""Title and paragraph of each group."""


def all_cases(options: Options) -> list[Case]:
    """List every case, in the order in which they run."""
    groups = (reads, writes, names, downloads, resources, axon, rows)
    return [case for group in groups for case in group.cases(options)]
