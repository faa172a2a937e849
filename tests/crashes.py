"""System calls of the store that are watched, fail, or are the last ones.

`python -m tests.crashes N run --dir ..` is a server that kills itself before a chosen step of a PUT:
steps are the calls that change the disk or a lock, counted over all threads from the moment the first
PUT began to arrive; the process sends itself SIGKILL just before number N (the first one is 0).
"""

from __future__ import annotations

import fcntl
import functools
import itertools
import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hashserver_aio.cli import main
from hashserver_aio.intake import Intake
from hashserver_aio.store import streaming

if TYPE_CHECKING:
    import pytest

STEPS: tuple[tuple[ModuleType, str], ...] = (
    *((os, name) for name in ("write", "fsync", "fdatasync", "rename", "replace", "link", "unlink", "rmdir")),
    *((os, name) for name in ("mkdir", "chmod", "fchmod", "utime", "fdopen", "open")),
    *((fcntl, name) for name in ("flock", "fcntl")),
)

SHOWN_AFTER_S = 0.05
"""So soon an upload shows its lock file here, so that its steps are met without waiting a second."""

FLUSHED_BYTES = 1
"""Every piece is synced early here, or none of the short bodies would be."""


class Crash:
    """The end of this process, `number` steps after the first PUT began to arrive."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._steps = itertools.count()
        self._armed = threading.Event()

    def arm(self, module: Any, name: str) -> None:
        """Begin to count when a function is called."""
        function = getattr(module, name)

        @functools.wraps(function)
        def arming(*args: Any, **kwargs: Any) -> Any:
            self._armed.set()
            return function(*args, **kwargs)

        setattr(module, name, arming)

    def before(self, module: Any, name: str) -> None:
        """Count the calls of a function as steps."""
        function: Callable[..., Any] = getattr(module, name)

        @functools.wraps(function)
        def step(*args: Any, **kwargs: Any) -> Any:
            if self._armed.is_set() and _changes_the_disk(name, args):
                if next(self._steps) == self._number:
                    self._die(name, args)
            return function(*args, **kwargs)

        setattr(module, name, step)

    def _die(self, name: str, args: tuple[Any, ...]) -> None:
        print(f"crash before step {self._number}: {name}{args!r:.300}", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)


def _changes_the_disk(name: str, args: tuple[Any, ...]) -> bool:
    return name != "open" or bool(args[1] & os.O_CREAT)


class Calls:
    """Notes this process's calls on a directory's files; lets some fail, or holds one up.

    `errors` by a call's name and where its file lies: "temp", "folder" or "root" (the directory itself).
    `held_up`: a call's name and a pattern of its path; `reached` tells that it came, `released` ends it.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, directory: object) -> None:
        self._directory = str(directory)
        self.made: list[tuple[str, str]] = []
        self.errors: dict[tuple[str, str], int] = {}
        self.held_up: tuple[str, str] | None = None
        self.reached, self.released = threading.Event(), threading.Event()
        for name in ("fsync", "fdatasync", "write", "preadv"):
            monkeypatch.setattr(os, name, self._watched(name, lambda fd: os.readlink(f"/proc/self/fd/{fd}")))
        for name in ("rename", "open", "mkdir"):
            monkeypatch.setattr(os, name, self._watched(name, str))

    def _watched(self, name: str, path_of: Callable[[Any], str]) -> Callable[..., Any]:
        function = getattr(os, name)

        @functools.wraps(function)
        def call(first: Any, *args: Any, **kwargs: Any) -> Any:
            path = path_of(first)
            if path.startswith(self._directory):
                self._meet(name, path)
            return function(first, *args, **kwargs)

        return call

    def _meet(self, name: str, path: str) -> None:
        self.made.append((name, path))
        if self.held_up and self.held_up[0] == name and re.search(self.held_up[1], path):
            self.reached.set()
            self.released.wait(10)
        rest = path.removeprefix(self._directory)
        where = "temp" if "/tmp/" in rest else "folder" if rest else "root"
        if error := self.errors.get((name, where)):
            raise OSError(error, os.strerror(error), path)


if __name__ == "__main__":
    crash = Crash(int(sys.argv.pop(1)))
    vars(streaming).update(SHOWN_AFTER_S=SHOWN_AFTER_S, FLUSHED_BYTES=FLUSHED_BYTES)
    for module, name in STEPS:
        crash.before(module, name)
    crash.arm(Intake, "arriving")
    main()
