"""All routes of a server, what they need, and what a request to each may bring."""

from __future__ import annotations

import hashlib

BODY = b"a buffer" * 20
NAME = hashlib.sha3_256(BODY).hexdigest()
OTHER = hashlib.sha3_256(b"other").hexdigest()

ROUTES = {
    ("GET", f"/{NAME}"): "read",
    ("HEAD", f"/{NAME}"): "read",
    ("PUT", f"/{OTHER}"): "write",
    ("PUT", f"/promise/{OTHER}"): "write",
    ("GET", "/has"): "read",
    ("POST", "/has"): "read",
    ("GET", "/has-now"): "read",
    ("POST", "/has-now"): "read",
    ("GET", "/buffer-length"): "read",
    ("POST", "/buffer-length"): "read",
    ("GET", "/"): "read",
    ("GET", "/api/server"): "read",
    ("GET", "/healthcheck"): "",
    ("DELETE", f"/{NAME}"): "delete",
}
"""What each needs: a permission, or nothing. The buffer that others ask for is deleted last."""

BODIES = {f"/{OTHER}": (b"other", "")} | dict.fromkeys(("/has", "/has-now", "/buffer-length"), (b"[]", ""))
"""What is sent to a path, and its Content-Type."""


def template_of(path: str) -> str:
    """Name the route of a path."""
    return path.replace(NAME, "{checksum}").replace(OTHER, "{checksum}")
