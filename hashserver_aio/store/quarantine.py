"""Putting a corrupt file aside, without ever taking a good one.

Another program may be writing the file, or replace it in the very moment; so it is moved only if
it is old, unlocked and unchanged, and put back if what was moved is not what was hashed.
"""

from __future__ import annotations

import contextlib
import os
import time

from .files import COMMIT_LOCK, Identity, StoredFile
from .filesystem import sync_folder
from .layout import Place
from .locks import commit_lock, is_locked

FOLDER = "quarantine"


def put_aside(stored: StoredFile, place: Place, own_folder: str, lock_timeout_s: float) -> bool:
    """Move a corrupt file to the quarantine folder; False where that can't or need not be done.

    Raises: OSError.
    """
    if not _is_left_alone(stored, place, lock_timeout_s):
        return False
    folder = f"{own_folder}/{FOLDER}"
    os.makedirs(folder, exist_ok=True)
    aside = f"{folder}/{stored.checksum}{stored.form}.{time.time_ns() // 1_000_000}"
    with commit_lock(f"{own_folder}/{COMMIT_LOCK}", stored.checksum):
        try:
            if Identity.of(os.stat(stored.path)) != stored.identity:
                return False
            os.rename(stored.path, aside)
        except FileNotFoundError:
            return False
        if os.stat(aside).st_ino != stored.identity.inode:
            _put_back(aside, stored.path)
            return False
        sync_folder(os.path.dirname(stored.path))
    return True


def _is_left_alone(stored: StoredFile, place: Place, lock_timeout_s: float) -> bool:
    age_s = stored.identity.age_s
    old = age_s < 0 or age_s > lock_timeout_s
    return old and not is_locked(place.locks(stored.checksum), lock_timeout_s)


def _put_back(aside: str, path: str) -> None:
    """Undo the move of a file that came in between, unless an even newer one is there."""
    with contextlib.suppress(FileExistsError):
        os.link(aside, path)
        os.unlink(aside)
