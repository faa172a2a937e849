"""Sizes and figures in words."""

from __future__ import annotations

import re

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}


def parse_size(text: str) -> int:
    """Read a number of bytes such as 64M or 1G.

    Raises: ValueError.
    """
    match = re.fullmatch(r"([0-9]+)([KMG]?)(?:iB)?", text.strip(), re.IGNORECASE)
    if match is None or not int(match[1]):
        raise ValueError(f"{text!r} is no size; write 64M or 1G")
    return int(match[1]) * _UNITS[match[2].upper()]


def size_text(size: int) -> str:
    """Word a number of bytes: 1 KiB, 64 MiB."""
    for unit in ("G", "M", "K"):
        if size % _UNITS[unit] == 0:
            return f"{size // _UNITS[unit]} {unit}iB"
    return f"{size} B"


def figure_text(value: float) -> str:
    """Word a figure with three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"
