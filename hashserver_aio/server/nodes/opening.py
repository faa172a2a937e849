"""What a server needs for its nodes, for as long as the application runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from aiohttp import web

from ...fetching import parse_allowed
from ...fleet.links import Links
from ...fleet.registering import Registering
from ...fleet.rules import ALLOWING, key_path
from ...nodes.keys import KeyPair
from ...nodes.messages import Numbers
from ...settings import NodeRules, Settings
from ...store.directory import DirectoryStore
from ..keys import BUFFERS, NODES, REGISTERING, SETTINGS


@contextlib.asynccontextmanager
async def fleet(app: web.Application, store: DirectoryStore) -> AsyncIterator[None]:
    """Have all that is needed, if the server is to have nodes.

    Raises: CannotStart, StoreFailed, FormatConflict.
    """
    settings = app[SETTINGS]
    if settings.nodes is None:
        yield
        return
    pair = await asyncio.to_thread(_own_key, settings, settings.nodes, store)
    links = Links(pair, parse_allowed(settings.nodes.allow, ALLOWING), Numbers())
    try:
        app[NODES] = app[BUFFERS].catalogue.nodes
        app[REGISTERING] = Registering(app[NODES], links, pair, settings.nodes)
        yield
    finally:
        await links.close()


def _own_key(settings: Settings, rules: NodeRules, store: DirectoryStore) -> KeyPair:
    """Load or make the server's key, in its own folder of a directory that is ours, or elsewhere."""
    if rules.key is None:
        store.prepare()
    return KeyPair.load_or_make(key_path(settings, rules))
