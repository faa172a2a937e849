"""Reading the compressed forms, in bounded memory.

Both codings may consist of several members or frames; bytes after the last one are refused.
"""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections.abc import Generator
from typing import TYPE_CHECKING, BinaryIO

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


def plain_pieces(
    file: io.BufferedReader, form: Form, window_log: int = STORED_WINDOW_LOG
) -> Generator[bytes, None, None]:
    """Yield a stored form's plain bytes in pieces of at most 1 MiB, and close the file.

    Raises: BadEncoding, where the coding is broken, cut or followed by something else.
    """
    with file, _decoder(file, form, window_log) as plain:
        try:
            while piece := plain.read(PIECE_BYTES):
                yield piece
        except (EOFError, zlib.error, gzip.BadGzipFile, zstd.ZstdError) as error:
            raise BadEncoding(f"the {CODINGS.get(form, form)} coding is broken: {error}") from None


def _decoder(file: io.BufferedReader, form: Form, window_log: int) -> BinaryIO:
    if form is Form.ZSTD:
        options = {int(zstd.DecompressionParameter.window_log_max): window_log}
        return zstd.ZstdFile(file, options=options)  # type: ignore[return-value]
    if form is Form.GZIP:
        return gzip.GzipFile(fileobj=file)  # type: ignore[return-value]
    return file
