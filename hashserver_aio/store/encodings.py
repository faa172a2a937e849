"""Reading the compressed forms, in bounded memory.

Both codings may consist of several members or frames; bytes after the last one are refused.
"""

from __future__ import annotations

import io
import sys
import zlib
from collections.abc import Generator
from typing import TYPE_CHECKING

from ..errors import BadEncoding
from .files import Form

if sys.version_info >= (3, 14) and not TYPE_CHECKING:
    from compression import zstd
else:
    from backports import zstd

CODINGS = {Form.ZSTD: "zstd", Form.GZIP: "gzip"}
"""The HTTP content coding of each compressed form."""

UPLOAD_WINDOW_LOG = 23
"""8 MiB: what RFC 9659 allows the zstd content coding to ask a decoder for."""

STORED_WINDOW_LOG = 27
"""128 MiB: what the zstd tools allow by default; other programs may have stored such files."""

PIECE_BYTES = 1024 * 1024
READ_BYTES = 64 * 1024


def plain_pieces(
    file: io.BufferedReader, form: Form, window_log: int = STORED_WINDOW_LOG
) -> Generator[bytes, None, None]:
    """Yield a stored form's plain bytes in pieces of at most 1 MiB, and close the file.

    Raises: BadEncoding, where the coding is broken, cut or followed by something else.
    """
    with file:
        try:
            if form is Form.PLAIN:
                yield from iter(lambda: file.read(PIECE_BYTES), b"")
            else:
                yield from _decoded(file, form, window_log)
        except (EOFError, zlib.error, zstd.ZstdError) as error:
            raise BadEncoding(f"the {CODINGS[form]} coding is broken: {error}") from None


def _decoded(file: io.BufferedReader, form: Form, window_log: int) -> Generator[bytes, None, None]:
    """Decode member after member; there is at least one, and each goes to its end."""
    options = {int(zstd.DecompressionParameter.window_log_max): window_log}
    data = file.read(READ_BYTES)
    while True:
        decoder = _Gunzip() if form is Form.GZIP else zstd.ZstdDecompressor(options=options)
        while not decoder.eof:
            if decoder.needs_input and not data:
                data = file.read(READ_BYTES)
                if not data:
                    raise EOFError("it ends too early")
            piece = decoder.decompress(data, PIECE_BYTES)
            data = b""
            if piece:
                yield piece
        data = decoder.unused_data or file.read(READ_BYTES)
        if not data:
            return


class _Gunzip:
    """zlib's decoder of one gzip member, with the interface of the zstd decoder of one frame."""

    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    @property
    def needs_input(self) -> bool:
        return not self._decoder.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._decoder.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Decode at most `max_length` bytes of what was kept, or else of `data`."""
        return self._decoder.decompress(self._decoder.unconsumed_tail or data, max_length)
