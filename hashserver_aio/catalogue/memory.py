"""A catalogue for directories that can't be written: it lasts as long as the process, and is bounded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from ..checksums import Checksum
from ..store import Form
from . import Arrival, Known

MAX_FILES = 200_000
"""Some 80 MB at most; a file that fell out is hashed once more."""


class MemoryCatalogue:
    """Knows the files that were used last."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[Checksum, str, Form], Known] = OrderedDict()

    def known(self, checksum: Checksum, place: str, form: Form) -> Known | None:
        """Tell what is known of a stored file."""
        known = self._known.get((checksum, place, form))
        if known is not None:
            self._known.move_to_end((checksum, place, form))
        return known

    def holds(self, checksum: Checksum) -> bool:
        """Nothing is listed here: only files are remembered."""
        return False

    async def record(self, arrival: Arrival) -> None:
        """Remember a file; the one used longest ago makes room."""
        self._known[arrival.checksum, arrival.place, arrival.form] = arrival.known
        if len(self._known) > MAX_FILES:
            self._known.popitem(last=False)

    async def forget(self, checksum: Checksum, is_absent: Callable[[], bool]) -> None:
        """Nothing to do: a file that is gone is never asked for."""

    async def close(self) -> None:
        """Nothing to do."""
