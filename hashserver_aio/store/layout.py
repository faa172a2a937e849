"""Where in a directory a buffer's file lies.

A vault is four flat places searched one after the other, so that nothing else knows of vaults.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..checksums import Checksum
from ..settings import Layout
from .files import Form

PREFIX_MARKER = ".HASHSERVER_PREFIX"
"""Other programs tell a prefix directory from a flat one by this file; it holds `1` and a newline."""

VAULT_FOLDERS = ("independent/small", "dependent/small", "independent/big", "dependent/big")


PREFIX_DIGITS = 2


@dataclass(frozen=True, slots=True)
class Place:
    """One folder of buffers, prefix or flat. `key` names it in the catalogue: "" is the store's own."""

    root: str
    layout: Layout
    key: str = ""

    def folder(self, checksum: str) -> str:
        """Name the folder that a buffer's file lies in, by the first digits of its name."""
        return f"{self.root}/{checksum[:PREFIX_DIGITS]}" if self.layout is Layout.PREFIX else self.root

    def path(self, checksum: Checksum, form: Form = Form.PLAIN) -> str:
        """Name a buffer's file."""
        return f"{self.folder(checksum)}/{checksum}{form}"

    def sidecar(self, checksum: Checksum) -> str:
        """Name the file that holds the plain size beside a compressed form."""
        return f"{self.path(checksum)}.BUFFERLENGTH"

    def locks(self, checksum: Checksum) -> Iterator[str]:
        """Name the lock files that say that this buffer may be being written."""
        yield f"{self.path(checksum)}.LOCK"
        yield f"{self.root}/.LOCK"
        if self.layout is Layout.PREFIX:
            yield f"{self.folder(checksum)}/.LOCK"


def places(directory: Path, layout: Layout, key: str = "") -> list[Place]:
    """Name the places that a directory consists of, in the order they are searched."""
    root = os.path.abspath(directory)
    if layout is Layout.VAULT:
        return [Place(f"{root}/{folder}", Layout.FLAT, f"{key}/{folder}") for folder in VAULT_FOLDERS]
    return [Place(root, layout, key)]


def is_vault(directory: Path) -> bool:
    """Tell whether all four folders of a vault exist."""
    return all((directory / folder).is_dir() for folder in VAULT_FOLDERS)
