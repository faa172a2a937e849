"""Manifests of buffers: what their blocks hash to, computed when first asked for, and kept.

A manifest says what a name stands for, so it holds for good; that there is such a buffer is asked of its file
each time. What does not hash to its name to the last byte never gets one.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, closing
from functools import partial
from typing import Any, NamedTuple, TypeVar, cast

from .blobs import Blob
from .blocks import MAX_BLOCKS, SHA1_BYTES, BlockDigester, Manifest, Proof, Recent, prove
from .buffers import Buffers
from .checksums import Checksum
from .counting import Counts
from .digesting import Digesting, Job
from .errors import BadArgument, BufferTooLarge, Busy, NotYet, StoreFailed
from .intake import finished

log = logging.getLogger(__name__)

R = TypeVar("R")

SOON_S = 0.25
"""What who may be told only a part waits for the whole: small buffers take less."""

WAIT_S = 20.0
"""What who needs the whole waits for it; then he is told to come again."""

MAX_RECENT_BYTES = 32 * 1024 * 1024
"""Manifests that are kept in memory; a larger one only as long as no other is asked for."""

PROVING_AT_ONCE = 4
"""Each holds a block in memory."""

MAX_PROVING = 256
"""Who comes when so many wait is told to come again."""


class Progress(NamedTuple):
    """How far the blocks of a buffer, or file, are known: `sha1s` are those of the first ones, packed."""

    size: int
    block_size: int
    sha1s: bytes


class Manifests:
    """The manifests of one store, with blocks of one size."""

    def __init__(self, buffers: Buffers, block_size: int, counts: Counts) -> None:
        self._buffers = buffers
        self._catalogue = buffers.catalogue
        self._block_size = block_size
        self._counts = counts
        self.digesting = Digesting(self._lock)
        self._recent = Recent[Checksum, Manifest](MAX_RECENT_BYTES)
        self._proving = asyncio.Semaphore(PROVING_AT_ONCE)
        self._provers = 0

    async def close(self) -> None:
        """Compute no more, and let nobody wait any longer."""
        await self.digesting.close()

    # -- asking ----------------------------------------------------------------------------------

    async def progress(self, checksum: Checksum) -> Progress:
        """Tell what is known by now; the rest is computed meanwhile.

        Raises: what `Buffers.open` raises; BufferTooLarge, Busy.
        """
        found = await self._found(checksum)
        manifest = found if isinstance(found, Manifest) else await found.wait(SOON_S)
        known = manifest or cast(Job[Manifest], found)
        return Progress(known.size, known.block_size, known.sha1s)

    async def get(self, checksum: Checksum) -> Manifest:
        """Tell all, after waiting for it. Raises as `progress` does; NotYet, if it takes longer."""
        found = await self._found(checksum)
        return found if isinstance(found, Manifest) else await ended(found)

    async def prove(self, checksum: Checksum, leaf: int) -> tuple[Manifest, Proof]:
        """Prove that a leaf is one of a buffer's. Raises as `get` does; BadArgument."""
        manifest = await self.get(checksum)
        if not 0 <= leaf < manifest.leaf_count:
            raise BadArgument(f"there is no leaf {leaf}: this buffer has {manifest.leaf_count}")
        proof = await self._proof(checksum, manifest, leaf)
        if proof is None:  # the file has rotted, or what was kept of it has: who is right?
            manifest = await self._anew(checksum, manifest.size)
            proof = await self._proof(checksum, manifest, leaf)
        if proof is None:
            raise Busy(f"{checksum} is being changed all the time; try again")
        return manifest, proof

    # -- computing -------------------------------------------------------------------------------

    async def _found(self, checksum: Checksum) -> Manifest | Job[Manifest]:
        """Find what is known of a buffer that is there, or the job that computes it."""
        job = self.digesting.job(checksum)
        if job is not None:
            return job
        manifest = self._kept(checksum)
        if manifest is not None:
            (await self._buffers.open(checksum)).close()
            return manifest
        size = await self._size(checksum)
        # Somebody else may have begun, or ended, meanwhile.
        return self.digesting.job(checksum) or self._kept(checksum) or self._begin(checksum, size)

    def _kept(self, checksum: Checksum) -> Manifest | None:
        manifest = self._recent.get(checksum)
        if manifest is None:
            manifest = self._catalogue.manifest(checksum, self._block_size)
            if manifest is not None:
                self._recent.keep(checksum, manifest)
        return manifest

    async def _size(self, checksum: Checksum) -> int:
        """Tell a buffer's plain size, if possible without reading it."""
        (size,) = await self._buffers.sizes([checksum])
        if size is None or size < 0:  # it may be that it is to be waited for
            with closing(await self._buffers.open(checksum)) as blob:
                return blob.size
        return size

    def _begin(self, checksum: Checksum, size: int, *, anew: bool = False) -> Job[Manifest]:
        job = Job[Manifest](size, self._block_size)
        check_blocks(job)
        return self.digesting.begin(checksum, job, partial(self._compute, checksum, anew))

    async def _compute(self, checksum: Checksum, anew: bool, job: Job[Manifest]) -> Manifest:
        """Read a buffer when there is a turn, unless another server does: then wait for what it finds."""
        async with self.digesting.alone(checksum):
            kept = None if anew else self._kept(checksum)
            return kept or await self._digest(checksum, job)

    async def _lock(self, name: Checksum) -> Callable[[], None] | None:
        store = self._buffers.store
        if store.writable and self._catalogue.is_shared:
            return await store.turn(name)
        return lambda: None  # nobody else would be told what it finds

    async def _digest(self, checksum: Checksum, job: Job[Manifest]) -> Manifest:
        def new_digester() -> BlockDigester:
            algorithm = self._buffers.store.format.algorithm
            job.digester = BlockDigester(algorithm, self._block_size, self._counts.hashed)
            return job.digester

        manifest = (await self._buffers.examine(checksum, new_digester)).finish()
        self._recent.keep(checksum, manifest)
        try:
            await self._catalogue.keep_manifest(checksum, manifest)
        except (StoreFailed, Busy) as error:
            log.warning("what the blocks of %s hash to is not catalogued: %s", checksum, error)
        return manifest

    async def _anew(self, checksum: Checksum, size: int) -> Manifest:
        """Compute a manifest whatever is kept. Raises as `get` does."""
        self._recent.drop(checksum)
        return await ended(self.digesting.job(checksum) or self._begin(checksum, size, anew=True))

    # -- proving ---------------------------------------------------------------------------------

    async def _proof(self, checksum: Checksum, manifest: Manifest, leaf: int) -> Proof | None:
        """Read the block of a leaf; None if it does not hash to what the manifest says."""
        if self._provers >= MAX_PROVING:
            raise Busy("too many proofs are asked for at a time; try again")
        self._provers += 1
        try:
            async with self._proving:
                with closing(await self._buffers.open(checksum, seekable=True)) as blob:
                    block = await _block(blob, *manifest.block_of(leaf))
                    return await finished(asyncio.to_thread(prove, manifest, leaf, block))
        finally:
            self._provers -= 1


