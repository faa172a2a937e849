"""What is wrong with what a client asks for, or how."""

from __future__ import annotations

from .root import HashserverError


class BadChecksum(HashserverError):
    """Text is not 64 hexadecimal digits.

    `reason` says what is wrong in the words of `hashserver` 1.1.0; `index` is its place in a list of names,
    or None for a single name.
    """

    def __init__(self, text: object, reason: str, index: int | None = None) -> None:
        shown = text[:100] if isinstance(text, str) else type(text).__name__
        super().__init__(f"{shown!r} is not a checksum: 64 hexadecimal digits")
        self.text = text
        self.reason = reason
        self.index = index


class BadNameList(HashserverError):
    """A request's list of names is no list of names; `kind` and `reason` say why."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


class BadBody(HashserverError):
    """A request's body is not what is to be sent there."""


class BadArgument(HashserverError):
    """What was asked for makes no sense: an unknown dialect, a bad format."""


class BadDigest(HashserverError):
    """A digest that a client sent along cannot be read."""


class BadEncoding(HashserverError):
    """A compressed body cannot be decompressed."""


class UnknownEncoding(HashserverError):
    """A content coding that is not spoken here."""


class UploadCut(HashserverError):
    """The body ended or stalled before its end."""


class FeedChanged(HashserverError):
    """The numbers of a feed belong to a catalogue that is gone: whoever follows it begins anew."""


class TooManyRequests(HashserverError):
    """Somebody asks more often than one may; `wait_s`: when to ask again."""

    def __init__(self, wait_s: float) -> None:
        super().__init__("you ask too often; ask again later")
        self.wait_s = wait_s
