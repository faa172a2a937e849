"""Manifests in memory: those used last, up to so many bytes."""

from __future__ import annotations

from collections import OrderedDict

from ..checksums import Checksum
from .manifest import Manifest


class Recent:
    """Manifests by checksum; the one used longest ago makes room."""

    def __init__(self, limit_bytes: int) -> None:
        """`limit_bytes`: of all together, except that one alone may be larger."""
        self._limit_bytes = limit_bytes
        self._manifests: OrderedDict[Checksum, Manifest] = OrderedDict()
        self._bytes = 0

    def get(self, checksum: Checksum) -> Manifest | None:
        """Find a manifest."""
        manifest = self._manifests.get(checksum)
        if manifest is not None:
            self._manifests.move_to_end(checksum)
        return manifest

    def keep(self, checksum: Checksum, manifest: Manifest) -> None:
        """Keep a manifest, in the place of what was kept for this checksum."""
        self.drop(checksum)
        self._manifests[checksum] = manifest
        self._bytes += manifest.memory_bytes
        while self._bytes > self._limit_bytes and len(self._manifests) > 1:
            self.drop(next(iter(self._manifests)))

    def drop(self, checksum: Checksum) -> None:
        """Keep nothing for a checksum."""
        manifest = self._manifests.pop(checksum, None)
        if manifest is not None:
            self._bytes -= manifest.memory_bytes
