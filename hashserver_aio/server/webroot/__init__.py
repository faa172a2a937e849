"""The web-root's face: files of a folder at their paths, beside the buffers.

Buffers and all other paths of ours go before it; it only ever reads.
"""

from .files import PATH, routes
from .serving import served, warn_of_shadowed

__all__ = ["PATH", "routes", "served", "warn_of_shadowed"]
