"""Kinds of values that options take, each read from text in one place."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Any

import click

from ..blocks import is_block_size
from ..errors import BadAddress, BadArgument
from ..farmers import parse_address
from ..holding import origin_of

_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^/\s]+")

MAX_WORKERS = 256
"""Each is a process with its own threads and memory; more than cores are of no use."""

_SIZE = re.compile(r"([0-9]+)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)


class Size(click.ParamType[int]):
    """A number of bytes, with an optional K, M, G or T (powers of 1024)."""

    name = "bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read a size."""
        match = _SIZE.fullmatch(str(value).strip())
        if match is None or not int(match[1]):
            self.fail(f"{value!r} is no size; write 500M or 2G", param, ctx)
        return int(match[1]) * _UNITS[match[2].lower()]


class BlockSize(Size):
    """A size that blocks may have."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read a size."""
        size = super().convert(value, param, ctx)
        if not is_block_size(size):
            self.fail(f"{value!r} is no size for blocks; take a power of two from 64K to 64M", param, ctx)
        return size


class Folders(click.ParamType[tuple[Path, ...]]):
    """Directories separated by semicolons."""

    name = "A;B"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Path, ...]:
        """Read a list of directories."""
        if isinstance(value, tuple):
            return value
        names = (name.strip().strip("'\"") for name in str(value).split(";"))
        return tuple(Path(name) for name in names if name)


class Address(click.ParamType[str]):
    """A Bitcoin address."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read an address."""
        try:
            return parse_address(str(value))
        except BadAddress:
            self.fail(f"{value!r} is no Bitcoin address", param, ctx)


class Finite(click.FloatRange):
    """A number that is neither infinite nor none at all."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read a number."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is no finite number", param, ctx)
        return number


SECONDS = RATE = Finite(min=0, min_open=True)
GRACE = Finite(min=0)
MINUTES = Finite(min=0, min_open=True, max=60 * 24 * 3650)


class Workers(click.ParamType[int]):
    """A number of processes, or as many as this one may use cores."""

    name = "workers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read a number of workers."""
        text = str(value).strip().lower()
        if text == "auto":
            return min(MAX_WORKERS, len(os.sched_getaffinity(0)))
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MAX_WORKERS:
            self.fail(f"{value!r} is neither a number from 1 to {MAX_WORKERS} nor auto", param, ctx)
        return int(text)


class Origin(click.ParamType[str]):
    """A web origin, or * for all."""

    name = "origin"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read an origin."""
        if _ORIGIN.fullmatch(str(value)) is None:
            self.fail(f"{value!r} is no origin; write https://app.example:8080, without a path", param, ctx)
        return str(value)


class NodeOrigin(click.ParamType[str]):
    """Where a server or a node is."""

    name = "URL"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read a URL."""
        try:
            return origin_of(str(value))
        except BadArgument as error:
            self.fail(str(error), param, ctx)


# Whether they exist is judged when they are opened, so that a launcher is told too.
FOLDER = FILE = click.Path(path_type=Path)

PORT = click.IntRange(0, 65535)
RANGE_PORT = click.IntRange(1, 65535)
