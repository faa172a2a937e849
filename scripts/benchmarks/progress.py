"""Progress, for whoever watches: on stderr, so that the table alone is on stdout."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    """Tell what is going on."""
    print(f"bench: {text}", file=sys.stderr, flush=True)
