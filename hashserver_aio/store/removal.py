"""Taking a buffer away for good: whoever has its file open reads on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

from ..checksums import Checksum
from ..errors import ReadOnly
from .files import FORMS
from .filesystem import sync_folder
from .layout import Place
from .locks import commit_lock
from .presence import held


def remove_forms(checksum: Checksum, places: Sequence[Place], lock: str, *, fsync: bool) -> bool:
    """Remove a buffer in all its forms from the first place, durably; False if there was none.

    Raises: ReadOnly, where it is only in another one; OSError; Busy.
    """
    place = places[0]
    with commit_lock(lock, checksum):
        removed = [_unlinked(place.path(checksum, form)) for form in FORMS]
        _unlinked(place.sidecar(checksum))
        if fsync:  # also where nothing was left to remove: the sync may have failed the last time
            with contextlib.suppress(FileNotFoundError):
                sync_folder(place.folder(checksum))
    if not any(removed) and any(held(other, [checksum]) for other in places[1:]):
        raise ReadOnly(f"{checksum} lies in an extra directory, which is only read")
    return any(removed)


def _unlinked(path: str) -> bool:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
        os.unlink(path)
        return True
    return False
