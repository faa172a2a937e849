"""A digester that also digests the blocks and leaves of what it is fed, in the same pass."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

from ..checksums import Algorithm, Digester, Hash, Hashed, NewHash, new_hash
from .manifest import Manifest
from .merkle import LEAF_BYTES, Root


class _Cutter:
    """Cuts bytes into units of one size, and tells what each of them hashes to."""

    def __init__(self, size: int, begin: Callable[[], Hash], tell: Callable[[bytes], object]) -> None:
        self._size = self._room = size
        self._begin = begin
        self._tell = tell
        self._hash = begin()

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes."""
        view = memoryview(data)
        while view:
            piece, view = view[: self._room], view[self._room :]
            self._hash.update(piece)
            self._room -= len(piece)
            if not self._room:
                self._end()

    def finish(self) -> None:
        """No more bytes come: what there is of a last unit is one."""
        if self._room < self._size:
            self._end()

    def _end(self) -> None:
        self._tell(self._hash.digest())
        self._hash, self._room = self._begin(), self._size


class _Tree:
    """Hashes the leaves of bytes: the root over those of each block, and over all."""

    def __init__(self, block_size: int, new: NewHash) -> None:
        self.roots = bytearray()
        self.root = Root(new)
        self._new = new
        self._a_block = block_size // LEAF_BYTES
        self._leaves = 0
        self._block = Root(new)
        self._cutter = _Cutter(LEAF_BYTES, lambda: new(b"\x00"), self._add)
        self.update = self._cutter.update

    def _add(self, leaf: bytes) -> None:
        self._block.add(leaf)
        self._leaves += 1
        if self._leaves == self._a_block:
            self._end_block()

    def _end_block(self) -> None:
        root = self._block.digest()
        self.roots += root
        self.root.add(root)
        self._block, self._leaves = Root(self._new), 0

    def finish(self) -> None:
        """No more bytes come."""
        self._cutter.finish()
        if self._leaves:
            self._end_block()


class BlockDigester(Digester):
    """Computes, in the same pass, what the blocks and leaves of a buffer hash to.

    It may be asked from another thread how far it is.
    """

    def __init__(self, algorithm: Algorithm, block_size: int, tell: Hashed | None = None) -> None:
        super().__init__(algorithm, tell)
        new = new_hash(algorithm)
        self._block_size = block_size
        self._hashed = tell
        self._sha1s, self._digests = bytearray(), bytearray()
        self._tree = _Tree(block_size, new)
        self._takers: tuple[tuple[str, _Cutter | _Tree], ...] = (
            ("sha1", _Cutter(block_size, _new_sha1, self._sha1s.extend)),
            (algorithm, _Cutter(block_size, lambda: new(b""), self._digests.extend)),
            (algorithm, self._tree),
        )

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes."""
        super().update(data)
        for name, taker in self._takers:
            began_s = time.perf_counter()
            taker.update(data)
            if self._hashed is not None:
                self._hashed(name, len(data), time.perf_counter() - began_s)

    @property
    def sha1s(self) -> bytes:
        """The SHA-1s of the blocks that are whole so far, packed."""
        return bytes(self._sha1s)

    def finish(self) -> Manifest:
        """Tell all, after the last bytes."""
        for _, taker in self._takers:
            taker.finish()
        packed = bytes(self._sha1s), bytes(self._digests), bytes(self._tree.roots)
        return Manifest(self.algorithm, self.size, self._block_size, *packed, self._tree.root.digest())


def _new_sha1() -> Hash:
    return hashlib.sha1(usedforsecurity=False)  # which clients of reliable download check
