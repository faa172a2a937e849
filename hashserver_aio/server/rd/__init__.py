"""Reliable download: what clients of `rd-api` 1.7 speak, and manifests and proofs of our own.

The bytes themselves are those of the other faces, by ranges.
"""

from __future__ import annotations

from aiohttp import web

from . import manifests, status

__all__ = ["routes"]


def routes() -> list[web.RouteDef]:
    """Name the routes of this face."""
    return [*status.routes(), *manifests.routes()]
