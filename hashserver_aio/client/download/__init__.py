"""Downloading a file: by parts, from several servers, each block checked as it arrives, and never from the
start again.
"""

from __future__ import annotations

from .ranges import Source
from .running import Download
from .target import Address, Target, Whole, of_name, parse_address

__all__ = ["Address", "Download", "Source", "Target", "Whole", "of_name", "parse_address"]
