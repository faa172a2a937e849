"""Turns: work that one process at a time does, of all that serve a directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def turn(path: Path) -> Iterator[bool]:
    """Hold the turn that a file or folder stands for; False if another process has it.

    The lock dies with its process. Raises: OSError.
    """
    # Over a network a file can only be locked for oneself by who may write to it.
    may_write = not path.is_dir() and os.access(path, os.W_OK)
    descriptor = os.open(path, (os.O_RDWR if may_write else os.O_RDONLY) | os.O_CLOEXEC)
    try:
        is_ours = True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            is_ours = False
        yield is_ours
    finally:
        os.close(descriptor)
