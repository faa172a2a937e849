"""What of this face the fast path may answer: whole buffers, and that a buffer is held."""

from __future__ import annotations

from ...blobs import Blob
from ...buffers import Buffers
from ..columns import AXON, REQUESTS
from ..fast_path import Door, Wording
from ..headers import text_head, whole_head
from .words import BASE, CONTENT_TYPE, worded

AS_ATTACHMENT = {"Content-Disposition": "attachment"}

_OK = REQUESTS[AXON, "GET", "200"]
_HELD = worded({"status": "ok", "result": True}).encode()
_IS_HELD = Wording(text_head(CONTENT_TYPE, len(_HELD)), _HELD)


def _whole(blob: Blob, is_public: bool) -> Wording:
    return Wording(whole_head(blob, AS_ATTACHMENT, is_public=is_public), None)


def _is_held(blob: Blob, is_public: bool) -> Wording:
    return _IS_HELD


def _start(path: str) -> bytes:
    return f"GET {BASE}axon/files/{path}/sha256/".encode()


DOORS = (
    Door(_start("by"), b"by", _OK, Buffers.named, _whole, negotiates=False),
    Door(_start("has"), b"has", _OK, Buffers.named, _is_held, negotiates=False),
)
