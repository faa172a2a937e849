"""By what a client tells whether a file is the one that it knows."""

from __future__ import annotations

from hashlib import sha256

from aiohttp import web

from ...webroot import WebFile
from ..access import is_public

SETTLED_S = 1.0
"""A file that was changed less than that ago may change again without its times telling."""


def lasting_etag(opened: WebFile) -> str | None:
    """Name what a file holds; None as long as that may change without being noticed."""
    if opened.identity.age_s < SETTLED_S:
        return None
    return sha256(repr(tuple(opened.identity)).encode()).hexdigest()[:32]


def cache_control(request: web.Request) -> str:
    """A file may change at any time: caches ask before they use what they keep."""
    return "no-cache" if is_public(request) else "private, no-cache"
