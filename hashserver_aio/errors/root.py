"""What every error of this package is."""

from __future__ import annotations


class HashserverError(Exception):
    """What every error of this package is."""
