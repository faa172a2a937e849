"""The errors this package raises on purpose.

Nothing here knows HTTP: `server/errors.py` holds the status of each.

    HashserverError
      BadChecksum          text is not 64 hexadecimal digits
      BadNameList          a request's list of names is no list of names
      BadBody              a request's body is not what is to be sent there
      BadArgument          what was asked for makes no sense: an unknown dialect, a bad format
      BadDigest            a digest that a client sent along cannot be read
      BadContent           a buffer does not hold what it was to be read as
      BadJson              a line that was to be JSON is none
      RecordTooLong        a line, row or value is longer than may be read
      BufferNotFound       no store holds it
      NoSuchFile           the web-root has no file of this name, or none that may be seen
      FileChanged          a file of the web-root was written to while it was read
      BufferCorrupt        the stored file does not hash to its name
      BufferTooLarge       more bytes than the server accepts
      ChecksumMismatch     bytes do not hash to their name
      DigestMismatch       bytes do not hash to the digest sent along
      BadEncoding          a compressed body cannot be decompressed
      UnknownEncoding      a content coding that is not spoken here
      UploadCut            the body ended or stalled before its end
      FeedChanged          the numbers of a feed belong to a catalogue that is gone
      BadAddress           text is no Bitcoin address
      NotSigned            what is said about a node is not signed with its key, now, for this server
      NodeNotFound         no such node has registered
      AlreadyRegistered    the node has registered before
      AlreadyAudited       the node has answered this audit before
      HeightTooLarge       a node claims to hold more than a node may
      TooManyRequests      somebody asks more often than one may
      AlreadyHeld          the client asked for a new buffer only
      ReadOnly             the server takes no buffers
      ForeignOrigin        a web page of another origin wants to write
      NotAuthenticated     nobody knows who asks: no credentials, or wrong ones
      NotPermitted         who asks may not do this
      AddressRefused       a fetch leads to an address that is kept from it
      NoSpace              the disk is full
      LimitReached         as many buffers, or bytes, are held as the server may hold
      StoreFailed          the disk or the directory fails
      FormatConflict       the directory is of another format than asked for
      CannotStart          the server can't be started as it was told to
      Busy                 too much of something is under way
        Starved            the server itself lacks files, processes, or its catalogue
      NotYet               what is asked for is being computed
      ServerTrouble        (of clients) a server can't be used
        ServerUnreachable  it can't be reached, or the connection to it broke and broke again
        BadAnswer          what it answered makes no sense
"""

from __future__ import annotations

import errno


class HashserverError(Exception):
    """What every error of this package is."""


class BadChecksum(HashserverError):
    """Text is not 64 hexadecimal digits.

    `index` is its place in a list of names, or None for a single name.
    """

    def __init__(self, text: object, reason: str, index: int | None = None) -> None:
        shown = text[:100] if isinstance(text, str) else type(text).__name__
        super().__init__(f"{shown!r} is not a checksum: {reason}")
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


class BadEncoding(HashserverError):
    """A compressed body cannot be decompressed."""


class UnknownEncoding(HashserverError):
    """A content coding that is not spoken here."""


class UploadCut(HashserverError):
    """The body ended or stalled before its end."""


class FeedChanged(HashserverError):
    """The numbers of a feed belong to a catalogue that is gone: whoever follows it begins anew."""


class AlreadyHeld(HashserverError):
    """The client asked for a new buffer only, and this one is held."""


class BadAddress(HashserverError):
    """Text is no Bitcoin address."""

    def __init__(self) -> None:
        super().__init__("this is no Bitcoin address")


class NotSigned(HashserverError):
    """What is said about a node is not signed with its key, now, for this server; nobody is told which."""

    def __init__(self) -> None:
        super().__init__("the headers Date and Authorization are not signed with this node's key, or not now")


class NodeNotFound(HashserverError):
    """No such node has registered."""

    def __init__(self) -> None:
        super().__init__("this node has not registered")


class AlreadyRegistered(HashserverError):
    """The node has registered before."""

    def __init__(self) -> None:
        super().__init__("this node has registered already")


class AlreadyAudited(HashserverError):
    """The node has answered to the audit of this block before."""

    def __init__(self, block: int) -> None:
        super().__init__(f"block {block} was answered already")
        self.block = block


class HeightTooLarge(HashserverError):
    """A node claims to hold more than a node may."""

    def __init__(self) -> None:
        super().__init__("this is more than a node may claim to hold")


class TooManyRequests(HashserverError):
    """Somebody asks more often than one may; `wait_s`: when to ask again."""

    def __init__(self, wait_s: float) -> None:
        super().__init__("you ask too often; ask again later")
        self.wait_s = wait_s


class ReadOnly(HashserverError):
    """The server takes no buffers."""


class ForeignOrigin(HashserverError):
    """A web page of an origin that is not allowed to write wants to write."""


class NotAuthenticated(HashserverError):
    """Nobody knows who asks: there are no credentials, or wrong ones."""


class NotPermitted(HashserverError):
    """Who asks may not do this."""


class AddressRefused(HashserverError):
    """A fetch leads to an address that is kept from it."""


class NoSpace(HashserverError):
    """The disk is full."""


class LimitReached(HashserverError):
    """As many buffers, or bytes, are held as the server may hold."""


class StoreFailed(HashserverError):
    """The disk or the directory fails."""


class FormatConflict(HashserverError):
    """The directory is of another format than asked for."""


class CannotStart(HashserverError):
    """The server can't be started as it was told to."""


class Busy(HashserverError):
    """Too much of something is under way."""


class Starved(Busy):
    """The server itself lacks files, processes, or its catalogue: that is for its operator to see."""


class NotYet(HashserverError):
    """What is asked for is being computed: ask again."""


class ServerTrouble(HashserverError):
    """A server can't be used; only clients say so."""


class ServerUnreachable(ServerTrouble):
    """A server can't be reached, or the connection to it broke and broke again."""


class BadAnswer(ServerTrouble):
    """What a server answered makes no sense; it may be none of ours."""


FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def from_os_error(error: OSError) -> HashserverError:
    """Translate what the system said about the disk, without naming a path of it."""
    if error.errno in FULL:
        return NoSpace("no room left on the server's disk; free some, or send it elsewhere")
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return Starved("the server has too many files open; try again")
    name = errno.errorcode.get(error.errno or 0, type(error).__name__)
    return StoreFailed(f"the server's disk failed ({name})")


def check_size(size: int, limit_bytes: int | None) -> None:
    """Raise BufferTooLarge if a buffer has more bytes than the server accepts."""
    if limit_bytes is not None and size > limit_bytes:
        raise BufferTooLarge(f"this server takes buffers of up to {limit_bytes} bytes")
