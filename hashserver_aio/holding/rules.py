"""What has to be so that a directory can be one of a node, as far as nobody has to be asked."""

from __future__ import annotations

from pathlib import Path

from ..errors import BadAddress, BadArgument, CannotStart
from ..farmers import parse_address
from ..settings import Settings
from ..store.files import OWN_FOLDER
from .origins import origin_of

KEY_FILE = "node-key.pem"


def default_key(directory: Path) -> Path:
    """Name the usual file of a node's key."""
    return directory / OWN_FOLDER / KEY_FILE


def refuse(settings: Settings) -> None:
    """Refuse what could not be a node.

    Raises: CannotStart.
    """
    holding = settings.holding
    if holding is None:
        return
    if not settings.writable:
        raise CannotStart("a node stores what it is given: its directory has to be writable")
    for name, url in (("--server", holding.server), ("--public-url", holding.public_url)):
        try:
            if url is not None:
                origin_of(url)
        except BadArgument as error:
            raise CannotStart(f"{name}: {error}") from None
    try:
        if holding.payout_address:
            parse_address(holding.payout_address)
    except BadAddress as error:
        raise CannotStart(f"--payout-address: {error}") from None
