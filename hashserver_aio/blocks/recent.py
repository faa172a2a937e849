"""Manifests in memory: those used last, up to so many bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar


class Weighed(Protocol):
    """What says how much memory it takes."""

    @property
    def memory_bytes(self) -> int:
        """Reckon what it takes in memory."""


K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Weighed)


class Recent(Generic[K, V]):
    """Manifests by what they are of; the one used longest ago makes room."""

    def __init__(self, limit_bytes: int) -> None:
        """`limit_bytes`: of all together, except that one alone may be larger."""
        self._limit_bytes = limit_bytes
        self._manifests: OrderedDict[K, V] = OrderedDict()
        self._bytes = 0

    def get(self, key: K) -> V | None:
        """Find a manifest."""
        manifest = self._manifests.get(key)
        if manifest is not None:
            self._manifests.move_to_end(key)
        return manifest

    def keep(self, key: K, manifest: V) -> None:
        """Keep a manifest, in the place of what was kept for this key."""
        self.drop(key)
        self._manifests[key] = manifest
        self._bytes += manifest.memory_bytes
        while self._bytes > self._limit_bytes and len(self._manifests) > 1:
            self.drop(next(iter(self._manifests)))

    def drop(self, key: K) -> None:
        """Keep nothing for a key."""
        manifest = self._manifests.pop(key, None)
        if manifest is not None:
            self._bytes -= manifest.memory_bytes
