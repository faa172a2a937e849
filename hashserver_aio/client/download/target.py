"""What is to be downloaded: a name or a URL, from which servers, and what it must hash to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from yarl import URL

from ...checksums import Algorithm, is_checksum
from ...errors import BadArgument
from ..transport import Transport
from .ranges import Source

HASHES: dict[str, Callable[[], Any]] = {
    "sha-256": hashlib.sha256,
    "sha3-256": hashlib.sha3_256,
    "sha-512": hashlib.sha512,
}
"""What a URL may say that a file hashes to: `#sha-256=...`, or `#sha256=...` as most write it."""

_AS_WRITTEN = {"sha256": "sha-256", "sha512": "sha-512"}


@dataclass(frozen=True, slots=True)
class Whole:
    """What all of a file hashes to: the hash by its name, and 32 or 64 bytes as hexadecimal digits."""

    hash: str
    digits: str

    def new(self) -> Any:
        """Begin the hash."""
        return HASHES[self.hash]()

    def __str__(self) -> str:
        return f"{self.hash}={self.digits}"


@dataclass(frozen=True, slots=True)
class Target:
    """A file to be had; `what` names its content, `filename` is what it is called.

    `whole` is None where nobody says what it hashes to.
    """

    what: str
    filename: str
    whole: Whole | None
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Address:
    """A URL of a file: on which server, where there, and what it says about its content.

    `server` may have credentials in it, and `query` too: `shown` has neither.
    """

    server: str
    path: str
    query: str
    shown: str
    filename: str
    whole: Whole | None

    @property
    def checksum(self) -> str | None:
        """The name of the buffer that it is of, if it is of one and does not say more."""
        name = self.path.rpartition("/")[2].lower()
        return name if self.whole is None and is_checksum(name) else None


def parse_address(text: str) -> Address:
    """Read a URL. Raises: BadArgument."""
    try:
        url = URL(text)
        is_file = url.scheme in ("http", "https") and bool(url.host) and url.raw_path.strip("/") != ""
    except ValueError:
        is_file = False
    if not is_file or url.raw_path.endswith("/"):
        raise BadArgument(f"{text[:100]!r} is neither a checksum nor the URL of a file")
    whole = parse_whole(url.raw_fragment) if url.raw_fragment else None
    last = url.raw_path.rpartition("/")[2]
    filename = unquote(last).replace("/", "_").replace("\0", "_")
    if filename in (".", ".."):
        raise BadArgument(f"{text[:100]!r} does not say what the file is called: say -o FILE")
    server = URL.build(scheme=url.scheme, authority=url.raw_authority, encoded=True)
    shown = str(url.with_user(None).with_query(None).with_fragment(None))
    return Address(str(server), url.raw_path, url.raw_query_string, shown, filename, whole)


def parse_whole(text: str) -> Whole:
    """Read what a file hashes to, as the end of a URL says it. Raises: BadArgument."""
    kind, _, digits = text.lower().partition("=")
    kind = _AS_WRITTEN.get(kind, kind)
    if kind not in HASHES:
        raise BadArgument(f"#{text[:20]} is no hash of these: {', '.join(HASHES)}")
    if len(digits) != 2 * HASHES[kind]().digest_size or set(digits) - set("0123456789abcdef"):
        raise BadArgument(f"{digits[:20]!r} is no {kind}")
    return Whole(kind, digits)


def of_name(name: str, algorithm: Algorithm, path: str, transports: Sequence[Transport]) -> Target:
    """Say where servers have a buffer."""
    whole = Whole(algorithm, name)
    return Target(str(whole), name, whole, tuple(Source(transport, path) for transport in transports))
