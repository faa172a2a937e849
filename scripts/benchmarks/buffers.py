"""Buffers to serve and to send: made here, named by hashlib, never by a server.

The buffers of a series differ in their last 16 bytes only, so that one hash of what they share names
them all, and a gigabyte is kept once.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator
from pathlib import Path

TAIL_BYTES = 16
BLOCK_BYTES = 1024 * 1024

NAMED = 64
"""Hexadecimal digits of a name."""


class Series:
    """Buffers of one size, numbered from 0."""

    def __init__(self, size: int, algorithm: str = "sha3_256") -> None:
        block = random.Random(size).randbytes(min(BLOCK_BYTES, size))
        self.size = size
        self._block = block
        self._hash = hashlib.new(algorithm)
        for piece in self.shared():
            self._hash.update(piece)

    def shared(self) -> Iterator[bytes]:
        """Give what all have in common, a block at a time."""
        left = self.size - TAIL_BYTES
        while left > 0:
            yield self._block[:left]
            left -= len(self._block)

    @staticmethod
    def tail(number: int) -> bytes:
        """Give what only this one has."""
        return number.to_bytes(TAIL_BYTES, "big")

    def name(self, number: int) -> str:
        """Name one."""
        digest = self._hash.copy()
        digest.update(self.tail(number))
        return digest.hexdigest()

    def names(self, count: int) -> list[str]:
        """Name the first `count`."""
        return [self.name(number) for number in range(count)]

    def pieces(self, number: int) -> Iterator[bytes]:
        """Give the bytes of one."""
        yield from self.shared()
        yield self.tail(number)


def place(directory: Path, name: str) -> Path:
    """Name the file of a buffer in the prefix layout."""
    return directory / name[:2] / name


def store(directory: Path, series: Series, number: int = 0) -> str:
    """Write a buffer straight into its place; its name."""
    name = series.name(number)
    path = place(directory, name)
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        with open(path, "xb") as file:
            file.writelines(series.pieces(number))
        path.chmod(0o444)
    return name


def make_folders(directory: Path) -> None:
    """Make the 256 folders of the prefix layout."""
    for number in range(256):
        (directory / f"{number:02x}").mkdir(exist_ok=True)


def store_many(directory: Path, count: int, size: int = 1024) -> list[str]:
    """Write many buffers of one size; their names in random order."""
    make_folders(directory)
    series, names = Series(size), []
    for number in range(count):
        # From 1 on: number 0 is the hot one.
        names.append(store(directory, series, number + 1))
    random.Random(count).shuffle(names)
    os.sync()
    return names


def store_named_only(directory: Path, count: int) -> None:
    """Write many tiny files under names that are well formed, which is all that a start looks at."""
    make_folders(directory)
    source = random.Random(count)
    for _ in range(count):
        name = source.randbytes(32).hex()
        descriptor = os.open(place(directory, name), os.O_WRONLY | os.O_CREAT, 0o444)
        os.write(descriptor, b"tiny")
        os.close(descriptor)
    os.sync()


def random_names(count: int) -> list[str]:
    """Invent names that no server holds."""
    digits = os.urandom(32 * count).hex()
    return [digits[at : at + NAMED] for at in range(0, len(digits), NAMED)]
