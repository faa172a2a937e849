"""A web-root and what lies around it: by the bytes it is told from which of the two they come."""

from __future__ import annotations

from pathlib import Path

INSIDE, OUTSIDE = b"inside", b"OUTSIDE"


def root_amid_others(folder: Path) -> Path:
    """Make a web-root with a file in each of two folders, and another file beside it."""
    root = folder / "www"
    for each in (root / "sub", root / "sub" / "deep", folder / "other"):
        each.mkdir(parents=True)
        (each / "f").write_bytes(OUTSIDE if each.name == "other" else INSIDE)
    (folder / "www-f").write_bytes(OUTSIDE)
    (root / "top").write_bytes(INSIDE)
    return root
