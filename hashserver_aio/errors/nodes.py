"""What farmers are told, what nodes and their server tell each other, and what is said of them."""

from __future__ import annotations

from .root import HashserverError
from .servers import ServerTrouble, ServerUnreachable


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


class BadSignature(HashserverError):
    """A message between a server and a node is not signed, or not now, for another, or wrongly."""


class NodeUnreachable(HashserverError):
    """A URL does not answer as the node that announced it."""


class NodeMoved(HashserverError):
    """Another node is at this node's URL now."""

    def __init__(self) -> None:
        super().__init__("another node has registered this node's URL; register again")


class NodeRefused(ServerTrouble):
    """A node answered with an error; only its server says so. `status`: of HTTP."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class NodeLate(ServerUnreachable):
    """A node was reached, and takes too long to answer, or to take what it is sent."""
