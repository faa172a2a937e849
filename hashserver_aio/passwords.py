"""Passwords and keys, of which only hashes are kept.

A password is weak, and hashed with scrypt; a key has 256 random bits, and a plain hash of it is enough.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass

LN, R, P = 14, 8, 1
"""16 MiB and some 50 ms."""

MAX_LN, MAX_R, MAX_P = 17, 16, 4
HASH_BYTES = 32
_SALT_BYTES = 16


@dataclass(frozen=True, slots=True)
class Scrypt:
    """A password's hash. Source: RFC 7914; written as a PHC string."""

    salt: bytes
    digest: bytes
    ln: int = LN
    r: int = R
    p: int = P

    @classmethod
    def of(cls, password: str) -> Scrypt:
        """Hash a new password."""
        salt = secrets.token_bytes(_SALT_BYTES)
        return cls(salt, _scrypt(password, salt, LN, R, P))

    @classmethod
    def parse(cls, text: str) -> Scrypt:
        """Read a hash as `str` writes it.

        Raises: ValueError.
        """
        empty, name, costs, salt, digest = text.split("$")
        if empty or name != "scrypt":
            raise ValueError("another hash than scrypt")
        pairs = zip(("ln", "r", "p"), costs.split(","), strict=True)
        ln, r, p = (int(cost.removeprefix(f"{key}=")) for key, cost in pairs)
        if not (1 <= ln <= min(MAX_LN, 16 * r - 1) and 1 <= r <= MAX_R and 1 <= p <= MAX_P):
            raise ValueError("costs that are too high or too low")
        return cls(_bytes(salt), _bytes(digest), ln, r, p)

    def __str__(self) -> str:
        return f"$scrypt$ln={self.ln},r={self.r},p={self.p}${_text(self.salt)}${_text(self.digest)}"

    def fits(self, password: str) -> bool:
        """Tell whether this is the hash of a password."""
        return hmac.compare_digest(_scrypt(password, self.salt, self.ln, self.r, self.p), self.digest)


NOBODYS = Scrypt(bytes(_SALT_BYTES), bytes(HASH_BYTES))
"""Fits no password, and takes as long to say so."""


def new_key() -> str:
    """Make a key."""
    return secrets.token_urlsafe(32)


def digest_of(key: str) -> bytes:
    """Hash a key: who looks one up by this learns nothing of others from the time that it takes."""
    return hashlib.sha256(key.encode(errors="surrogateescape")).digest()


def _scrypt(password: str, salt: bytes, ln: int, r: int, p: int) -> bytes:
    n = 2**ln
    memory = 256 * r * (n + p)
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=memory, dklen=HASH_BYTES)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
