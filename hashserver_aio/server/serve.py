"""A server process from its start to its end.

Whatever ends it, requests in flight are finished first, as long as the grace period allows.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
from collections.abc import AsyncIterator, Callable

from aiohttp import web

from ..settings import Listening, Settings
from . import systemd
from .activity import Activity
from .app import create_app
from .keys import ACTIVITY, BUFFERS
from .listening import BACKLOG, bound, port_of, url_of
from .logs import ACCESS, AccessLog
from .status_file import StatusFile

log = logging.getLogger(__name__)

LAST_MOMENT_S = 0.5
"""What a request that outlived the grace period gets to clean up after itself."""

ON_SIGNALS = (signal.SIGTERM, signal.SIGINT)


async def serve(settings: Settings, listening: Listening, announce: Callable[[str], None]) -> None:
    """Serve until a signal or the timeout ends it; `announce` is told what is served where.

    Raises: CannotStart, FormatConflict, StoreFailed, before anything is announced.
    """
    raise_file_limit()
    status = await StatusFile.found(listening.status_file) if listening.status_file else None
    async with contextlib.AsyncExitStack() as started:
        try:
            app = create_app(settings)
            sockets = await started.enter_async_context(_listening_app(app, listening))
            stopped = _stop_on_signals()
            if status is not None:
                await status.running(port_of(sockets[0]))
        except BaseException:
            if status is not None:
                await status.failed()
            raise
        systemd.notify("READY=1")
        announce(_describe(app, settings, sockets))
        await _stopped(stopped, app[ACTIVITY], listening.timeout_s)
        systemd.notify("STOPPING=1")


@contextlib.asynccontextmanager
async def _listening_app(app: web.Application, listening: Listening) -> AsyncIterator[list[socket.socket]]:
    access_log = logging.getLogger(ACCESS) if listening.access_log else None
    runner = web.AppRunner(
        app, access_log=access_log, access_log_class=AccessLog, shutdown_timeout=LAST_MOMENT_S
    )
    try:
        await runner.setup()
        sockets = systemd.listening_sockets() or [bound(listening.host, listening.ports)]
        for listener in sockets:
            await web.SockSite(runner, listener, backlog=BACKLOG).start()
        yield sockets
        await _drain(runner, app, listening.grace_s)
    finally:
        await runner.cleanup()


async def _drain(runner: web.AppRunner, app: web.Application, grace_s: float) -> None:
    """Take no more connections, release who waits for a buffer, and let the rest finish."""
    for site in list(runner.sites):
        await site.stop()
    app[BUFFERS].close()
    await app[ACTIVITY].settle(grace_s)
    if app[ACTIVITY].in_progress:
        log.warning("%d requests cut off after %g s", app[ACTIVITY].in_progress, grace_s)


async def _stopped(stopped: asyncio.Event, activity: Activity, timeout_s: float | None) -> None:
    """Wait for a signal, or until nobody has been served for `timeout_s`."""
    while not stopped.is_set():
        rest_s = None if timeout_s is None else max(0.05, timeout_s - activity.idle_s)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopped.wait(), rest_s)
        if timeout_s is not None and activity.idle_s >= timeout_s:
            log.info("no request for %g s: stopping", timeout_s)
            return


def _stop_on_signals() -> asyncio.Event:
    stopped = asyncio.Event()

    def stop() -> None:
        if stopped.is_set():
            os._exit(1)  # asked twice: nothing that was acknowledged can be lost by it
        stopped.set()

    for number in ON_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop)
    return stopped


def _describe(app: web.Application, settings: Settings, sockets: list[socket.socket]) -> str:
    mode = "writable" if settings.writable else "read-only"
    if settings.writable and not settings.fsync:
        mode += ", without fsync"
    urls = " ".join(map(url_of, sockets))
    return f"serving {settings.directory} ({app[BUFFERS].store.format}, {mode}) on {urls}"


def raise_file_limit() -> None:
    """Allow as many open files as the system lets us: each transfer takes two."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def run(settings: Settings, listening: Listening, announce: Callable[[str], None]) -> None:
    """Serve, with an event loop of its own.

    Raises: what `serve` raises; KeyboardInterrupt, before the signals are taken over.
    """
    asyncio.run(serve(settings, listening, announce))
