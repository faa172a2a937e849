"""A node as it starts: whom it holds buffers for, and as who.

Nothing is made, and nobody is trusted, before it is known that the directory can hold that server's buffers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from ..errors import CannotStart, ServerTrouble
from ..nodes.keys import KeyPair
from ..settings import Holding, Settings
from ..store.files import OWN_FOLDER
from ..store.format import detect
from .calls import Calls, about
from .origins import origin_of
from .pinned import PIN_FILE, Server, alone, pin, pinned

log = logging.getLogger(__name__)


class Node(NamedTuple):
    """What this node is: its key, its server, and the way to say something to that.

    `pin`: the file that says who its server is. `missed`: why it was not met at this start, "" if it was.
    """

    pair: KeyPair
    server: Server
    calls: Calls
    pin: Path
    missed: str = ""


@contextlib.asynccontextmanager
async def joined(settings: Settings, holding: Holding) -> AsyncIterator[Node]:
    """Be a node for a while; the server need not be there, once it has been met.

    Raises: CannotStart.
    """
    url, folder = origin_of(holding.server), settings.directory / OWN_FOLDER
    before = await asyncio.to_thread(pinned, folder)
    server, missed = await _met(url, before, folder / PIN_FILE)
    await asyncio.to_thread(_refuse_names, settings.directory, server)
    with alone(folder):
        pair = await asyncio.to_thread(KeyPair.load_or_make, holding.key)
        if server != before:
            await asyncio.to_thread(pin, folder, server)
        log.info("node %s of server %s", pair.id, server.key.hex())
        yield Node(pair, server, Calls(url, pair, server), folder / PIN_FILE, missed)


async def _met(url: str, before: Server | None, path: Path) -> tuple[Server, str]:
    """Ask the server who it is; if it can't be asked, for some reason, it is who it was before."""
    try:
        server = await about(url)
    except ServerTrouble as error:
        if before is None:
            raise CannotStart(f"a node has to meet its server when it first starts: {error}") from None
        log.warning("holding what the server has placed here, though it is not met: %s", error)
        return before, str(error)
    if before is not None and before.key != server.key:
        raise CannotStart(
            f"the server at {url} has another key, {server.key.hex()}, than before, {before.key.hex()}. "
            f"If that is meant to be so, remove {path} to trust it"
        )
    return server, ""


def _refuse_names(directory: Path, server: Server) -> None:
    """Refuse a directory whose buffers are named otherwise than the server's. Raises: CannotStart."""
    found = detect(directory)
    algorithm = found.recorded.algorithm if found.recorded is not None else found.algorithm
    if algorithm not in (None, server.algorithm):
        raise CannotStart(
            f"the server names buffers by {server.algorithm}, and those in {directory} are named by "
            f"{algorithm}: give this node another directory"
        )
