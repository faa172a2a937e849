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
      BadSignature         a message between a server and a node is not signed as it is to be
      NodeUnreachable      a URL does not answer as the node that announced it
      NodeMoved            another node is at this node's URL now
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
          NodeLate         a node takes too long
        BadAnswer          what it answered makes no sense
        NodeRefused        a node answered its server with an error
"""

from __future__ import annotations

from .access import AddressRefused, ForeignOrigin, NotAuthenticated, NotPermitted, ReadOnly
from .buffers import (
    AlreadyHeld,
    BadContent,
    BadJson,
    BufferCorrupt,
    BufferNotFound,
    BufferTooLarge,
    ChecksumMismatch,
    DigestMismatch,
    FileChanged,
    NoSuchFile,
    RecordTooLong,
)
from .nodes import (
    AlreadyAudited,
    AlreadyRegistered,
    BadAddress,
    BadSignature,
    HeightTooLarge,
    NodeLate,
    NodeMoved,
    NodeNotFound,
    NodeRefused,
    NodeUnreachable,
    NotSigned,
)
from .requests import (
    BadArgument,
    BadBody,
    BadChecksum,
    BadDigest,
    BadEncoding,
    BadNameList,
    FeedChanged,
    TooManyRequests,
    UnknownEncoding,
    UploadCut,
)
from .root import HashserverError
from .servers import (
    BadAnswer,
    Busy,
    CannotStart,
    FormatConflict,
    LimitReached,
    NoSpace,
    NotYet,
    ServerTrouble,
    ServerUnreachable,
    Starved,
    StoreFailed,
)
from .systems import FULL, check_size, from_os_error

__all__ = [
    "FULL",
    "AddressRefused",
    "AlreadyAudited",
    "AlreadyHeld",
    "AlreadyRegistered",
    "BadAddress",
    "BadAnswer",
    "BadArgument",
    "BadBody",
    "BadChecksum",
    "BadContent",
    "BadDigest",
    "BadEncoding",
    "BadJson",
    "BadNameList",
    "BadSignature",
    "BufferCorrupt",
    "BufferNotFound",
    "BufferTooLarge",
    "Busy",
    "CannotStart",
    "ChecksumMismatch",
    "DigestMismatch",
    "FeedChanged",
    "FileChanged",
    "ForeignOrigin",
    "FormatConflict",
    "HashserverError",
    "HeightTooLarge",
    "LimitReached",
    "NoSpace",
    "NoSuchFile",
    "NodeLate",
    "NodeMoved",
    "NodeNotFound",
    "NodeRefused",
    "NodeUnreachable",
    "NotAuthenticated",
    "NotPermitted",
    "NotSigned",
    "NotYet",
    "ReadOnly",
    "RecordTooLong",
    "ServerTrouble",
    "ServerUnreachable",
    "Starved",
    "StoreFailed",
    "TooManyRequests",
    "UnknownEncoding",
    "UploadCut",
    "check_size",
    "from_os_error",
]
