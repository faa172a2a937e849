"""Buffers as bodies of requests: read while they are sent, so that any size takes the same memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol

from aiohttp import BytesPayload, MultipartWriter, Payload, StringPayload
from aiohttp.abc import AbstractStreamWriter

from ..checksums import parse_checksum
from ..errors import BadArgument, BadChecksum, BufferCorrupt, BufferNotFound
from .texts import is_line, write_json

MAX_FIELDS = 1000


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
        self._size = self.total_bytes = size

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Refuse: a buffer is no text, and may be too long to be held."""
        raise TypeError("a buffer is sent, never decoded")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send the buffer: as many bytes as were announced, or the connection is to be cut.

        Raises: BufferCorrupt.
        """
        left = self.total_bytes
        async with aclosing(self._source.pieces(self._value)) as pieces:
            async for piece in pieces:
                left -= len(piece)
                if left < 0:
                    raise BufferCorrupt(f"{self._value} became longer while it was sent")
                await writer.write(piece)
        if left:
            raise BufferCorrupt(f"{self._value} became shorter while it was sent")

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Send the buffer, whose length is what was announced."""
        if content_length not in {None, self.total_bytes}:
            raise BufferCorrupt(f"{self._value} is not of the length that was announced: {content_length}")
        await self.write(writer)


def read_sha256(given: object) -> str:
    """Read the name of a buffer. Raises: BadArgument."""
    try:
        if isinstance(given, str):
            parse_checksum(given)
            return given
    except BadChecksum:
        pass
    raise BadArgument("sha256 is the name of a buffer: 64 hexadecimal digits")


async def buffer_payload(source: Source, sha256: str, content_type: str | None = None) -> BufferPayload:
    """Make a payload of a buffer.

    Raises: BufferNotFound, of its SHA-256.
    """
    try:
        size = await source.size(sha256)
    except BufferNotFound:
        raise BufferNotFound(sha256) from None
    return BufferPayload(source, sha256, size, content_type=content_type or "application/octet-stream")


@dataclass(frozen=True, slots=True, kw_only=True)
class FormField:
    """A field of a form: a buffer, if `sha256` is given, or else `value`."""

    name: str
    filename: str | None
    content_type: str | None
    sha256: str | None
    value: Payload | None


def read_fields(given: object) -> list[FormField]:
    """Read the fields of a form, each with a name and a `sha256` or a `value`.

    A content_transfer_encoding is not sent on: forms have none any more. Source: RFC 7578, section 4.7.
    Raises: BadArgument.
    """
    if not isinstance(given, list | tuple) or not all(isinstance(field, dict) for field in given):
        raise BadArgument("fields is a list of objects")
    if len(given) > MAX_FIELDS:
        raise BadArgument(f"up to {MAX_FIELDS} fields are sent at a time")
    return [_field(field) for field in given]


def _field(given: Mapping[str, Any]) -> FormField:
    if not is_line(given.get("name")):
        raise BadArgument("each field needs a name, which is a text of one line")
    filename, kind = given.get("filename"), given.get("content_type")
    if filename is not None and not is_line(filename):
        raise BadArgument("filename of a field is a text of one line")
    if kind is not None and not is_line(kind):
        raise BadArgument("content_type of a field is a text of one line")
    sha256 = given.get("sha256")
    named = sha256 is not None and sha256 != ""  # as the Axon has it
    return FormField(
        name=given["name"],
        filename=filename,
        content_type=kind,
        sha256=read_sha256(sha256) if named else None,
        value=None if named else _value(given.get("value"), kind),
    )


def _value(value: object, kind: str | None) -> Payload:
    """Write a value: bytes, a text in the charset of its kind, or anything else as JSON."""
    if isinstance(value, bytes):
        return BytesPayload(value, content_type=kind or "application/octet-stream")
    text = value if isinstance(value, str) else write_json(value, "value of a field", compact=True).decode()
    try:
        return StringPayload(text, content_type=kind or "text/plain; charset=utf-8")
    except (LookupError, UnicodeError):
        raise BadArgument("value of a field can't be written in the charset of its content_type") from None


async def form(source: Source, fields: Sequence[FormField]) -> MultipartWriter:
    """Make a form of fields.

    Raises: BufferNotFound. Source: RFC 7578.
    """
    writer = MultipartWriter("form-data")
    for field in fields:
        part = field.value
        if field.sha256 is not None:
            part = await buffer_payload(source, field.sha256, field.content_type)
        assert part is not None
        more = {} if field.filename is None else {"filename": field.filename}
        part.set_content_disposition("form-data", quote_fields=True, name=field.name, **more)
        writer.append_payload(part)
    return writer
