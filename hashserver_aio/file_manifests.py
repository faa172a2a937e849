"""Manifests of files of the web-root: what their blocks hash to, until anything about them changes.

There is no name to verify them by. So all is bound to a file's identity, and nothing is read before a later
write must show in that; what is read of a file that is not the same any more is neither told nor kept.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from contextlib import closing
from functools import partial

from .blocks import BlockDigester, Recent
from .buffers import Buffers
from .catalogue import Digested
from .checksums import Checksum
from .counting import Counts
from .digesting import Digesting, Job
from .errors import Busy, FileChanged, NoSuchFile, StoreFailed
from .manifests import MAX_RECENT_BYTES, SOON_S, Progress, check_blocks, ended
from .store import Form, Identity
from .store.encodings import plain_pieces
from .store.files import FileId, read_from_start
from .store.streaming import feed
from .store.threads import Threads
from .verifying import SETTLED_S
from .webroot import WebFile, WebPath, WebRoot

log = logging.getLogger(__name__)


class FileManifests:
    """The manifests of a web-root's files, with blocks of one size."""

    def __init__(
        self, root: WebRoot, buffers: Buffers, digesting: Digesting, block_size: int, counts: Counts
    ) -> None:
        self._root = root
        self._algorithm = buffers.store.format.algorithm
        self._catalogue = buffers.catalogue
        self._digesting = digesting
        self._block_size = block_size
        self._counts = counts
        self._threads = Threads()
        self._recent = Recent[FileId, Digested](MAX_RECENT_BYTES)

    def close(self) -> None:
        """Let the threads go; nothing is being digested any more."""
        self._threads.close()

    # -- asking ----------------------------------------------------------------------------------

    async def progress(self, opened: WebFile) -> Progress:
        """Tell what is known of an open file by now; the rest is computed meanwhile.

        Raises: FileChanged, if it is not what it was when it was opened; BufferTooLarge, Busy, StoreFailed.
        """
        found = self._found(opened)
        if isinstance(found, Job):
            digested = await found.wait(SOON_S)
            sha1s = found.sha1s if digested is None else digested.manifest.sha1s
        else:
            sha1s = found.manifest.sha1s
        # Only now, as what these were computed from was read before.
        if not opened.is_same():
            raise FileChanged
        return Progress(opened.identity.size, self._block_size, sha1s)

    async def get(self, opened: WebFile) -> Digested:
        """Tell all of what an open file was when it was opened, after waiting for it.

        Raises as `progress` does; NotYet, if it takes longer.
        """
        found = self._found(opened)
        return await ended(found) if isinstance(found, Job) else found

    # -- computing -------------------------------------------------------------------------------

    def _found(self, opened: WebFile) -> Digested | Job[Digested]:
        """Find what is known of a file, or the job that computes it: one, whatever paths lead to it."""
        file, identity = opened.id, opened.identity
        return self._digesting.job((file, identity)) or self._kept(file, identity) or self._begin(opened)

    def _kept(self, file: FileId, identity: Identity) -> Digested | None:
        digested = self._recent.get(file)
        if digested is not None and digested.identity == identity:
            return digested
        digested = self._catalogue.digested(file, self._block_size)
        if digested is None or digested.identity != identity:
            return None
        if digested.manifest.algorithm is not self._algorithm:  # of another directory
            return None
        self._recent.keep(file, digested)
        return digested

    def _begin(self, opened: WebFile) -> Job[Digested]:
        file, identity = opened.id, opened.identity
        job = Job[Digested](identity.size, self._block_size)
        check_blocks(job)
        # Not the open file: many may wait for their turns.
        return self._digesting.begin(
            (file, identity), job, partial(self._compute, opened.names, file, identity)
        )

    async def _compute(
        self, names: tuple[bytes, ...], file: FileId, identity: Identity, job: Job[Digested]
    ) -> Digested:
        """Read a file when there is a turn, unless another server does: then wait for what it finds."""
        await asyncio.sleep(_unsettled_s(identity))
        async with self._digesting.alone(_name(file, identity)):
            kept = self._kept(file, identity)
            if kept is not None:
                return kept
            try:
                opened = await self._root.open(WebPath(names, False))
            except NoSuchFile:
                raise FileChanged from None  # there was one
            with closing(opened.file):
                if (opened.id, opened.identity) != (file, identity):
                    raise FileChanged
                return await self._digest(opened, job)

    async def _digest(self, opened: WebFile, job: Job[Digested]) -> Digested:
        async def check(_: int) -> None:
            if not opened.is_same():
                raise FileChanged

        digester = BlockDigester(self._algorithm, self._block_size, self._counts.hashed)
        job.digester = digester
        with closing(plain_pieces(read_from_start(opened.file.fileno()), Form.PLAIN)) as pieces:
            await feed(self._threads, pieces, digester, pace=check)
        await check(0)
        if digester.size != job.size:  # as with files that say nothing of their size
            raise FileChanged
        digested = Digested(opened.identity, digester.checksum, digester.finish())
        self._recent.keep(opened.id, digested)
        try:
            await self._catalogue.keep_digested(opened.id, digested)
        except (StoreFailed, Busy) as error:
            log.warning("what a file of the web-root hashes to is not catalogued: %s", error)
        return digested


def _unsettled_s(identity: Identity) -> float:
    """Tell how long a further write could fall into the same tick of the file system's clock.

    Where that is ahead of ours nothing can be told by it: as long as its tick is.
    """
    age_s = identity.age_s
    return SETTLED_S - max(0.0, age_s) if age_s < SETTLED_S else 0.0


def _name(file: FileId, identity: Identity) -> Checksum:
    """Name what is digested, for a lock that is by checksums."""
    return Checksum(hashlib.sha256(repr((file, identity)).encode()).hexdigest())
