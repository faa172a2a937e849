"""Connections taken from listening sockets, which several workers may share.

One queue for all, so that nobody waits for a worker that hangs or died. But the kernel gives what is
in it to whoever comes first, at times all of it to one: so who has more connections than another
worker stands back for a moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import socket
from collections.abc import Iterator, Sequence

from aiohttp import web

from . import tls
from .shared_numbers import SharedNumbers
from .tls import Certificate

log = logging.getLogger(__name__)

LEAD = 2
"""So many connections more than another worker one may have without standing back."""

STAND_BACK_S = 0.004
"""A worker that is idle or has the next turn of a core comes within this time."""

TAKEN_AFTER = 4
"""What nobody else took meanwhile is taken, so many at a time: were all others to hang, 1,000 a second."""

COUNTED_EVERY_S = 0.25
"""Connections that end are noticed so often, as long as there are any; nobody tells of them."""

PAUSE_S = 1.0
"""After the system refused a connection, because too many files are open, for example."""

NOBODY = math.inf
"""The number of connections of a worker that takes none: nobody stands back for it."""


class Acceptor:
    """Takes connections for one worker, each time that some wait."""

    def __init__(
        self,
        server: web.Server,
        certificate: Certificate | None,
        connections: SharedNumbers,
        number: int,
    ) -> None:
        """`connections`: how many each worker has; this one is `number`."""
        self._server, self._certificate = server, certificate
        self._connections, self._own = connections, connections.of(number)
        self._loop = asyncio.get_running_loop()
        self._arriving: set[asyncio.Task[None]] = set()
        self._paused: dict[socket.socket, asyncio.TimerHandle] = {}
        self._counting: asyncio.TimerHandle | None = None

    @contextlib.contextmanager
    def taking_from(self, sockets: Sequence[socket.socket]) -> Iterator[None]:
        """Take connections from sockets, and close them at the end."""
        self._count()
        for listener in sockets:
            listener.setblocking(False)  # what one finds waiting another one may take first
            self._loop.add_reader(listener, self._meet, listener)
        try:
            yield
        finally:
            self._own[0] = NOBODY
            for timer in (*self._paused.values(), self._counting):
                if timer is not None:
                    timer.cancel()
            for listener in sockets:
                self._loop.remove_reader(listener)
                listener.close()

    def _count(self) -> None:
        """Tell the others how many connections this worker has."""
        self._own[0] = len(self._server.connections) + len(self._arriving)

    def _count_often(self) -> None:
        self._count()
        again = self._own[0] > 0
        self._counting = self._loop.call_later(COUNTED_EVERY_S, self._count_often) if again else None

    def _meet(self, listener: socket.socket) -> None:
        self._count()
        if self._own[0] > min(self._connections.all()) + LEAD:
            self._pause(listener, STAND_BACK_S)
        else:
            self._take(listener)

    def _pause(self, listener: socket.socket, pause_s: float) -> None:
        self._loop.remove_reader(listener)
        self._paused[listener] = self._loop.call_later(pause_s, self._resume, listener)

    def _resume(self, listener: socket.socket) -> None:
        self._loop.add_reader(listener, self._meet, listener)
        for _ in range(TAKEN_AFTER):
            if not self._take(listener):
                return

    def _take(self, listener: socket.socket) -> bool:
        """Take one connection; False if none waits any more."""
        try:
            connection, _ = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False
        except OSError as error:
            log.error("connections can't be taken: %s", error.strerror)
            self._pause(listener, PAUSE_S)
            return False
        arrival = self._loop.create_task(self._arrive(connection))
        self._arriving.add(arrival)
        arrival.add_done_callback(self._arriving.discard)
        if self._counting is None:
            self._count_often()
        return True

    async def _arrive(self, connection: socket.socket) -> None:
        try:
            if self._certificate is None:
                await self._loop.connect_accepted_socket(self._server, connection)
            else:
                await tls.shake_hands(self._server, connection, self._certificate.context)
        except OSError as error:  # gone before it was met
            log.debug("a connection came to nothing: %s", error)
            connection.close()
