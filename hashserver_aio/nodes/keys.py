"""Keys of servers and nodes: Ed25519, kept in a file that is made once.

The id of a server or node is its public key in hexadecimal digits: who has the key is who it says it is, and
nobody hands out names.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import re
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from ..errors import BadArgument, CannotStart
from ..store.filesystem import sync_folder

log = logging.getLogger(__name__)

KEY_BYTES = 32

NONCE_BYTES = 16

_ID = re.compile(r"[0-9a-f]{64}")

_MAX_FILE_BYTES = 64 * 1024
"""A key takes 119; what is longer is some other file."""

_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS})
"""What a file system says that has no hard links."""


class KeyPair:
    """What a server or node signs with; `public`: 32 bytes; `id`: those in hexadecimal digits."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self.private = private
        self.public = private.public_key().public_bytes_raw()
        self.id = self.public.hex()

    def secret(self, purpose: bytes) -> bytes:
        """Give 32 bytes that only who has this key knows, always the same ones for a purpose."""
        return hashlib.sha256(self.sign(b"hashserver-aio secret\n" + purpose)).digest()

    def __repr__(self) -> str:
        return f"<KeyPair {self.id}>"

    @classmethod
    def make(cls) -> KeyPair:
        """Make a new one."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load_or_make(cls, path: Path) -> KeyPair:
        """Load a key from a file (PEM, PKCS #8), or make it, readable for its owner only.

        It is on the disk when this returns. Of several processes that make it at once one does, and all get
        the same.
        Raises: CannotStart.
        """
        try:
            with contextlib.suppress(FileNotFoundError):
                return _load(path)
            _keep(path, cls.make())
            return _load(path)
        except OSError as error:
            raise CannotStart(f"{path}: the key can't be read or made: {error.strerror or error}") from None

    def sign(self, content: bytes) -> bytes:
        """Sign bytes: 64 bytes, always the same (RFC 8032)."""
        return self.private.sign(content)


def parse_id(text: str) -> bytes:
    """Read the id of a server or node: its key, 32 bytes.

    Raises: BadArgument.
    """
    if not _ID.fullmatch(text.lower()):
        raise BadArgument(f"{text[:100]!r} is not an id: those have 64 hexadecimal digits")
    return bytes.fromhex(text)


def public_key(key: bytes) -> Ed25519PublicKey | None:
    """Read a key of 32 bytes; None if these can be none."""
    try:
        return Ed25519PublicKey.from_public_bytes(key)
    except ValueError:
        return None


def is_signed(key: bytes, signature: bytes, content: bytes) -> bool:
    """Tell whether who has a key signed these bytes; False also for what can be no key or no signature."""
    public = public_key(key)
    if public is None:
        return False
    try:
        public.verify(signature, content)
    except InvalidSignature:
        return False
    return True


def identity_text(server_key: bytes, nonce: bytes) -> bytes:
    """Word what a node signs to prove to a server who it is.

    It begins with what no signed message begins with, so that neither can be passed off as the other.
    """
    return b"hashserver-aio identity\n" + server_key + nonce


def _load(path: Path) -> KeyPair:
    with open(path, "rb") as file:
        content = file.read(_MAX_FILE_BYTES)
        mode = os.fstat(file.fileno()).st_mode
    try:
        private = load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # no PEM; with a password; of a kind unknown
        private = None
    if not isinstance(private, Ed25519PrivateKey):
        raise CannotStart(f"{path}: this is no Ed25519 key (PEM, PKCS #8, without a password)")
    if mode & 0o007:
        log.warning("%s: everybody on this machine may have this key; chmod o= it", path)
    return KeyPair(private)


def _keep(path: Path, pair: KeyPair) -> None:
    """Write a key, whole and durably, unless somebody else's is there by now."""
    scratch = f"{path}.{secrets.token_hex(8)}.tmp"
    try:
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pair.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            file.flush()
            os.fsync(descriptor)
        _link(scratch, path)
    finally:
        Path(scratch).unlink(missing_ok=True)
    sync_folder(str(path.parent))


def _link(scratch: str, path: Path) -> None:
    try:
        os.link(scratch, path)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.rename(scratch, path)
