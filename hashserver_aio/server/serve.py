"""A server from its start to its end: one process, or several under a supervisor.

Whatever ends it, requests in flight are finished first, as long as the grace period allows.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable

from ..settings import Listening, Settings
from . import systemd
from .accepting import NOBODY, Acceptor
from .activity import Activity
from .app import create_app, refuse
from .keys import ACTIVITY, BUFFERS
from .listening import listening_sockets, port_of, refuse_strangers, with_public_url
from .running import MIN_REST_S, describe, running
from .shared_numbers import SharedNumbers
from .status_file import StatusFile
from .supervisor import ON_SIGNALS
from .tls import certificate_in
from .workers import serve_with_workers

log = logging.getLogger(__name__)

LOCK_TURN_S = 0.001
"""How long a thread keeps the interpreter's lock while the event loop wants it: Python's own 5 ms
are longer than a hundred small answers take."""


def run(settings: Settings, listening: Listening, announce: Callable[[str], None]) -> None:
    """Serve, with as many processes as asked for; with one, it is this one.

    Raises: what `serve` raises; KeyboardInterrupt, before the signals are taken over.
    """
    raise_file_limit()
    sys.setswitchinterval(LOCK_TURN_S)
    if listening.tls is not None or not has_terminal():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to read anew
    if listening.workers > 1:
        serve_with_workers(settings, listening, announce)
    else:
        asyncio.run(serve(settings, listening, announce))


async def serve(settings: Settings, listening: Listening, announce: Callable[[str], None]) -> None:
    """Serve until a signal or the timeout ends it; `announce` is told what is served where.

    Raises: CannotStart, FormatConflict, StoreFailed, before anything is announced.
    """
    status = await StatusFile.found(listening.status_file) if listening.status_file else None
    async with contextlib.AsyncExitStack() as started:
        try:
            refuse(settings)  # before anything is opened, or made
            certificate = certificate_in(listening.tls)
            sockets = listening_sockets(listening)
            settings = refuse_strangers(with_public_url(settings, listening, sockets), sockets)
            app = create_app(settings)
            server = await started.enter_async_context(running(app, listening))
            acceptor = Acceptor(server, certificate, SharedNumbers(1, NOBODY), 0)
            started.enter_context(acceptor.taking_from(sockets))
            stopped = _stop_on_signals()
            if certificate is not None:
                asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, certificate.reload)
            if status is not None:
                await status.running(port_of(sockets[0]))
        except BaseException:
            if status is not None:
                await status.failed()
            raise
        systemd.notify("READY=1")
        announce(describe(settings, listening, app[BUFFERS].store.format, sockets))
        await _stopped(stopped, app[ACTIVITY], listening.timeout_s)
        systemd.notify("STOPPING=1")


async def _stopped(stopped: asyncio.Event, activity: Activity, timeout_s: float | None) -> None:
    """Wait for a signal, or until nobody has been served for `timeout_s`."""
    while not stopped.is_set():
        rest_s = None if timeout_s is None else max(MIN_REST_S, timeout_s - activity.idle_s)
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


def has_terminal() -> bool:
    """Tell whether this process ends with a terminal; for a service SIGHUP can only mean: read anew."""
    try:
        os.close(os.open(os.ctermid(), os.O_RDONLY | os.O_NOCTTY))
        return True
    except OSError:
        return False


def raise_file_limit() -> None:
    """Allow as many open files as the system lets us: each transfer takes two."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
