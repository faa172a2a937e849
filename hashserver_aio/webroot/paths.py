"""Paths of URLs as names of files.

They are split before they are decoded, and decoded once: an encoded slash is no slash, and an encoded
dot is a dot.
"""

from __future__ import annotations

import os
from typing import NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

from ..errors import NoSuchFile

MAX_NAMES = 128
"""No path has more folders: each is open while its file is looked for."""

_NEVER = (b"", b".", b"..")


class WebPath(NamedTuple):
    """Names from the web-root down; whether the path ended with a slash, as that of a folder does."""

    names: tuple[bytes, ...]
    is_folder: bool

    def below(self, name: bytes) -> WebPath:
        """Name a file in this folder."""
        return WebPath((*self.names, name), False)

    @property
    def shown(self) -> str:
        """The path for a person, relative to the web-root."""
        return b"/".join(self.names).decode("utf-8", "replace")


def parse_path(raw: str) -> WebPath:
    """Read the path of a URL as it came, percent-encoded, from its slash on.

    Raises: NoSuchFile, where no file can be called so.
    """
    pieces = raw.encode("utf-8", "surrogateescape").removeprefix(b"/").split(b"/")
    is_folder = not pieces[-1]
    if is_folder:
        pieces.pop()
    names = tuple(map(unquote_to_bytes, pieces))
    if len(names) > MAX_NAMES or any(name in _NEVER or b"/" in name or b"\0" in name for name in names):
        raise NoSuchFile
    return WebPath(names, is_folder)


def reference(name: bytes, *, is_folder: bool = False) -> str:
    """Word a relative URL from a folder to a name in it; all is encoded that could make another one of it."""
    return quote_from_bytes(name, safe="") + ("/" if is_folder else "")


def file_name(name: str) -> bytes:
    """Give a name that Python read from a folder as the bytes that it is there."""
    return os.fsencode(name)
