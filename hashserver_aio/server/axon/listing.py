"""What is held, and in what order it came: the parts of the Axon's API that list and count.

The Axon counts from 0 what the catalogue counts from 1.
"""

from __future__ import annotations

import asyncio
import time

from aiohttp import web

from ...catalogue import Held, Page
from ...errors import BadBody, FeedChanged
from ..keys import BUFFERS
from ..receive import admit, expect_later
from .bodies import read_sha256s
from .files import hashset_as_json
from .names import SHA256, Right, allowed, checksum_of, sha256_in
from .parts import parts_of, refuse_no_parts
from .queries import flag, number, seconds
from .streams import Lines, line, stream
from .words import BASE, ok, ok_list

AXON = f"{BASE}axon"

END_SEQ = 2**62
"""Behind all that ever came: a page from here has only its feed's identity."""

CALM_S = 0.03
"""A follower takes what comes in this time together: a busy server has better things to do than to
tell each of many followers of each arrival by itself."""

SLICE_NAMES = 200
"""Names looked up, each in some 15 us, before others have a turn."""

MAX_PARTS = 10_000
"""So many buffers may come in one body."""


def routes() -> list[web.RouteDef]:
    """Name the routes."""
    return [
        *allowed(
            Right.HAS,
            web.get(f"{AXON}/size/{SHA256}", size, allow_head=False),
            web.get(f"{AXON}/hashset/{SHA256}", hashset, allow_head=False),
            web.get(f"{AXON}/hashes", hashes, allow_head=False),
            web.get(f"{AXON}/history", history, allow_head=False),
            web.get(f"{AXON}/metrics", metrics, allow_head=False),
            web.post(f"{AXON}/wants", wants),
        ),
        *allowed(Right.UPLOAD, web.post(f"{AXON}/puts", puts, expect_handler=expect_later)),
    ]


async def size(request: web.Request) -> web.Response:
    """Tell a buffer's size in bytes; null if it is not held."""
    buffers = request.app[BUFFERS]
    checksum = buffers.named(sha256_in(request))
    if checksum is None:
        return ok(None)
    (found,) = await buffers.sizes([checksum])
    return ok(None if found == -1 else found)


async def hashset(request: web.Request) -> web.Response:
    """Tell all that a buffer is called."""
    checksum = checksum_of(request, sha256_in(request))
    return ok(hashset_as_json(await request.app[BUFFERS].hashset(checksum)))


async def metrics(request: web.Request) -> web.Response:
    """Tell how much is held."""
    totals = request.app[BUFFERS].catalogue.totals()
    return ok({"size:bytes": totals.size, "file:count": totals.count})


async def wants(request: web.Request) -> web.Response:
    """Tell which of a list of buffers are not held."""
    buffers, names = request.app[BUFFERS], await read_sha256s(request)
    checksums = {}
    for count, name in enumerate(dict.fromkeys(names)):
        if count % SLICE_NAMES == 0:
            await asyncio.sleep(0)
        checksum = buffers.named(name.lower())
        if checksum is not None:
            checksums[name] = checksum
    held = await buffers.has(list(checksums.values()), promised=False)
    found = {name for name, is_held in zip(checksums, held, strict=True) if is_held}
    return await ok_list([name for name in names if name not in found])


async def puts(request: web.Request) -> web.Response:
    """Store every part of a multipart body: size and SHA-256 of each, once all are stored."""
    refuse_no_parts(request)
    await admit(request)
    stored: list[list[object]] = []
    async for body in parts_of(request):
        if len(stored) == MAX_PARTS:
            raise BadBody(f"a body may have {MAX_PARTS} parts at most")
        added = await request.app[BUFFERS].intake.add(body)
        stored.append([added.size, added.sha256.hex()])
    return await ok_list(stored)


# -- the feed ------------------------------------------------------------------------------------


async def hashes(request: web.Request) -> web.StreamResponse:
    """List `[index, [sha256, size]]` in the order of arrival, from an index on.

    With `wait`, also what comes from now on, until nothing has come for `timeout` seconds.
    """
    feed = _Feed(request)
    return await stream(request, feed.lines(), lambda: {"offset": feed.offset})


class _Feed:
    """Goes through the feed, as a request asks for it; `offset`: where to go on."""

    def __init__(self, request: web.Request) -> None:
        """Raises: BadArgument."""
        self._buffers = request.app[BUFFERS]
        self.offset = number(request, "offset", 0)
        self._feed_id = request.query.get("feed-id", "")
        self._is_told = False
        self._waits = flag(request, "wait")
        self._timeout_s = seconds(request, "timeout")

    async def lines(self) -> Lines:
        """Yield lines, a page at a time."""
        since_s = time.monotonic()
        while True:
            page = self._next_page()
            lines = self._introduction(page)
            lines += [line("item", [held.seq - 1, _item(held)]) for held in page.held if held.sha256]
            moved = page.next_seq - 1 > self.offset
            self.offset = page.next_seq - 1
            yield lines
            if moved:
                since_s = time.monotonic()
            elif not self._waits or (rest_s := self._timeout_s - (time.monotonic() - since_s)) <= 0:
                return
            else:
                await self._buffers.wait_for_any(rest_s)
                await asyncio.sleep(min(CALM_S, rest_s))

    def _next_page(self) -> Page:
        """Raises: FeedChanged, StoreFailed."""
        page = self._buffers.catalogue.feed(self.offset + 1)
        if self._feed_id and page.feed_id != self._feed_id:
            raise FeedChanged(f"this feed is {page.feed_id or 'empty'} now: begin anew, at 0")
        return page

    def _introduction(self, page: Page) -> list[str]:
        if self._is_told or not page.feed_id:
            return []
        self._feed_id, self._is_told = page.feed_id, True
        return [line("feed-id", page.feed_id)]


async def history(request: web.Request) -> web.StreamResponse:
    """List `[ms, [sha256, size]]` of all that came from `tick` to `tock`, deleted or not."""
    tick = number(request, "tick", 0)
    until_ms = number(request, "tock", 2**62) + 1
    return await stream(request, _history(request, tick, until_ms))


async def _history(request: web.Request, tick: int, until_ms: int) -> Lines:
    catalogue, after = request.app[BUFFERS].catalogue, (tick, 0)
    feed_id = catalogue.feed(END_SEQ).feed_id
    while True:
        found = catalogue.history(after, until_ms)
        if catalogue.feed(END_SEQ).feed_id != feed_id:
            raise FeedChanged("the catalogue was lost meanwhile: begin anew")
        if not found:
            return
        yield [line("item", [held.added_ms, _item(held)]) for held in found if held.sha256]
        after = (found[-1].added_ms, found[-1].seq)


def _item(held: Held) -> list[object]:
    return [(held.sha256 or b"").hex(), held.size]
