"""The web-root while the application runs, and what is said of it at the start."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager

from ...settings import Settings
from ...webroot import WebRoot

log = logging.getLogger(__name__)


@contextmanager
def served(settings: Settings, taken: Iterable[str]) -> Iterator[WebRoot | None]:
    """Have the web-root, if there is to be one, but for names at the top that are `taken`.

    Raises: CannotStart, if it can't be served.
    """
    if settings.web_root is None:
        yield None
        return
    with closing(WebRoot(settings.web_root, settings, taken)) as root:
        yield root


def warn_of_shadowed(root: WebRoot | None) -> None:
    """Say what of the web-root nobody can reach, as its name means something else to this server."""
    shadowed = root.shadowed() if root is not None else []
    if shadowed:
        log.warning(
            "not served of the web-root, as this server has paths of these names: %s", ", ".join(shadowed)
        )
