"""What a server needs for its nodes, for as long as the application runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from functools import partial

from aiohttp import web

from ...counting import PUSHES, RESCUES, Counts
from ...fetching import parse_allowed
from ...fleet import Holders, Links, Rescue, RescueEnd
from ...fleet.keeping import Keeper
from ...fleet.registering import Registering
from ...fleet.rules import ALLOWING, key_path
from ...fleet.suspicions import Suspicions
from ...fleet.timing import Timing
from ...holding import without_node
from ...nodes.keys import KeyPair
from ...nodes.messages import Numbers
from ...settings import NodeRules, Settings
from ...store.directory import DirectoryStore
from ...store.files import OWN_FOLDER
from ..keys import BUFFERS, COUNTS, MANIFESTS, NODES, REGISTERING, SETTINGS


@asynccontextmanager
async def fleet(app: web.Application, store: DirectoryStore) -> AsyncIterator[None]:
    """Have all that is needed, if the server is to have nodes.

    Raises: CannotStart, StoreFailed, FormatConflict.
    """
    settings = app[SETTINGS]
    if settings.nodes is None:
        yield
        return
    with await asyncio.to_thread(_by_itself, settings, store):
        async with _opened(app, settings, settings.nodes):
            yield


@asynccontextmanager
async def _opened(app: web.Application, settings: Settings, rules: NodeRules) -> AsyncIterator[None]:
    buffers, counts = app[BUFFERS], app[COUNTS]
    rows = buffers.catalogue.nodes
    pair = await asyncio.to_thread(KeyPair.load_or_make, key_path(settings, rules))
    links = Links(pair, parse_allowed(rules.allow, ALLOWING), Numbers())
    timing = Timing(rules, pushed=lambda: counts.add(PUSHES), audited=counts.audited)
    suspicions = Suspicions(rows, timing)
    holders = Holders(rows, links, rules.online_s)
    rescue = Rescue(buffers, rows, holders, suspicions.tell, partial(_count_rescue, counts))
    keeper = Keeper(buffers, app[MANIFESTS], links, timing, key_path(settings, rules))
    app[NODES], app[REGISTERING] = rows, Registering(rows, links, pair, rules)
    buffers.replicas = rescue
    keeping = asyncio.create_task(keeper.run())
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await rescue.close()
        await suspicions.close()
        await links.close()


def _count_rescue(counts: Counts, end: RescueEnd) -> None:
    if end is not RescueEnd.LOST:
        counts.add(RESCUES)


def _by_itself(settings: Settings, store: DirectoryStore) -> AbstractContextManager[None]:
    """Keep nodes out of the server's directory, where a folder of ours is made; none is in one only read."""
    if not settings.writable:
        return nullcontext()
    store.prepare()
    return without_node(settings.directory / OWN_FOLDER)
