"""Checksums, the algorithms they come from, and a digester for several at once.

Only `parse_checksum` and a finished digest make a `Checksum`: 64 lower-case hexadecimal digits.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import NamedTuple, NewType, Protocol, cast

from .errors import BadChecksum

Checksum = NewType("Checksum", str)

CHECKSUM_DIGITS = 64
_NO_DIGIT = re.compile(r"[^0-9a-fA-F]")
_CHECKSUM = re.compile(r"[0-9a-f]{64}")


class Algorithm(StrEnum):
    """The hash algorithms that can name buffers, both of 32 bytes."""

    SHA3_256 = "sha3-256"
    SHA_256 = "sha-256"


class Hash(Protocol):
    """A hash of hashlib's."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take the next bytes."""

    def digest(self) -> bytes:
        """The hash of all bytes so far."""


NewHash = Callable[[bytes], Hash]
"""Begins a hash with its first bytes."""

_CONSTRUCTORS: dict[Algorithm, NewHash] = {
    Algorithm.SHA3_256: hashlib.sha3_256,
    Algorithm.SHA_256: hashlib.sha256,
}


def new_hash(algorithm: Algorithm) -> NewHash:
    """Tell how a hash of an algorithm is begun."""
    return _CONSTRUCTORS[algorithm]


def parse_checksum(text: object, index: int | None = None) -> Checksum:
    """Make a checksum of 64 hexadecimal digits; upper case is accepted.

    Raises: BadChecksum, with the reason in the words that `hashserver` 1.1.0 uses.
    """
    if not isinstance(text, str):
        raise BadChecksum(text, "Input should be a valid string", index)
    if len(text) == CHECKSUM_DIGITS and _CHECKSUM.fullmatch(text.lower()):
        return Checksum(text.lower())
    raise BadChecksum(text, f"Value error, {_why_not(text)}", index)


def _why_not(text: str) -> str:
    if len(text) % 2:
        return "Wrong length"
    bad = _NO_DIGIT.search(text)
    if bad is not None:
        return f"non-hexadecimal number found in fromhex() arg at position {bad.start()}"
    return "Wrong length"


def parse_checksums(names: Sequence[object]) -> list[Checksum]:
    """Make checksums of a list of names; the first bad one raises BadChecksum with its index."""
    if _are_all_lower(names):  # as programs write them: a twentieth of the time of one by one
        return cast(list[Checksum], names)
    return [parse_checksum(name, index) for index, name in enumerate(names)]


def _are_all_lower(names: Sequence[object]) -> bool:
    if not set(map(type, names)) <= {str}:
        return False
    texts = cast(list[str], names)
    digits = "".join(texts).encode(errors="replace")
    return set(map(len, texts)) <= {CHECKSUM_DIGITS} and not digits.translate(None, b"0123456789abcdef")


def is_checksum(name: str) -> bool:
    """Tell whether a file's name is a checksum as the store writes them (lower case)."""
    return _CHECKSUM.fullmatch(name) is not None


Hashed = Callable[[str, int, float], None]
"""Is told, in whatever thread, which hash took how many bytes, and how many seconds that took."""


class _Measured:
    """A hash that counts its bytes, and tells what it does."""

    def __init__(self, name: str, part: Hash, tell: Hashed | None) -> None:
        self.size = 0
        self._name = name
        self._part = part
        self._tell = tell
        self.digest = part.digest

    def update(self, data: bytes | memoryview, /) -> None:
        began_s = time.perf_counter()
        self._part.update(data)
        self.size += len(data)
        if self._tell is not None:
            self._tell(self._name, len(data), time.perf_counter() - began_s)


class Digests(NamedTuple):
    """What a buffer is called elsewhere: digests of 16, 20 and 64 bytes."""

    md5: bytes
    sha1: bytes
    sha512: bytes


class Hashset(NamedTuple):
    """All that a buffer is called: digests, and its size in bytes."""

    md5: bytes
    sha1: bytes
    sha256: bytes
    sha512: bytes
    size: int


class Digester:
    """Feeds one pass of bytes to the store's algorithm and to SHA-256, and counts them.

    SHA-256 is computed even where the store does not need it: it is the name that other
    protocols know a buffer by, and a second pass over the file would cost more.
    `parts`: what can be fed instead of all this, each part in a thread of its own.
    """

    def __init__(self, algorithm: Algorithm, tell: Hashed | None = None) -> None:
        self.algorithm = algorithm
        self._sha256 = _Measured(Algorithm.SHA_256, hashlib.sha256(), tell)
        self._named: Hash = self._sha256
        self.parts: list[Hash] = [self._sha256]
        if algorithm is not Algorithm.SHA_256:
            self._named = _Measured(algorithm, new_hash(algorithm)(b""), tell)
            self.parts.append(self._named)

    @property
    def others(self) -> Digests | None:
        """Further digests, where they are computed."""
        return None

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes."""
        for part in self.parts:
            part.update(data)

    @property
    def size(self) -> int:
        """How many bytes there were."""
        return self._sha256.size

    @property
    def checksum(self) -> Checksum:
        """The checksum, in the store's algorithm, of all bytes so far."""
        return Checksum(self._named.digest().hex())

    @property
    def sha256(self) -> bytes:
        """The SHA-256 of all bytes so far: 32 bytes."""
        return self._sha256.digest()


class FullDigester(Digester):
    """Computes, in the same pass, all that a buffer is called anywhere."""

    def __init__(self, algorithm: Algorithm, tell: Hashed | None = None) -> None:
        super().__init__(algorithm, tell)
        self._others: list[Hash] = [
            _Measured(name, hashlib.new(name, usedforsecurity=False), tell) for name in Digests._fields
        ]
        self.parts += self._others

    @property
    def others(self) -> Digests:
        """The digests of all bytes so far that a plain digester does not compute."""
        return Digests(*(part.digest() for part in self._others))

    @property
    def hashset(self) -> Hashset:
        """All digests of all bytes so far."""
        md5, sha1, sha512 = self.others
        return Hashset(md5, sha1, self.sha256, sha512, self.size)
