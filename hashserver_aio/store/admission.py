"""Whether a directory can be served as it was asked for, and in which format.

Nothing is changed by looking: what is refused here stays as it was.
"""

from __future__ import annotations

import os

from ..errors import CannotStart
from ..settings import Layout, Settings
from .filesystem import unwritable_of
from .format import Format, read_format, settle


def settle_format(settings: Settings) -> Format:
    """Decide on the format that a directory is served in, and whether it can be at all.

    Raises: CannotStart, FormatConflict.
    """
    for folder in (settings.directory, *settings.extra_dirs):
        if not folder.is_dir():
            raise CannotStart(f"{folder} is not a directory; create it or name another one")
        if not os.access(folder, os.R_OK | os.X_OK):
            raise CannotStart(f"user {os.getuid()} may not read {folder}")
    format_ = settle(settings.directory, settings.layout, settings.algorithm)
    for folder in settings.extra_dirs:
        recorded = read_format(folder)
        if recorded is not None and recorded.algorithm is not format_.algorithm:
            raise CannotStart(
                f"{folder} holds buffers named by {recorded.algorithm}, {settings.directory} by "
                f"{format_.algorithm}: serve it by itself"
            )
    if not settings.writable:
        return format_
    if format_.layout is Layout.VAULT:
        raise CannotStart(f"{settings.directory} is a vault, which is read-only: leave out --writable")
    unwritable = unwritable_of(settings.directory)
    if unwritable is not None:
        raise CannotStart(
            f"{unwritable} can't be written by user {os.getuid()}: "
            "change its owner or mode, or leave out --writable"
        )
    return format_
