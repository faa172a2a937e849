"""One buffer on its way onto the disk: temp file, fsync, rename, fsync of the folder.

Everything here blocks and is called in threads, one call at a time for each upload.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading

from ..checksums import Checksum
from ..counting import Counts
from ..settings import Layout
from .files import Form, Identity, read_from_start
from .filesystem import sync_folder, write_all
from .layout import Place
from .locks import ShownLock, commit_lock
from .promises import Promises
from .temps import TempFolder

FOLDER_MODE = 0o3775
"""Several users' programs write into one directory: their group owns it, none removes another's."""

BUFFER_MODE = 0o444

UNNAMED = "unnamed"
"""The name of a temp file whose buffer's name is learned at its end."""


class Target:
    """The place that uploads are committed to, and which of its folders are known to be durable."""

    def __init__(self, place: Place, lock: str, promises: Promises, counts: Counts, *, fsync: bool) -> None:
        self.place = place
        self.lock = lock
        self.promises = promises
        self.counts = counts
        self.fsync = fsync
        self._durable: dict[str, int] = {}
        self._making = threading.Lock()

    def make_folder(self, checksum: Checksum) -> str:
        """Make sure that a buffer's folder exists, and that it will after a power cut."""
        folder = self.place.folder(checksum)
        if self.place.layout is not Layout.PREFIX:
            return folder
        with contextlib.suppress(FileNotFoundError):
            if self._durable.get(folder) == os.stat(folder).st_ino:
                return folder
        with self._making:
            self._make(folder)
            self._durable[folder] = os.stat(folder).st_ino
        return folder

    def _make(self, folder: str) -> None:
        made = False
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder)
                made = True
                os.chmod(folder, FOLDER_MODE)  # mkdir's mode is cut by the umask
            if self.fsync:
                sync_folder(self.place.root)
        except OSError:
            if made:  # a failed sync is not to be tried again: the folder is to be made again
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
            raise


class Upload:
    """A temp file that becomes a buffer by `commit`, or vanishes by `abort`."""

    def __init__(self, temps: TempFolder, target: Target, announced: Checksum | None, form: Form) -> None:
        """`announced`: what it is to become, where that is known before its end."""
        self.form = form
        self._target = target
        self._announced = announced
        self._lock = announced and ShownLock(f"{target.place.path(announced)}.LOCK", temps)
        self._temps = temps
        self._descriptor = -1
        self._path = self._side = ""
        self._committed = False

    def open(self) -> None:
        """Make the temp file.

        Raises: OSError, FormatConflict.
        """
        self._descriptor, self._path = self._temps.create(f"{self._announced or UNNAMED}{self.form}")

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes.

        Raises: OSError.
        """
        write_all(self._descriptor, data)

    def flush(self) -> None:
        """Have the disk take what was written so far. Raises: OSError."""
        os.fdatasync(self._descriptor)

    def reader(self) -> io.BufferedReader:
        """Read what was written from its start."""
        return read_from_start(self._descriptor)

    def show_lock(self) -> None:
        """Show other programs that this buffer is being written; may be called at any time."""
        if self._announced and self._lock and not self._lock.ended:
            self._target.make_folder(self._announced)
            self._lock.show()

    def commit(self, checksum: Checksum, plain_size: int) -> Identity:
        """Make the buffer visible under its name, whole and durable.

        Raises: OSError. Then nothing is promised, and the upload is to be aborted.
        """
        os.fchmod(self._descriptor, BUFFER_MODE)
        if self._target.fsync:
            with self._target.counts.syncing():
                os.fsync(self._descriptor)
        with commit_lock(self._target.lock, checksum):
            folder = self._put_in_place(checksum, plain_size)
            if self._target.fsync:
                sync_folder(folder)
        self._target.promises.drop(checksum)
        return Identity.of(os.fstat(self._descriptor))

    def _put_in_place(self, checksum: Checksum, plain_size: int) -> str:
        place = self._target.place
        folder = self._target.make_folder(checksum)
        if self.form is not Form.PLAIN:
            self._make_sidecar(checksum, plain_size)
        try:
            os.rename(self._path, place.path(checksum, self.form))
        except FileNotFoundError:  # the folder was removed in this moment; or the temp file was
            folder = self._target.make_folder(checksum)
            os.rename(self._path, place.path(checksum, self.form))
        self._committed = True
        return folder

    def _make_sidecar(self, checksum: Checksum, plain_size: int) -> None:
        """Write the plain size beside the buffer; before it, so that it is never missing."""
        name, size = f"{checksum}.BUFFERLENGTH", b"%d" % plain_size
        self._side = self._temps.write(name, size, BUFFER_MODE, fsync=self._target.fsync)
        os.rename(self._side, self._target.place.sidecar(checksum))

    def abort(self) -> None:
        """Remove what is left of the upload; after a commit there is nothing to remove."""
        if self._lock:
            self._lock.end()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if not self._committed:
            for path in filter(None, (self._path, self._side)):
                with contextlib.suppress(OSError):
                    os.unlink(path)
