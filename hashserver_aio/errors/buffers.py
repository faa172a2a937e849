"""What is wrong with a buffer, or with its bytes."""

from __future__ import annotations

from .root import HashserverError


class BadContent(HashserverError):
    """A buffer does not hold what it was to be read as."""


class BadJson(HashserverError):
    """A line that was to be JSON is none."""


class RecordTooLong(HashserverError):
    """A line, row or value is longer than may be read."""


class BufferNotFound(HashserverError):
    """No store holds the buffer."""


class NoSuchFile(HashserverError):
    """The web-root has no file of this name, or none that may be seen: the answer does not tell which."""

    def __init__(self) -> None:
        super().__init__("there is no such file here")


class FileChanged(HashserverError):
    """A file of a web-root was written to, or replaced, while it was read."""

    def __init__(self, message: str = "the file is being written to; try again") -> None:
        super().__init__(message)


class BufferCorrupt(HashserverError):
    """The stored file does not hash to its name."""


class BufferTooLarge(HashserverError):
    """More bytes than the server accepts."""


class ChecksumMismatch(HashserverError):
    """Bytes do not hash to their name."""


class DigestMismatch(HashserverError):
    """Bytes do not hash to the digest that was sent along."""


class AlreadyHeld(HashserverError):
    """The client asked for a new buffer only, and this one is held."""