async def _block(blob: Blob, first: int, length: int) -> bytes:
    if blob.file is not None:
        return await finished(asyncio.to_thread(os.pread, blob.file.fileno(), length, first))
    assert blob.pieces is not None
    return await _passing(blob.pieces, first, length)


async def _passing(pieces: AsyncGenerator[bytes, None], first: int, length: int) -> bytes:
    """Take some bytes of what can only be read from its start."""
    block, at = bytearray(), 0
    async with aclosing(pieces):
        async for piece in pieces:
            block += piece[max(0, first - at) : max(0, first + length - at)]
            at += len(piece)
            if len(block) == length:
                break
    return bytes(block)


def check_blocks(job: Job[Any]) -> None:
    """Raise BufferTooLarge if there are more blocks than are digested."""
    if job.block_count > MAX_BLOCKS:
        raise BufferTooLarge(
            f"this has more than {MAX_BLOCKS} blocks of {job.block_size} bytes; "
            "let the server have a larger --block-size"
        )


async def ended(job: Job[R]) -> R:
    """Give what a job found, after waiting for it. Raises: what went wrong; NotYet, if it takes longer."""
    found = await job.wait(WAIT_S)
    if found is None:
        done = len(job.sha1s) // SHA1_BYTES
        raise NotYet(f"the blocks are being digested, {done} of {job.block_count} so far; ask again")
    return found
