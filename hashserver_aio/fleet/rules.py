"""What has to be so that a server can have nodes."""

from __future__ import annotations

from pathlib import Path

from ..errors import CannotStart
from ..fetching import parse_allowed
from ..settings import NodeRules, Settings
from ..store.files import OWN_FOLDER

KEY_FILE = "server-key.pem"

ALLOWING = "--node-allow"


def refuse(settings: Settings) -> None:
    """Refuse what could not work.

    Raises: CannotStart.
    """
    rules = settings.nodes
    if rules is None:
        return
    parse_allowed(rules.allow, ALLOWING)
    if settings.catalogue == "memory:" or (settings.catalogue is None and not settings.writable):
        raise CannotStart(
            "--replicas would forget the nodes; let it keep them: --writable, or --catalogue sqlite:PATH"
        )
    if rules.key is None and not settings.writable:
        raise CannotStart(
            "--replicas needs a key, which is not kept in DIR without --writable: --server-key F"
        )


def key_path(settings: Settings, rules: NodeRules) -> Path:
    """Say where a server's key is."""
    return rules.key or settings.directory / OWN_FOLDER / KEY_FILE
