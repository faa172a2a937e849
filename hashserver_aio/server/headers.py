"""The headers that a buffer is sent with, whichever way it takes."""

from __future__ import annotations

from collections.abc import Mapping

from ..blobs import Blob, Streamed
from ..store import Form
from ..store.encodings import CODINGS
from ..version import __version__
from .dates import http_date
from .digests import repr_digest

EVERYWHERE = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": (
        "ETag, Content-Encoding, Content-Range, Accept-Ranges, Repr-Digest, Last-Modified, Link"
    ),
    "X-Content-Type-Options": "nosniff",
    "Server": f"hashserver-aio/{__version__}",
}
"""What every answer has, also an error: pages of any origin may read it."""


_SHARED = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "Vary": "Accept-Encoding",
}
_PRIVATE = {"Cache-Control": "private, max-age=31536000, immutable"}


def _kept(is_public: bool) -> dict[str, str]:
    return _SHARED if is_public else _SHARED | _PRIVATE


def immutable(*, is_public: bool) -> str:
    """Word a Cache-Control header; caches that others use keep only what is public."""
    return _kept(is_public)["Cache-Control"]


_REPRESENTATION = {
    "Content-Type": "application/octet-stream",
    "Accept-Ranges": "bytes",
}


def etag_of(blob: Blob | Streamed) -> str:
    """Name the representation that a blob sends: each form has an ETag of its own."""
    return blob.checksum if blob.form is Form.PLAIN else f"{blob.checksum}-{blob.form[1:]}"


def shared_headers(blob: Blob | Streamed, *, is_public: bool) -> dict[str, str]:
    """Word the headers that a 304 has too; caches that others use keep only what is public."""
    return _validators(blob) | _kept(is_public)


def representation_headers(blob: Blob | Streamed) -> dict[str, str]:
    """Word the headers that go with bytes of a blob, besides the shared ones."""
    return _description(blob) | _REPRESENTATION


def _validators(blob: Blob | Streamed) -> dict[str, str]:
    headers = {"ETag": f'"{etag_of(blob)}"', "Last-Modified": http_date(blob.modified_s)}
    if blob.sha256 is not None and blob.form is Form.PLAIN:
        headers["Repr-Digest"] = repr_digest(blob.sha256)
    return headers


def _description(blob: Blob | Streamed) -> dict[str, str]:
    headers = {
        "Content-Disposition": f'attachment; filename="{blob.checksum}"',
        "Link": f'</{blob.checksum}/blocks>; rel="describedby"',
    }
    if blob.form is not Form.PLAIN:
        headers["Content-Encoding"] = CODINGS[blob.form]
    return headers


def _lines(headers: Mapping[str, str]) -> str:
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()])


_PRIVATE_START, _PUBLIC_START = (
    "HTTP/1.1 200 OK\r\n" + _lines(_kept(is_public) | _REPRESENTATION | EVERYWHERE)
    for is_public in (False, True)
)


def whole_head(blob: Blob, more: dict[str, str] | None = None, *, is_public: bool) -> bytes:
    """Word the head of an answer with a whole blob, to which only the date has to be added."""
    headers = _validators(blob) | _description(blob) | {"Content-Length": str(blob.size)} | (more or {})
    start = _PUBLIC_START if is_public else _PRIVATE_START
    return (start + _lines(headers)).encode()


def text_head(content_type: str, size: int) -> bytes:
    """Word the head of an answer with a text of some bytes, likewise."""
    headers = {"Content-Type": content_type, "Content-Length": str(size)} | EVERYWHERE
    return ("HTTP/1.1 200 OK\r\n" + _lines(headers)).encode()
