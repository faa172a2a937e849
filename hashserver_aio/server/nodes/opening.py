"""What a server needs for its nodes, for as long as the application runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext, suppress
from functools import partial

from aiohttp import web

from ...catalogue import Catalogue
from ...catalogue.nodes import NodeState
from ...counting import PUSHES, RESCUES, Counts
from ...errors import HashserverError
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
from ..background import in_background
from ..keys import BUFFERS, COUNTS, MANIFESTS, NODES, REGISTERING, SETTINGS

log = logging.getLogger(__name__)

KEY_NOTE = "server key"


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
    with suppress(HashserverError):  # what can't be read or written now is no reason not to serve
        await _warn_of_other_key(buffers.catalogue, pair)
    links = Links(pair, parse_allowed(rules.allow, ALLOWING), Numbers())
    timing = Timing(rules, pushed=lambda: counts.add(PUSHES), audited=counts.audited)
    suspicions = Suspicions(rows, timing)
    holders = Holders(rows, links, rules.online_s)
    rescue = Rescue(buffers, rows, holders, suspicions.tell, partial(_count_rescue, counts))
    lock, secret = key_path(settings, rules), pair.secret(b"placing")
    keeper = Keeper(buffers, app[MANIFESTS], links, timing, lock, secret)
    app[NODES], app[REGISTERING] = rows, Registering(rows, links, pair, rules)
    buffers.replicas = rescue
    try:
        async with in_background(keeper.run()):
            yield
    finally:
        await rescue.close()
        await suspicions.close()
        await links.close()


async def _warn_of_other_key(catalogue: Catalogue, pair: KeyPair) -> None:
    """Say so where nodes know this server by a key that is gone: they would be silent."""
    before = catalogue.note(KEY_NOTE)
    if before == pair.id:
        return
    count = sum(node.state is not NodeState.REMOVED for node in await catalogue.nodes.all())
    if before and count:
        log.error(
            "this server's key is another one than before; %d nodes know it by the old one, %s: they will "
            "not speak to it. Put the old key back, or have each remove DIR/.hashserver-aio/node-server",
            count,
            before,
        )
    await catalogue.keep_note(KEY_NOTE, pair.id)


def _count_rescue(counts: Counts, end: RescueEnd) -> None:
    if end is not RescueEnd.LOST:
        counts.add(RESCUES)


def _by_itself(settings: Settings, store: DirectoryStore) -> AbstractContextManager[None]:
    """Keep nodes out of the server's directory, where a folder of ours is made; none is in one only read."""
    if not settings.writable:
        return nullcontext()
    store.prepare()
    return without_node(settings.directory / OWN_FOLDER)
