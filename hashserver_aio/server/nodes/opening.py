"""What a server needs for its nodes, for as long as the application runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
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
from ...nodes.keys import KeyPair
from ...nodes.messages import Numbers
from ...settings import NodeRules, Settings
from ...store.directory import DirectoryStore
from ..keys import BUFFERS, COUNTS, MANIFESTS, NODES, REGISTERING, SETTINGS


@contextlib.asynccontextmanager
async def fleet(app: web.Application, store: DirectoryStore) -> AsyncIterator[None]:
    """Have all that is needed, if the server is to have nodes.

    Raises: CannotStart, StoreFailed, FormatConflict.
    """
    settings = app[SETTINGS]
    if settings.nodes is None:
        yield
        return
    rules, buffers, counts = settings.nodes, app[BUFFERS], app[COUNTS]
    rows = buffers.catalogue.nodes
    pair = await asyncio.to_thread(_own_key, settings, rules, store)
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


def _own_key(settings: Settings, rules: NodeRules, store: DirectoryStore) -> KeyPair:
    """Load or make the server's key, in its own folder of a directory that is ours, or elsewhere."""
    if rules.key is None:
        store.prepare()
    return KeyPair.load_or_make(key_path(settings, rules))
