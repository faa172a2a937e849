"""Whether a directory can be used now: a look that reads nothing but names and changes nothing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import FormatConflict, StoreFailed
from .filesystem import unwritable_of
from .format import Format, read_format
from .layout import Place


def refuse_gone(directory: Path, device: int) -> None:
    """Refuse to take it for absence that the whole directory, or the disk below it, is not there.

    Raises: StoreFailed; OSError.
    """
    if os.stat(directory).st_dev != device:
        raise StoreFailed("the disk below the directory was unmounted")


def refuse_other(directory: Path, device: int, format_: Format) -> None:
    """Refuse to change a directory that is not the one that was opened, or has become another one.

    Raises: StoreFailed, FormatConflict; OSError.
    """
    refuse_gone(directory, device)
    if read_format(directory) not in (None, format_):
        raise FormatConflict("the directory has become one of another format")


def is_mounted(directory: Path, device: int, *, writable: bool) -> bool:
    """Tell whether the disk is there that held something. Raises: OSError, FormatConflict."""
    if writable:
        return read_format(directory) is not None
    return os.stat(directory).st_dev == device


def why_unusable(
    directory: Path, places: Sequence[Place], device: int, format_: Format, *, writable: bool
) -> str | None:
    """Tell in a sentence, without a path, why a directory can't be used; None if it can.

    `device`: what it lay on when it was opened.
    """
    try:
        if os.stat(directory).st_dev != device:
            return "the disk below the directory was unmounted"
        for place in places:
            with os.scandir(place.root) as entries:
                next(entries, None)
        if read_format(directory) not in (None, format_):
            return "the directory has become one of another format"
        if writable and unwritable_of(directory) is not None:
            return "the directory can't be written"
    except FormatConflict:
        return "the directory's format record can't be understood"
    except OSError:
        return "the directory can't be read"
    return None
