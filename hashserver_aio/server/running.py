"""An application that answers, until it has drained."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Sequence

from aiohttp import web

from ..settings import Listening, Settings
from ..store.format import Format
from .keys import ACTIVITY, BUFFERS
from .listening import url_of
from .logs import ACCESS, AccessLog

log = logging.getLogger(__name__)

MIN_REST_S = 0.05
"""Whether it is time to stop is not asked more often."""

LAST_MOMENT_S = 0.5
"""What a request that outlived the grace period gets to clean up after itself."""


@contextlib.asynccontextmanager
async def running(app: web.Application, listening: Listening) -> AsyncIterator[web.Server]:
    """Open an application: what answers on connections; at the end finish requests in flight, and close it.

    Raises: CannotStart, FormatConflict, StoreFailed.
    """
    access_log = logging.getLogger(ACCESS) if listening.access_log else None
    runner = web.AppRunner(
        app, access_log=access_log, access_log_class=AccessLog, shutdown_timeout=LAST_MOMENT_S
    )
    try:
        await runner.setup()
        assert runner.server is not None
        yield runner.server
        await _drain(app, listening.grace_s)
    finally:
        await runner.cleanup()


async def _drain(app: web.Application, grace_s: float) -> None:
    """Release who waits for a buffer, and let the rest finish."""
    app[BUFFERS].close()
    await app[ACTIVITY].settle(grace_s)
    if app[ACTIVITY].in_progress:
        log.warning("%d requests cut off after %g s", app[ACTIVITY].in_progress, grace_s)


def describe(
    settings: Settings, listening: Listening, format_: Format, sockets: Sequence[socket.socket]
) -> str:
    """Say in a line what is served, how, and where."""
    mode = "writable" if settings.writable else "read-only"
    if settings.writable and not settings.fsync:
        mode += ", without fsync"
    if settings.holding is not None:
        mode = f"a node of {settings.holding.server}"
    if listening.workers > 1:
        mode += f", {listening.workers} workers"
    scheme = "https" if listening.tls else "http"
    urls = " ".join(url_of(listener, scheme) for listener in sockets)
    return f"serving {settings.directory} ({format_}, {mode}) on {urls}"
