"""What kind of content a file is, by its name; and which kinds a browser runs as a page of ours."""

from __future__ import annotations

import mimetypes
from urllib.parse import urlsplit

from aiohttp import web

from ..keys import SETTINGS

UNKNOWN = "application/octet-stream"

_ENCODED = {
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
    "br": "application/x-brotli",
    "compress": "application/x-compress",
}
"""What is compressed is sent as what it is: with Content-Encoding, clients would store something else."""

_TEXTS = ("application/json", "application/javascript", "application/xml", "image/svg+xml")

_PAGES = ("text/html", "text/xml", "application/xml")

SANDBOX = "sandbox allow-scripts allow-forms allow-popups allow-modals allow-downloads"
"""A page gets an origin of its own, which is nobody's: it can run and read, but not write here."""


def content_type_of(name: bytes) -> str:
    """Tell the Content-Type of a file of this name."""
    # "./": else what looks like a scheme ("data:") would be taken for one.
    kind, encoding = mimetypes.guess_type("./" + name.decode("utf-8", "replace"))
    if encoding is not None:
        return _ENCODED.get(encoding, UNKNOWN)
    if kind is None:
        return UNKNOWN
    return f"{kind}; charset=utf-8" if kind.startswith("text/") or kind in _TEXTS else kind


def sandbox(request: web.Request, content_type: str) -> dict[str, str]:
    """Word the header that keeps a page of the web-root from writing, unless its origin may.

    Whoever placed a file there shall not thereby write with the rights of whoever looks at it.
    """
    kind = content_type.partition(";")[0]
    if not kind.endswith("+xml") and kind not in _PAGES:
        return {}
    origins = request.app[SETTINGS].cors_origins
    if "*" in origins or request.headers.get("Host") in {urlsplit(origin).netloc for origin in origins}:
        return {}
    return {"Content-Security-Policy": SANDBOX}
