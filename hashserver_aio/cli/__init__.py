"""The command line: commands that parse and call."""

from __future__ import annotations

from .main import main

__all__ = ["main"]
