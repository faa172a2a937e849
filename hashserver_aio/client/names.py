"""What buffers are called, and what a server says of names: by its own algorithm, or by SHA-256."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from aiohttp import hdrs

from ..checksums import Algorithm, Checksum, parse_checksum, parse_checksums
from ..errors import BadAnswer, BadArgument, BadChecksum
from .bodies import Body
from .receiving import Name
from .sending import AXON
from .transport import Transport

LIST_NAMES = 10_000
"""So many names are asked for at a time: 670 kB, a few milliseconds of the server."""


Sha256 = str | bytes
"""64 hexadecimal digits, or 32 bytes."""


class Held(NamedTuple):
    """What a server says of a buffer that it holds; what it does not say is None."""

    name: Checksum
    size: int | None
    sha256: Checksum | None
    modified: datetime | None


class Names:
    """The names of one server, which is asked once how it names buffers."""

    def __init__(self, transport: Transport, algorithm: Algorithm | None) -> None:
        self._transport = transport
        self._own = algorithm

    async def own(self) -> Algorithm:
        """Tell what the server names buffers by. Raises: BadAnswer, ServerUnreachable."""
        if self._own is None:
            about = (await self._transport.call("GET", "/api/server")).json()
            try:
                self._own = Algorithm(about["algorithm"])
            except (TypeError, KeyError, ValueError):
                raise BadAnswer(
                    "the server does not say how it names buffers: is this a hashserver?"
                ) from None
        return self._own

    async def place(self, name: str, algorithm: str | None) -> Name:
        """Say where a buffer is. Raises: BadChecksum."""
        checksum = parse_checksum(name)
        if await self.is_sha256(algorithm):
            return Name(checksum, Algorithm.SHA_256, by_sha256(checksum))
        return Name(checksum, await self.own(), f"/{checksum}")

    async def is_sha256(self, algorithm: str | None) -> bool:
        """Tell whether names are of the axon face. Raises: BadArgument, if no face knows them."""
        if algorithm not in (None, Algorithm.SHA_256, await self.own()):
            raise BadArgument(f"the server knows no buffer by {algorithm}")
        return algorithm == Algorithm.SHA_256

    async def held(self, names: Sequence[str], algorithm: str | None, *, promised: bool) -> list[bool]:
        """Tell which buffers are held."""
        checksums = parse_checksums(names)
        if await self.is_sha256(algorithm):
            wanted = set(await wants(self._transport, checksums))
            return [checksum not in wanted for checksum in checksums]
        answers: list[bool] = []
        for some in _lists(checksums):
            path = "/has" if promised else "/has-now"
            found = (await self._transport.call("POST", path, body=as_json(some))).json()
            if not isinstance(found, list) or len(found) != len(some):
                raise BadAnswer("the server did not answer for each name")
            answers += map(bool, found)
        return answers


async def wants(transport: Transport, sha256s: Sequence[Checksum]) -> list[Checksum]:
    """Tell which buffers are not held."""
    missing: list[Checksum] = []
    for some in _lists(sha256s):
        body = as_json({"sha256s": some})
        found = (await transport.call("POST", f"{AXON}/wants", body=body)).result()
        if not isinstance(found, list) or not set(found) <= set(some):
            raise BadAnswer("the server wants what it was not asked about")
        missing += found
    return missing


async def describe(transport: Transport, name: Name) -> Held:
    """Ask what a server knows of a buffer. Raises: BufferNotFound."""
    headers = (await transport.call("HEAD", name.path)).headers
    length, when = headers.get(hdrs.CONTENT_LENGTH), headers.get(hdrs.LAST_MODIFIED)
    is_plain = headers.get(hdrs.CONTENT_ENCODING, "identity") == "identity"
    size = int(length) if length is not None and length.isdigit() and is_plain else None
    try:
        modified = parsedate_to_datetime(when) if when else None
    except ValueError:
        modified = None
    return Held(name.checksum, size, _sha256_in(headers.get("Repr-Digest", "")), modified)


def _sha256_in(header: str) -> Checksum | None:
    """Read a Repr-Digest. Source: RFC 9530."""
    scheme, _, rest = header.partition("=:")
    try:
        return parse_checksum(base64.b64decode(rest.rstrip(":")).hex()) if scheme == "sha-256" else None
    except (ValueError, BadChecksum):
        return None


def sha256_of(name: Sha256) -> Checksum:
    """Read a SHA-256: 64 digits or 32 bytes. Raises: BadChecksum."""
    return parse_checksum(name.hex() if isinstance(name, bytes) else name)


def by_sha256(sha256: Checksum) -> str:
    """Say where the axon face has a buffer."""
    return f"{AXON}/files/by/sha256/{sha256}"


def _lists(names: Sequence[Checksum]) -> Iterator[Sequence[Checksum]]:
    return (names[begin : begin + LIST_NAMES] for begin in range(0, len(names), LIST_NAMES))


def as_json(value: object) -> Body:
    """Make a body of JSON."""
    return Body.of_bytes(json.dumps(value).encode())
