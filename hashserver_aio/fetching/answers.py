"""The body of an answer, as it arrives: whole, or an error.

It is asked for as it is. Who compresses all the same is decoded here and not by aiohttp, which takes a
compressed stream that ends too early for a whole one.
"""

from __future__ import annotations

import asyncio
import zlib

from aiohttp import ClientPayloadError, ClientResponse, hdrs

_PIECE_BYTES = 256 * 1024
"""No step gives more, however little it took."""

_SLICE_BYTES = 16 * 1024
"""No step takes more: what follows a gzip member is copied for each that ends."""

_GZIP, _ZLIB, _RAW = 31, 15, -15
"""Forms of what zlib reads, as its `wbits` say them."""

_CODINGS = frozenset({"gzip", "x-gzip", "deflate"})


class Answer:
    """The body of an answer, as it is meant."""

    def __init__(self, response: ClientResponse) -> None:
        """Begin with a body.

        Raises: ClientPayloadError, of one in a coding that is not spoken.
        """
        self._content = response.content
        self._inflater = _inflater(response)
        self._plain_bytes = 0 if self._inflater else response.content_length or 0

    @property
    def announced_bytes(self) -> int:
        """How long it is going to be; 0 where its server does not say."""
        return self._plain_bytes

    @property
    def has_arrived(self) -> bool:
        """Whether nothing of it has to be waited for."""
        return self._inflater is None and self._content.is_eof()

    async def read(self) -> bytes:
        """Give some more bytes; b"" at the end. Raises: ClientError, TimeoutError."""
        if self._inflater is None:
            return await self._content.readany()
        while True:
            if self._inflater.hungry:
                self._inflater.feed(await self._content.read(_SLICE_BYTES))
            piece = self._inflater.step()
            if piece or self._inflater.done:
                return piece
            await asyncio.sleep(0)  # who sends nothing but empty members gets a slice at a time


class _Inflater:
    """Decodes gzip, all members of it, or deflate; in steps that are bounded both ways."""

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._member: zlib._Decompress | None = None
        self._input = b""
        self._ended = False
        self._owes = False  # zlib may keep back bytes of which it has taken all input

    @property
    def hungry(self) -> bool:
        """Whether a step needs more input."""
        return not self._input and not self._owes and not self._ended

    @property
    def done(self) -> bool:
        """Whether all was given."""
        return self._ended and not self._input and not self._owes

    def feed(self, data: bytes) -> None:
        """Take some more bytes; b"" at the end."""
        self._input, self._ended = data, not data

    def step(self) -> bytes:
        """Decode some of what was fed; of nothing at all comes nothing, as of the answer to HEAD.

        Raises: ClientPayloadError, for what is not of the coding that it is said to be, or not all of it.
        """
        out = bytearray()
        try:
            while len(out) < _PIECE_BYTES and (self._input or self._owes):
                member = self._member = self._current()
                out += member.decompress(self._input, _PIECE_BYTES - len(out))
                self._input = member.unused_data if member.eof else member.unconsumed_tail
                self._owes = not member.eof and len(out) == _PIECE_BYTES
        except zlib.error:
            raise ClientPayloadError("the answer is not compressed as it says") from None
        if self.done and self._member is not None and not self._member.eof:
            raise ClientPayloadError("the compressed answer ends too early")
        return bytes(out)

    def _current(self) -> zlib._Decompress:
        """Give what decodes the next byte. Many servers send deflate without the frame that it is to have."""
        if self._member is not None and not self._member.eof:
            return self._member
        if self._gzip:
            return zlib.decompressobj(_GZIP)
        if self._member is not None:
            raise ClientPayloadError("the compressed answer goes on after its end")
        return zlib.decompressobj(_ZLIB if self._input[0] & 0xF == zlib.DEFLATED else _RAW)


def _inflater(response: ClientResponse) -> _Inflater | None:
    """Make what decodes an answer; None where nothing is to be decoded.

    Raises: ClientPayloadError, for what nobody asked for: zstd and br may take whatever memory they like.
    """
    transfer = ", ".join(response.headers.getall(hdrs.TRANSFER_ENCODING, [])).lower()
    if transfer not in {"", "chunked"}:
        raise ClientPayloadError(
            f"the answer comes in the transfer coding {transfer[:50]!r}, which is not spoken"
        )
    coding = ", ".join(response.headers.getall(hdrs.CONTENT_ENCODING, [])).strip().lower()
    if coding in {"", "identity"}:
        return None
    if coding not in _CODINGS:
        raise ClientPayloadError(f"the answer comes in the coding {coding[:50]!r}, which is not spoken")
    return _Inflater(gzip=coding != "deflate")
