"""Going from the web-root down, a name at a time, and following links by hand: never above the root.

The kernel is only ever asked for one name, of a folder that is held open, and told not to follow links. What
a link says is read from the very link that was found, and walked likewise. So nobody who moves or swaps
links meanwhile can lead outside. (openat2 would do that in one call; but not links with an absolute
path into the root, nor tell what was passed on the way; and older kernels and containers lack it.)
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from ..errors import NoSuchFile
from ..store.files import FileId
from .kept import KeptBack, id_of
from .paths import MAX_NAMES

MAX_LINKS = 40
"""As many as the kernel follows."""

_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_ROOT = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
# O_NONBLOCK: what is put there in the place of a file, a named pipe perhaps, must not hang the server.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that is held open on the way; `in_store`: it is a directory of buffers, or lies in one."""

    descriptor: int
    id: FileId
    in_store: bool


class Walk:
    """A way from the root down; `roots` are what absolute links into the root begin with."""

    def __init__(self, root: bytes, roots: Sequence[bytes], kept: KeptBack) -> None:
        """Raises: OSError, if there is no such folder."""
        self._roots = roots
        self._kept = kept
        self._way: list[Folder] = []
        self._links = 0
        self.name = b""
        self._enter(os.open(root, _ROOT))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._return(0)

    def hides(self, name: bytes) -> bool:
        """Tell whether a name in the folder that was come to is none for a URL."""
        return self._kept.hides(self.folder.id, name, in_store=self.folder.in_store)

    def open(self) -> int:
        """Open the file that was come to, for reading: a descriptor.

        Raises: NoSuchFile, if something else is in its place by now; OSError.
        """
        descriptor = os.open(self.name, _READ, dir_fd=self.folder.descriptor)
        try:
            self._refuse_other(os.fstat(descriptor))
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def open_folder(self) -> int:
        """Open the folder that was come to, for reading its names: a descriptor."""
        return os.open(b".", _READ | os.O_DIRECTORY, dir_fd=self.folder.descriptor)

    @property
    def folder(self) -> Folder:
        """The folder that was come to."""
        return self._way[-1]

    def go(self, names: Sequence[bytes]) -> os.stat_result | None:
        """Go to a folder (then the answer is None), or to the name of a file in one: its stat.

        Raises: NoSuchFile, for what is neither, or not to be seen; OSError, as the kernel does.
        """
        ahead = [*reversed(names)]
        while ahead:
            name = ahead.pop()
            if name in (b"", b"."):
                continue
            if name == b"..":
                self._up()
                continue
            status = self._step(name, ahead)
            if status is not None:
                if ahead:
                    raise NoSuchFile
                self.name = name
                return status
        return None

    def _up(self) -> None:
        """Go back by the way that was come: the kernel is never asked where ".." leads."""
        if len(self._way) == 1:
            raise NoSuchFile
        self._return(len(self._way) - 1)

    def _step(self, name: bytes, ahead: list[bytes]) -> os.stat_result | None:
        """Look at a name: into a folder it goes, a link puts what it says before the names ahead."""
        if self.hides(name):
            raise NoSuchFile
        descriptor = os.open(name, _LOOK, dir_fd=self.folder.descriptor)
        try:
            status = os.fstat(descriptor)
            if stat.S_ISDIR(status.st_mode):
                self._enter(os.dup(descriptor))
                return None
            if stat.S_ISLNK(status.st_mode):
                self._follow(os.readlink(b"", dir_fd=descriptor), ahead)
                return None
        finally:
            os.close(descriptor)
        self._refuse_other(status)
        return status

    def _refuse_other(self, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise NoSuchFile
        if id_of(status) in self._kept.files:
            raise NoSuchFile

    def _follow(self, target: bytes, ahead: list[bytes]) -> None:
        self._links += 1
        if self._links > MAX_LINKS:
            raise NoSuchFile
        if target.startswith(b"/"):
            for root in self._roots:
                if target == root or target.startswith(root.rstrip(b"/") + b"/"):
                    target = target[len(root) :]
                    break
            else:
                raise NoSuchFile
            self._return(1)
        ahead.extend(reversed(target.split(b"/")))

    def _enter(self, descriptor: int) -> None:
        try:
            here = id_of(os.fstat(descriptor))
            if here in self._kept.files or len(self._way) > MAX_NAMES:
                raise NoSuchFile
        except BaseException:
            os.close(descriptor)
            raise
        in_store = here in self._kept.stores or (bool(self._way) and self.folder.in_store)
        self._way.append(Folder(descriptor, here, in_store))

    def _return(self, length: int) -> None:
        """Go back up until so many folders are open."""
        while len(self._way) > length:
            os.close(self._way.pop().descriptor)
