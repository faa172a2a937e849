"""Promises that a buffer will be uploaded: one small file each, so that every server sees them.

A promise expires by the modification time of its file; a server that dies leaves nothing to undo.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence

from ..checksums import Checksum
from ..errors import Busy

PROMISE_TTL_S = 600.0

MAX_PROMISES = 100_000
"""There are about as many at a time, and no more: each costs a file."""

TIDIED_EVERY_S = 60.0

_LIST_ABOVE = 64
"""Listing the folder is cheaper than asking for more names than this one by one."""


class Promises:
    """The promises of one directory, its own and those that other servers made."""

    def __init__(self, folder: str, prepare: Callable[[], None]) -> None:
        self._folder = folder
        self._prepare = prepare
        self._count = 0
        self._tidied_s = 0.0
        self._turn = threading.Lock()

    def make(self, checksum: Checksum) -> None:
        """Promise a buffer, or promise it anew.

        Raises: Busy, when too many are promised; OSError.
        """
        self._keep_bounded()
        try:
            self._touch(checksum)
        except FileNotFoundError:
            self._prepare()
            os.makedirs(self._folder, exist_ok=True)
            self._touch(checksum)

    def _keep_bounded(self) -> None:
        """Count, and now and then remove what has expired."""
        with self._turn:
            self._count += 1
            if time.monotonic() - self._tidied_s > TIDIED_EVERY_S:
                self._tidied_s = time.monotonic()
                self._count = self.remove_expired()
            if self._count >= MAX_PROMISES:
                raise Busy(f"{MAX_PROMISES} buffers are promised already; upload some of them first")

    def _touch(self, checksum: Checksum) -> None:
        path = f"{self._folder}/{checksum}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o644)
        try:
            os.utime(descriptor)
        finally:
            os.close(descriptor)

    def drop(self, checksum: Checksum) -> None:
        """Take a promise back, whoever made it; if there is none, do nothing."""
        try:
            os.unlink(f"{self._folder}/{checksum}")
        except OSError:
            return

    def is_made(self, checksum: Checksum) -> bool:
        """Tell whether a promise is made and not expired."""
        try:
            made_s = os.stat(f"{self._folder}/{checksum}").st_mtime
        except OSError:
            return False
        return time.time() - made_s < PROMISE_TTL_S

    def among(self, checksums: Sequence[Checksum]) -> set[Checksum]:
        """Tell which of these are promised."""
        asked: Sequence[Checksum] | set[Checksum] = checksums
        if len(checksums) > _LIST_ABOVE:
            try:
                asked = set(map(Checksum, os.listdir(self._folder))).intersection(checksums)
            except OSError:
                return set()
        return {checksum for checksum in asked if self.is_made(checksum)}

    def remove_expired(self) -> int:
        """Remove the files of promises that ran out; the number of those that have not."""
        try:
            names = os.listdir(self._folder)
        except OSError:
            return 0
        live = 0
        for name in names:
            if self.is_made(Checksum(name)):
                live += 1
            else:
                self.drop(Checksum(name))
        return live
