"""What somebody may not do."""

from __future__ import annotations

from .root import HashserverError


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
