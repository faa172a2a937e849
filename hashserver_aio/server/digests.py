"""Digest headers: what a sender states of its bytes, and what we state of ours.

Source: RFC 9530. Of the algorithms registered there, sha-256 and sha-512 are checked; the rest of
a header is ignored, as it demands.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re

from aiohttp import web

from ..errors import BadDigest, DigestMismatch

_HASHES = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}
_MEMBER = re.compile(r"\s*([a-z*][a-z0-9_.*-]*)\s*=\s*:([A-Za-z0-9+/=]*):\s*(?:;[^,]*)?")

HEADERS = ("Content-Digest", "Repr-Digest")
"""For a whole PUT both mean the bytes of the body, as they are encoded."""


class StatedDigest:
    """One digest that a sender states of the body."""

    def __init__(self, header: str, algorithm: str, expected: bytes) -> None:
        self._name = f"{header} {algorithm}"
        self._expected = expected
        self._hash = _HASHES[algorithm]()
        if len(expected) != self._hash.digest_size:
            raise BadDigest(f"{self._name} is {len(expected)} bytes long")

    def update(self, data: bytes | memoryview, /) -> None:
        """Take the next bytes of the body."""
        self._hash.update(data)

    def check(self) -> None:
        """Raise DigestMismatch if the body was not as stated."""
        if not hmac.compare_digest(self._hash.digest(), self._expected):
            raise DigestMismatch(f"the body does not have the {self._name} that was sent with it")


def stated_digests(request: web.Request) -> list[StatedDigest]:
    """Read the digests that came with a request.

    Raises: BadDigest, where a header can't be read.
    """
    stated: dict[tuple[str, str], StatedDigest] = {}  # of a repeated member the last one counts
    for header in HEADERS:
        for member in filter(None, ",".join(request.headers.getall(header, ())).split(",")):
            match = _MEMBER.fullmatch(member)
            if match is None:
                raise BadDigest(f"{header} can't be read; write sha-256=:<base64>:")
            if match[1] in _HASHES:
                expected = _decoded(header, match[2])
                stated[header, match[1]] = StatedDigest(header, match[1], expected)
    return list(stated.values())


def _decoded(header: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise BadDigest(f"{header} holds no valid base64") from None


def repr_digest(sha256: bytes) -> str:
    """Word a Repr-Digest header."""
    return f"sha-256=:{base64.b64encode(sha256).decode()}:"
