"""The axon face: what users of a Synapse Axon speak, over HTTP.

Its names are SHA-256, whatever the store's own algorithm is: the catalogue joins the two.
"""

from __future__ import annotations

from aiohttp import web

from . import fetch, files, listing, readers
from .doors import DOORS

__all__ = ["DOORS", "routes"]


def routes() -> list[web.RouteDef]:
    """Name the routes of this face."""
    return [*files.routes(), *listing.routes(), *readers.routes(), *fetch.routes()]
