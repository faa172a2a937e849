"""Buffers as bodies of requests: read while they are sent, so that any size takes the same memory."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Protocol

from aiohttp import BytesPayload, MultipartWriter, Payload, StringPayload
from aiohttp.abc import AbstractStreamWriter

from ..errors import BadArgument

MAX_FIELDS = 1000

_TEXTS = ("name", "sha256", "filename", "content_type")


class Source(Protocol):
    """Where buffers come from, by their SHA-256 as who asks wrote it."""

    async def size(self, sha256: str) -> int:
        """Tell the size of a buffer. Raises: BadChecksum, BufferNotFound."""

    def pieces(self, sha256: str) -> AsyncGenerator[bytes, None]:
        """Yield a buffer's bytes. Raises: BadChecksum, BufferNotFound, BufferCorrupt."""


class BufferPayload(Payload):
    """A buffer, read anew each time that it is sent: after a redirect it may be sent again."""

    _autoclose = True

    def __init__(self, source: Source, sha256: str, size: int, **more: Any) -> None:
        super().__init__(sha256, **more)
        self._source = source
        self._size = size

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Refuse: a buffer is no text, and may be too long to be held."""
        raise TypeError("a buffer is sent, never decoded")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send the buffer."""
        async with aclosing(self._source.pieces(self._value)) as pieces:
            async for piece in pieces:
                await writer.write(piece)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Send the buffer, whose length is what was announced."""
        await self.write(writer)


async def buffer_payload(source: Source, sha256: str, content_type: str | None = None) -> BufferPayload:
    """Make a payload of a buffer.

    Raises: BadChecksum, BufferNotFound.
    """
    size = await source.size(sha256)
    return BufferPayload(source, sha256, size, content_type=content_type or "application/octet-stream")


def read_fields(given: object) -> Sequence[Mapping[str, Any]]:
    """Read the fields of a form, each with a name and a `sha256` or a `value`.

    Raises: BadArgument.
    """
    if not isinstance(given, list | tuple) or not all(isinstance(field, dict) for field in given):
        raise BadArgument("fields is a list of objects")
    if len(given) > MAX_FIELDS:
        raise BadArgument(f"up to {MAX_FIELDS} fields are sent at a time")
    for field in given:
        if not isinstance(field.get("name"), str):
            raise BadArgument("each field needs a name, which is a text")
        for key in _TEXTS:
            if not isinstance(field.get(key), str | None):
                raise BadArgument(f"{key} of a field is a text")
    return given


async def form(source: Source, fields: Sequence[Mapping[str, Any]]) -> MultipartWriter:
    """Make a form of fields. A content_transfer_encoding is not sent on: forms have none any more.

    Raises: BadChecksum, BufferNotFound. Source: RFC 7578, also its section 4.7.
    """
    writer = MultipartWriter("form-data")
    for field in fields:
        part = await _part(source, field)
        names = {"name": field["name"]}
        if field.get("filename") is not None:
            names["filename"] = field["filename"]
        part.set_content_disposition("form-data", **names)
        writer.append_payload(part)
    return writer


async def _part(source: Source, field: Mapping[str, Any]) -> Payload:
    kind: str | None = field.get("content_type")
    if field.get("sha256"):
        return await buffer_payload(source, field["sha256"], kind)
    value = field.get("value")
    if isinstance(value, bytes):
        return BytesPayload(value, content_type=kind or "application/octet-stream")
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return StringPayload(text, content_type=kind or "text/plain; charset=utf-8")
