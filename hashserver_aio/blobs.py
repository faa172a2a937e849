"""A buffer that was found good, open for being sent.

What a blob sends is its representation: the plain bytes, or a compressed form as it lies there.
"""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import ClassVar

from .checksums import Checksum
from .store import Form, StoredFile


@dataclass(frozen=True, slots=True)
class Blob:
    """An open buffer; whoever got it closes it.

    `size`: bytes of the representation. `sha256`: of the plain bytes, where known. `stored`: the
    file that it comes from. `file`: where the representation lies as it is; else `pieces` yields
    it, decompressed while being read. `form`: PLAIN whenever the plain bytes are sent.
    """

    checksum: Checksum
    form: Form
    size: int
    sha256: bytes | None
    stored: StoredFile
    file: io.FileIO | None
    pieces: AsyncGenerator[bytes, None] | None
    close: Callable[[], None]

    @property
    def modified_s(self) -> float:
        """Seconds since the epoch at the last change of the file's content."""
        return self.stored.identity.modified_s


@dataclass(frozen=True, slots=True)
class Streamed:
    """A buffer that comes from elsewhere: its plain bytes, each checked before it is given.

    Whoever got it closes it. `modified_s`: since when it has been coming.
    """

    form: ClassVar[Form] = Form.PLAIN
    sha256: ClassVar[bytes | None] = None
    file: ClassVar[io.FileIO | None] = None

    checksum: Checksum
    size: int
    modified_s: float
    pieces: AsyncGenerator[bytes, None]
    close: Callable[[], None]
