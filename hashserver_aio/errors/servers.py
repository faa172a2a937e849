"""What a server can't do now, or not at all; and what clients say of servers."""

from __future__ import annotations

from .root import HashserverError


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
