"""All routes of a server, what they need, and what a request to each may bring."""

from __future__ import annotations

import hashlib

BODY = b"[1, 2, 3]\n" * 20  # lines of JSON, and whole values of msgpack, too
NAME = hashlib.sha3_256(BODY).hexdigest()
OTHER = hashlib.sha3_256(b"other").hexdigest()
SHA256, OTHER_SHA256 = (hashlib.sha256(body).hexdigest() for body in (BODY, b"another"))

ROUTES = {
    ("GET", f"/{NAME}"): "read",
    ("HEAD", f"/{NAME}"): "read",
    ("PUT", f"/{OTHER}"): "write",
    ("GET", f"/{NAME}/blocks"): "read",
    ("GET", f"/{NAME}/proof?leaf=0"): "read",
    ("GET", "/rd/"): "read",
    ("GET", f"/rd/{NAME}"): "read",
    ("PUT", f"/promise/{OTHER}"): "write",
    ("GET", "/has"): "read",
    ("POST", "/has"): "read",
    ("GET", "/has-now"): "read",
    ("POST", "/has-now"): "read",
    ("GET", "/buffer-length"): "read",
    ("POST", "/buffer-length"): "read",
    ("GET", "/"): "read",
    ("GET", "/api/server"): "read",
    ("GET", "/metrics"): "read",
    ("GET", "/healthcheck"): "",
    ("GET", "/api/v1/active"): "",
    ("PUT", "/api/v1/axon/files/put"): "write",
    ("POST", "/api/v1/axon/files/put"): "write",
    ("GET", f"/api/v1/axon/files/has/sha256/{SHA256}"): "read",
    ("GET", f"/api/v1/axon/files/by/sha256/{SHA256}"): "read",
    ("HEAD", f"/api/v1/axon/files/by/sha256/{SHA256}"): "read",
    ("POST", "/api/v1/axon/files/del"): "delete",
    ("GET", f"/api/v1/axon/size/{SHA256}"): "read",
    ("GET", f"/api/v1/axon/hashset/{SHA256}"): "read",
    ("GET", f"/api/v1/axon/readlines/{SHA256}"): "read",
    ("GET", f"/api/v1/axon/csvrows/{SHA256}"): "read",
    ("GET", f"/api/v1/axon/jsonlines/{SHA256}"): "read",
    ("GET", f"/api/v1/axon/iterMpkFile/{SHA256}"): "read",
    ("GET", f"/api/v1/axon/unpack/{SHA256}?fmt=B"): "read",
    ("GET", "/api/v1/axon/hashes"): "read",
    ("GET", "/api/v1/axon/history"): "read",
    ("GET", "/api/v1/axon/metrics"): "read",
    ("POST", "/api/v1/axon/wants"): "read",
    ("POST", "/api/v1/axon/puts"): "write",
    ("POST", "/api/v1/axon/wget"): "fetch write",
    ("POST", "/api/v1/axon/wput"): "fetch read",
    ("POST", "/api/v1/axon/postfiles"): "fetch read",
    ("DELETE", f"/{NAME}"): "delete",
    ("DELETE", f"/api/v1/axon/files/by/sha256/{OTHER_SHA256}"): "delete",
}
"""What each needs: permissions, or nothing. The buffers that others ask for are deleted last."""

NODE = "ab" * 32

OF_NODES = {
    ("GET", "/api/nodes/server"): "",
    ("GET", "/api/nodes"): "read",
    ("GET", f"/api/nodes/{NODE}"): "read",
    ("POST", f"/api/nodes/{NODE}/pause"): "admin",
    ("POST", f"/api/nodes/{NODE}/drain"): "admin",
    ("POST", f"/api/nodes/{NODE}/resume"): "admin",
    ("POST", "/api/nodes/place"): "admin",
    ("DELETE", f"/api/nodes/{NODE}"): "admin",
}
"""The same of a server with nodes, where one of them has registered."""

SIGNED = {("POST", "/api/nodes/register"), ("POST", "/api/nodes/ping")}
"""What nodes say, which no credentials open."""

BODIES = {
    "/api/nodes/place": (b'{"checksums": ["%b"], "replicas": 1}' % NAME.encode(), ""),
    f"/{OTHER}": (b"other", ""),
    "/has": (b"[]", ""),
    "/has-now": (b"[]", ""),
    "/buffer-length": (b"[]", ""),
    "/api/v1/axon/files/put": (b"another", ""),
    "/api/v1/axon/files/del": (b'{"sha256s": []}', ""),
    "/api/v1/axon/wants": (b'{"sha256s": []}', ""),
    "/api/v1/axon/wget": (b'{"url": "x"}', ""),
    "/api/v1/axon/wput": (b'{"url": "x", "sha256": "%b"}' % SHA256.encode(), ""),
    "/api/v1/axon/postfiles": (b'{"url": "x", "fields": [{"name": "a", "value": "x"}]}', ""),
    "/api/v1/axon/puts": (b"--b\r\n\r\nbody\r\n--b--\r\n", "multipart/form-data; boundary=b"),
}
"""What is sent to a path, and its Content-Type."""


def template_of(path: str) -> str:
    """Name the route of a path."""
    path = path.partition("?")[0].replace(f"/rd/{NAME}", "/rd/{path}").replace(NODE, "{id}")
    for name in (NAME, OTHER):
        path = path.replace(name, "{checksum}")
    for name in (SHA256, OTHER_SHA256):
        path = path.replace(name, "{sha256}")
    return path


NODE_BUFFER = f"/api/node/buffers/{NAME}"
NODE_ROUTES = (
    ("GET", f"/api/node/identity?nonce={'0' * 32}"),
    ("PUT", NODE_BUFFER),
    ("GET", NODE_BUFFER),
    ("GET", f"{NODE_BUFFER}/leaves"),
    ("GET", f"{NODE_BUFFER}/proofs?leaves=0"),
    ("DELETE", NODE_BUFFER),
)
"""What a node answers its server, and nobody else; the buffer is deleted last."""

NODE_OPEN = (("GET", "/"), ("GET", "/healthcheck"), ("GET", "/metrics"))
"""What it answers everybody."""
