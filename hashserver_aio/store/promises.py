"""Promises that a buffer will be uploaded: one small file each, so that every server sees them.

A promise expires by the modification time of its file; a server that dies leaves nothing to undo.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from ..checksums import Checksum
from ..errors import Busy

PROMISE_TTL_S = 600.0

MAX_PROMISES = 100_000
"""A process makes no more than this at a time: each costs a file."""

_LIST_ABOVE = 64
"""Listing the folder is cheaper than asking for more names than this one by one."""


class Promises:
    """The promises of one directory, its own and those that other servers made."""

    def __init__(self, folder: str, prepare: Callable[[], None]) -> None:
        self._folder = folder
        self._prepare = prepare
        self._made: dict[Checksum, float] = {}

    def make(self, checksum: Checksum) -> None:
        """Promise a buffer, or promise it anew.

        Raises: Busy, when too many are promised; OSError.
        """
        if len(self._made) >= MAX_PROMISES and checksum not in self._made:
            self._forget_expired()
            if len(self._made) >= MAX_PROMISES:
                raise Busy(f"{MAX_PROMISES} buffers are promised already; upload some of them first")
        try:
            self._touch(checksum)
        except FileNotFoundError:
            self._prepare()
            os.makedirs(self._folder, exist_ok=True)
            self._touch(checksum)
        self._made[checksum] = time.time() + PROMISE_TTL_S

    def _touch(self, checksum: Checksum) -> None:
        path = f"{self._folder}/{checksum}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o644)
        try:
            os.utime(descriptor)
        finally:
            os.close(descriptor)

    def _forget_expired(self) -> None:
        now = time.time()
        self._made = {checksum: at for checksum, at in self._made.items() if at > now}

    def drop(self, checksum: Checksum) -> None:
        """Take a promise back, whoever made it; if there is none, do nothing."""
        self._made.pop(checksum, None)
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
                asked = set(checksums).intersection(map(Checksum, os.listdir(self._folder)))
            except OSError:
                return set()
        return {checksum for checksum in asked if self.is_made(checksum)}

    def remove_expired(self) -> None:
        """Remove the files of promises that ran out; done when a server starts."""
        try:
            names = os.listdir(self._folder)
        except OSError:
            return
        for name in names:
            if not self.is_made(Checksum(name)):
                self.drop(Checksum(name))
