"""What has to be so that a registry can be served."""

from __future__ import annotations

import hashlib

from ..errors import BadAddress, CannotStart
from ..settings import Settings
from .addresses import parse_address


def refuse(settings: Settings) -> None:
    """Refuse a registry that could not work.

    Raises: CannotStart.
    """
    if settings.farmers is None:
        return
    try:
        parse_address(settings.farmers.server_address)
    except BadAddress:
        given = settings.farmers.server_address[:100]
        raise CannotStart(f"--server-address {given!r} is no Bitcoin address; name one, or none") from None
    if settings.catalogue == "memory:" or (settings.catalogue is None and not settings.writable):
        raise CannotStart(
            "--node-registry would forget its nodes; let it keep them: --writable, or --catalogue sqlite:PATH"
        )
    max_ping_s, online_s = settings.farmers.max_ping_s, settings.farmers.online_s
    if max_ping_s >= online_s:
        raise CannotStart(
            f"--max-ping {max_ping_s:g} would have nodes go offline however often they ping; take less than "
            f"the {online_s:g} seconds of --online-minutes"
        )
    try:
        hashlib.new("ripemd160")
    except ValueError:
        raise CannotStart(
            "--node-registry needs RIPEMD-160, which this OpenSSL has not; take 3.0.7 or newer"
        ) from None
