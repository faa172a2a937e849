"""A node from its start to its end: it knows its server before its buffers are opened; then it pings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

from aiohttp import web

from ...catalogue import Catalogue
from ...errors import CannotStart
from ...fleet.announcements import MAX_CAPACITY
from ...holding import Pinging, joined, origin_of
from ...settings import Limits, Settings
from ...store.filesystem import free_bytes
from ..background import in_background
from ..keys import BUFFERS, SETTINGS
from .guard import GUARD, Guard
from .leaves import LEAF_TURNS, PROOF_TURNS, LeafTurns


async def known(app: web.Application) -> AsyncIterator[None]:
    """Know the server of this node; an empty directory becomes one of what that names buffers by.

    Raises: CannotStart.
    """
    settings = app[SETTINGS]
    assert settings.holding is not None
    async with joined(settings, settings.holding) as node:
        limits = Limits(size=settings.holding.capacity)
        app[SETTINGS] = replace(settings, algorithm=node.server.algorithm, limits=limits)
        app[GUARD], app[LEAF_TURNS], app[PROOF_TURNS] = Guard(node), LeafTurns(), LeafTurns()
        yield


async def pinging(app: web.Application) -> AsyncIterator[None]:
    """Tell the server where this node is, and that it lives. Raises: CannotStart."""
    settings, catalogue, node = app[SETTINGS], app[BUFFERS].catalogue, app[GUARD].node
    holding = settings.holding
    if holding is None or holding.public_url is None:
        raise CannotStart("say with --public-url where the server reaches this node")

    async def capacity() -> int:
        return await _capacity(settings, catalogue)

    pings = Pinging(node, origin_of(holding.public_url), holding.payout_address, capacity)
    async with in_background(pings.run()):
        yield


async def _capacity(settings: Settings, catalogue: Catalogue) -> int:
    """Tell how many bytes this node may hold, those held among them: what the disk has, or less if told so.

    Raises: StoreFailed; OSError.
    """
    free = await asyncio.to_thread(free_bytes, settings.directory)
    room = min(catalogue.totals().size + free, MAX_CAPACITY)
    limit = settings.limits.size
    return room if limit is None else min(room, limit)
