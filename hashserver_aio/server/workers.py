"""One directory served by several processes, which share the listening sockets and the directory.

What can be refused is refused before anything is forked, so that it is said once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Sequence

from ..errors import HashserverError
from ..settings import Listening, Settings
from . import systemd
from .accepting import NOBODY, Acceptor
from .activity import SharedActivity
from .app import create_app, refuse
from .columns import server_counts
from .keys import ACTIVITY
from .listening import listening_sockets, port_of, refuse_strangers
from .running import MIN_REST_S, describe, running
from .shared_numbers import SharedNumbers
from .status_file import StatusFile
from .supervisor import Link, Supervisor
from .tls import Certificate, certificate_in

log = logging.getLogger(__name__)

CLEANING_UP_S = 15.0
"""What a worker gets beyond the grace period before it is killed: commits under way end in it."""


def serve_with_workers(settings: Settings, listening: Listening, announce: Callable[[str], None]) -> None:
    """Serve until a signal or the timeout ends it; `announce` is told what is served where.

    Raises: CannotStart, FormatConflict, before anything is announced; KeyboardInterrupt, on a
    signal before that.
    """
    # The threads of such a short-lived event loop have ended when it has, as they must before a fork.
    status = asyncio.run(StatusFile.found(listening.status_file)) if listening.status_file else None
    with contextlib.ExitStack() as started:
        try:
            format_ = refuse(settings)
            certificate = certificate_in(listening.tls)
            sockets = listening_sockets(listening)
            settings = refuse_strangers(settings, sockets)
            crew = _Crew(settings, listening, sockets, certificate)
            reload = certificate.reload if certificate else None
            supervisor = Supervisor(listening.workers, crew.work, crew.bury, reload)
            started.callback(_stop, supervisor, sockets, listening.grace_s)
            supervisor.start()
            if status is not None:
                asyncio.run(status.running(port_of(sockets[0])))
        except BaseException:
            if status is not None:
                asyncio.run(status.failed())
            raise
        systemd.notify("READY=1")
        announce(describe(settings, listening, format_, sockets))
        supervisor.watch(lambda: _rest_s(crew.activity, listening.timeout_s))
        systemd.notify("STOPPING=1")


def _stop(supervisor: Supervisor, sockets: Sequence[socket.socket], grace_s: float) -> None:
    """Stop all workers; also here nobody may queue up any more, or they would wait for nothing."""
    for listener in sockets:
        listener.close()
    supervisor.stop(grace_s + CLEANING_UP_S)


def _rest_s(activity: SharedActivity, timeout_s: float | None) -> float | None:
    if timeout_s is None:
        return None
    idle_s = activity.idle_s
    if idle_s < timeout_s:
        return max(MIN_REST_S, timeout_s - idle_s)
    log.info("no request for %g s: stopping", timeout_s)
    return 0.0


class _Crew:
    """What the workers share, and what each of them does."""

    def __init__(
        self,
        settings: Settings,
        listening: Listening,
        sockets: Sequence[socket.socket],
        certificate: Certificate | None,
    ) -> None:
        self._settings, self._listening, self._sockets = settings, listening, sockets
        self._certificate = certificate
        self.activity = SharedActivity(listening.workers)
        self._counts = server_counts(listening.workers)
        self._connections = SharedNumbers(listening.workers, NOBODY)

    def bury(self, number: int) -> None:
        """A worker died: it serves nobody, and takes no connection."""
        self.activity.end(number)
        self._counts[number].died()
        self._connections.of(number)[0] = NOBODY

    def work(self, link: Link) -> int:
        """Be a worker: the exit code."""
        try:
            asyncio.run(self._serve(link))
            return 0
        except HashserverError as error:
            link.failed(str(error))
            return 1

    async def _serve(self, link: Link) -> None:
        """Serve until SIGTERM or the end of the leash."""
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()

        def let_go() -> None:
            loop.remove_reader(link.leash)
            stopped.set()

        loop.add_reader(link.leash, let_go)
        loop.add_signal_handler(signal.SIGTERM, stopped.set)
        if self._certificate is not None:
            loop.add_signal_handler(signal.SIGHUP, self._certificate.reload)
        app = create_app(self._settings, self._counts[link.number])
        app[ACTIVITY].publish(self.activity.of(link.number))
        async with running(app, self._listening) as server:
            acceptor = Acceptor(server, self._certificate, self._connections, link.number)
            with acceptor.taking_from(self._sockets):
                link.ready()
                await stopped.wait()
