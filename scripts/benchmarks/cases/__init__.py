"""The cases, by group, and what each group measures."""

from __future__ import annotations

from ..arena import Options
from ..case import Case
from . import names, reads, resources, writes

__all__ = ["GROUPS", "all_cases"]

GROUPS = {
    reads.GROUP: reads.ABOUT,
    writes.GROUP: writes.ABOUT,
    names.GROUP: names.ABOUT,
    resources.GROUP: resources.ABOUT,
}
"""Title and paragraph of each group."""


def all_cases(options: Options) -> list[Case]:
    """List every case, in the order in which they run."""
    return [*reads.cases(options), *writes.cases(options), *names.cases(options), *resources.cases(options)]
