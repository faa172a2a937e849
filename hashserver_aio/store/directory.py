"""A store in one directory, shared with other servers and with programs that know nothing of us.

Nothing is remembered about what the directory holds: every answer is asked of the files.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import AsyncGenerator, Callable, Collection, Sequence

from ..checksums import Checksum
from ..counting import Counts, shared_counts
from ..errors import FormatConflict, HashserverError, StoreFailed, from_os_error
from ..settings import Layout, Settings
from . import Pace, Sink
from .admission import settle_format
from .encodings import plain_pieces
from .files import COMMIT_LOCK, OWN_FOLDER, Form, Identity, StoredFile, open_stored
from .filesystem import follow_group, has_room, is_network, sync_folder
from .format import Format, layout_of, record_format, write_marker
from .layout import Place, places
from .locks import is_locked, remove_shown, turn_lock
from .presence import held, size_of
from .promises import Promises
from .quarantine import put_aside
from .removal import remove_forms
from .scanning import Entry, Part, list_part, parts_of
from .streaming import StreamedUpload, feed
from .temps import TempFolder
from .threads import Threads
from .uploads import FOLDER_MODE, Target, Upload
from .usable import is_mounted, refuse_gone, refuse_other, why_unusable

log = logging.getLogger(__name__)


class DirectoryStore:
    """A directory, and read-only extra directories that are searched after it."""

    format: Format

    def __init__(self, settings: Settings, counts: Counts | None = None) -> None:
        self._settings = settings
        self._counts = counts or shared_counts()[0]
        self.writable = settings.writable
        own = f"{os.path.abspath(settings.directory)}/{OWN_FOLDER}"
        self._temps = TempFolder(f"{own}/tmp", self.prepare)
        self._promises = Promises(f"{own}/promises", self.prepare)
        self.own_folder = own
        self._threads = Threads()
        self._preparing = threading.Lock()

    # -- life ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Settle the format, and tidy up after servers that were killed.

        Raises: CannotStart, FormatConflict.
        """
        await self._threads.disk(self._start)

    def _start(self) -> None:
        directory = self._settings.directory
        self.format = settle_format(self._settings)
        self._places = places(directory, self.format.layout)
        for extra in self._settings.extra_dirs:
            self._places += places(extra, layout_of(extra) or Layout.FLAT, os.path.abspath(extra))
        self._device = os.stat(directory).st_dev
        self.is_network = any(map(is_network, (directory, *self._settings.extra_dirs)))
        lock, fsync = f"{self.own_folder}/{COMMIT_LOCK}", self._settings.fsync
        self._target = Target(self._places[0], lock, self._promises, self._counts, fsync=fsync)
        if self.writable:
            self._start_writing()

    def _start_writing(self) -> None:
        directory = self._settings.directory
        if self._settings.share_with_group:
            with contextlib.suppress(OSError):  # somebody else's: it is as they want it
                os.chmod(directory, FOLDER_MODE)
        follow_group(str(directory))
        write_marker(directory, self.format.layout)
        self._temps.remove_stale(self._remove_shown_lock)
        self._promises.remove_expired()

    def _remove_shown_lock(self, temporary: str, checksum: Checksum) -> None:
        remove_shown(f"{self._places[0].path(checksum)}.LOCK", temporary)

    def prepare(self) -> None:
        """Before our own folder is made, also after somebody removed it: is this our directory?

        Raises: StoreFailed, FormatConflict; OSError.
        """
        directory = self._settings.directory
        refuse_gone(directory, self._device)
        with self._preparing:
            self._temps.hold_lock()
            record_format(directory, self.format, self._temps.scratch, fsync=self._settings.fsync)

    async def close(self) -> None:
        """Wait for the threads, and remove the temp folder."""
        await asyncio.to_thread(self._threads.close)
        self._temps.close(self._remove_shown_lock)

    # -- reading ---------------------------------------------------------------------------------

    async def find(self, checksum: Checksum, forms: Sequence[Form]) -> AsyncGenerator[StoredFile, None]:
        """Open what is stored under a name, place by place, the preferred forms first."""
        for place in self._places:
            for form in forms:
                stored = await self._open(checksum, place, form)
                if stored is not None:
                    yield stored

    async def own(self, checksum: Checksum, form: Form) -> StoredFile | None:
        """Open what is stored under a name where uploads go."""
        return await self._open(checksum, self._places[0], form)

    async def _open(self, checksum: Checksum, place: Place, form: Form) -> StoredFile | None:
        arguments = (checksum, place.key, form, place.path(checksum, form))
        if self.is_network:
            return await self._threads.ask(open_stored, *arguments)
        try:
            return open_stored(*arguments)  # a few microseconds, a tenth of a thread's hop
        except OSError as error:
            raise from_os_error(error) from None

    def open_at_once(self, checksum: Checksum, forms: Sequence[Form]) -> StoredFile | None:
        """Open the first form that is stored; on a network file system that may take long: None."""
        for place in () if self.is_network else self._places:
            for form in forms:
                stored = open_stored(checksum, place.key, form, place.path(checksum, form))
                if stored is not None:
                    return stored
        return None

    async def read(self, stored: StoredFile, sink: Sink, pace: Pace | None = None) -> None:
        """Pass a stored file's plain bytes to `sink`."""
        with contextlib.closing(plain_pieces(stored.reader(), stored.form)) as pieces:
            await feed(self._threads, pieces, sink, pace=pace)

    async def pieces(self, stored: StoredFile) -> AsyncGenerator[bytes, None]:
        """Yield a stored file's plain bytes."""
        with contextlib.closing(plain_pieces(stored.reader(), stored.form)) as pieces:
            while piece := await self._threads.hash(next, pieces, b""):
                yield piece

    async def sync(self, stored: StoredFile) -> None:
        """Make a file durable that another program stored."""
        await self._threads.disk(self._sync, stored)

    def _sync(self, stored: StoredFile) -> None:
        if self._settings.fsync:
            os.fsync(stored.file.fileno())
            sync_folder(os.path.dirname(stored.path))
            sync_folder(self._places[0].root)

    async def present(self, checksums: Sequence[Checksum]) -> set[Checksum]:
        """Tell which of these are stored, in whatever form."""
        return await self._threads.ask(self._present, checksums)

    def _present(self, checksums: Sequence[Checksum]) -> set[Checksum]:
        found: set[Checksum] = set()
        for place in self._places:
            missing = [checksum for checksum in checksums if checksum not in found]
            found |= held(place, missing)
        if len(found) < len(checksums):
            refuse_gone(self._settings.directory, self._device)
        return found

    async def sizes(self, checksums: Sequence[Checksum]) -> dict[Checksum, int]:
        """Tell the plain sizes, by the file itself or by what stands beside a compressed form."""
        return await self._threads.ask(self._sizes, checksums)

    def _sizes(self, checksums: Sequence[Checksum]) -> dict[Checksum, int]:
        sizes: dict[Checksum, int] = {}
        for place in self._places:
            missing = [checksum for checksum in checksums if checksum not in sizes]
            for checksum in held(place, missing):
                size = size_of(place, checksum)
                if size is not None:
                    sizes[checksum] = size
        return sizes

    def is_absent(self, checksum: Checksum, places: Collection[str]) -> bool:
        """Tell for sure that nothing is stored under a name."""
        searched = {place.key: place.root for place in self._places}
        if not all(key in searched and os.path.isdir(searched[key]) for key in places):
            return False
        try:
            where = self._settings.directory, self._device
            there = not places or is_mounted(*where, writable=self.writable)
            return there and not self._present([checksum])
        except (OSError, FormatConflict, StoreFailed):
            return False

    def why_unusable(self) -> str | None:
        """Tell in a sentence why the directory can't be used now; None if it can."""
        where = self._settings.directory, self._places, self._device
        return why_unusable(*where, self.format, writable=self.writable)

    # -- going through all of it -----------------------------------------------------------------

    def parts(self) -> list[Part]:
        """Name the parts of all that is stored, in the order they are gone through."""
        return parts_of(self._places)

    async def listed(self, part: Part) -> list[Entry]:
        """List the files of a part, in the order of names."""
        return await self._threads.ask(list_part, self._place(part), part.digits)

    async def open_entry(self, part: Part, entry: Entry) -> StoredFile | None:
        """Open a file that was listed; None if it is gone."""
        return await self._open(entry.checksum, self._place(part), entry.form)

    def _place(self, part: Part) -> Place:
        return next(place for place in self._places if place.key == part.place)

    # -- writing ---------------------------------------------------------------------------------

    def has_room(self, size: int) -> bool:
        """Tell whether `size` more bytes are likely to fit."""
        return has_room(self._places[0].root, size)

    def upload(self, checksum: Checksum | None, form: Form, sinks: Sequence[Sink]) -> StreamedUpload:
        """Prepare to store a buffer; nothing happens before its `open`."""
        new = Upload(self._temps, self._target, checksum, form)
        return StreamedUpload(self._threads, new, sinks, fsync=self._settings.fsync)

    async def put(self, checksum: Checksum, data: bytes) -> Identity:
        """Store a whole, verified, small buffer in one hop to a thread."""
        return await self._threads.disk(self._put, checksum, data)

    def _put(self, checksum: Checksum, data: bytes) -> Identity:
        upload = Upload(self._temps, self._target, checksum, Form.PLAIN)
        try:
            upload.open()
            upload.write(data)
            return upload.commit(checksum, len(data))
        finally:
            upload.abort()

    async def turn(self, checksum: Checksum) -> Callable[[], None] | None:
        """Take the turn to do something long with a buffer."""
        return await self._threads.disk(turn_lock, self._target.lock, checksum, self.prepare)

    async def remove(self, checksum: Checksum) -> bool:
        """Remove a buffer in all its forms; what lies in an extra directory stays."""
        return await self._threads.disk(self._remove, checksum)

    def _remove(self, checksum: Checksum) -> bool:
        refuse_other(self._settings.directory, self._device, self.format)
        return remove_forms(checksum, self._places, self._target.lock, fsync=self._settings.fsync)

    async def quarantine(self, stored: StoredFile) -> bool:
        """Put a corrupt file aside, if it is ours, old enough and nobody is writing it."""
        place = self._places[0]
        if not self.writable or stored.place != place.key:
            return False
        timeout_s = self._settings.lock_timeout_s
        try:
            return await self._threads.disk(put_aside, stored, place, self.own_folder, timeout_s)
        except HashserverError as error:  # another user's, a read-only disk, ..: it stays
            log.warning("%s can't be put into quarantine: %s", stored.checksum, error)
            return False

    # -- waiting ---------------------------------------------------------------------------------

    async def promise(self, checksum: Checksum) -> None:
        """Announce a buffer; one that is held already needs no announcement."""
        await self._threads.ask(self._promise, checksum)

    def _promise(self, checksum: Checksum) -> None:
        if not held(self._places[0], [checksum]):
            self._promises.make(checksum)

    async def drop_promise(self, checksum: Checksum) -> None:
        """Take a promise back."""
        await self._threads.ask(self._promises.drop, checksum)

    async def pending(self, checksums: Sequence[Checksum]) -> set[Checksum]:
        """Tell which of these are promised, or being uploaded through another server."""
        return await self._threads.ask(self._pending, checksums)

    def _pending(self, checksums: Sequence[Checksum]) -> set[Checksum]:
        uploaded = self._temps.uploads_elsewhere()
        return self._promises.among(checksums) | uploaded.intersection(checksums)

    async def is_awaited(self, checksum: Checksum) -> bool:
        """Tell whether it is worth waiting for a buffer."""
        return await self._threads.ask(self._is_awaited, checksum)

    def _is_awaited(self, checksum: Checksum) -> bool:
        refuse_gone(self._settings.directory, self._device)
        locks = [lock for place in self._places for lock in place.locks(checksum)]
        return is_locked(locks, self._settings.lock_timeout_s) or bool(self._pending([checksum]))
