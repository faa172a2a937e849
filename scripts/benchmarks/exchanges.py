"""Many HTTP exchanges at once from one thread, with sockets and epoll: a light load generator.

A body is never copied here: what lies in memory goes out by sendmsg, what lies in a file by sendfile.
"""

from __future__ import annotations

import itertools
import os
import re
import select
import socket
import time
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from .failures import MeasurementFailed

RECEIVE_BYTES = 512 * 1024
SILENCE_S = 300.0
"""Without any answer for so long, a run is given up."""

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)


@dataclass
class FilePart:
    """Bytes of an open file that are still to be sent."""

    descriptor: int
    offset: int
    left: int


Parts = deque[memoryview | FilePart]


@dataclass
class Totals:
    """What a run came to."""

    done: int = 0
    seconds: float = 0.0
    cpu_share: float = 0.0
    latencies_s: list[float] = field(default_factory=list)

    def quantile_ms(self, share: float) -> float:
        """Give the latency that a share of the requests stayed within."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000 if ordered else 0.0


class Connection:
    """A connection with at most one request on its way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self._buffer = memoryview(bytearray(RECEIVE_BYTES))
        self._parts: Parts = deque()
        self._head = bytearray()
        self._left: int | None = None
        self._status = 0
        self.began_s = 0.0

    def begin(self, parts: Parts) -> bool:
        """Start a request; whether it went out whole at once."""
        self._parts, self._head, self._left = parts, bytearray(), None
        self.began_s = time.perf_counter()
        return self.send()

    def send(self) -> bool:
        """Send what the socket takes; whether everything is out."""
        while self._parts:
            first = self._parts[0]
            try:
                if isinstance(first, FilePart):
                    self._send_file(first)
                else:
                    self._send_memory()
            except BlockingIOError:
                return False
        return True

    def _send_file(self, part: FilePart) -> None:
        sent = os.sendfile(self.socket.fileno(), part.descriptor, part.offset, part.left)
        if not sent:
            raise MeasurementFailed("the file to send became shorter")
        part.offset += sent
        part.left -= sent
        if not part.left:
            self._parts.popleft()

    def _send_memory(self) -> None:
        pieces = list(itertools.takewhile(lambda p: isinstance(p, memoryview), self._parts))
        sent = self.socket.sendmsg(pieces)  # type: ignore[arg-type]  # takewhile does not narrow
        while sent:
            first = self._parts.popleft()
            assert isinstance(first, memoryview)
            if sent < len(first):
                self._parts.appendleft(first[sent:])
                break
            sent -= len(first)

    def receive(self) -> int | None:
        """Take what has come; the status, once the answer is whole."""
        while True:
            try:
                count = self.socket.recv_into(self._buffer)
            except BlockingIOError:
                return None
            if not count:
                raise MeasurementFailed("the server hung up")
            if self._left is not None:
                self._left -= count
            elif not self._read_head(count):
                continue
            if self._left is not None and self._left <= 0:
                return self._status

    def _read_head(self, count: int) -> bool:
        self._head += self._buffer[:count]
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            return False
        length = _LENGTH.search(self._head, 0, end + 2)
        if length is None:
            raise MeasurementFailed(f"an answer without a length: {bytes(self._head[:end])!r}")
        self._status = int(self._head[9:12])
        self._left = int(length[1]) - (len(self._head) - end - 4)
        return True


class Run:
    """Requests sent over some connections, each as soon as the one before is answered."""

    def __init__(
        self, port: int, requests: Iterator[Parts], connections: int, wanted: Collection[int]
    ) -> None:
        self._requests = requests
        self._wanted = wanted
        self._poll = select.epoll()
        self._busy: dict[int, Connection] = {}
        self._idle = [Connection(port) for _ in range(connections)]
        self._totals = Totals()

    def drive(self, seconds: float | None, uncounted: int = 0) -> Totals:
        """Run for some seconds after `uncounted` answers, or until nothing is left to send.

        Raises: MeasurementFailed, on any answer that is not wanted.
        """
        try:
            self._pass(uncounted, None)
            self._totals, cpu = Totals(), time.process_time()
            began = time.perf_counter()
            self._pass(None, None if seconds is None else began + seconds)
            self._totals.seconds = time.perf_counter() - began
            self._totals.cpu_share = (time.process_time() - cpu) / self._totals.seconds
            return self._totals
        finally:
            for connection in [*self._busy.values(), *self._idle]:
                connection.socket.close()
            self._poll.close()

    def _pass(self, count: int | None, deadline: float | None) -> None:
        """Go on until `count` answers came, or the deadline, or the end of the requests."""
        if count == 0:
            return
        self._fill()
        while self._busy and (count is None or self._totals.done < count):
            now = time.perf_counter()
            if deadline is not None and now >= deadline:
                return
            ready = self._poll.poll(SILENCE_S if deadline is None else min(SILENCE_S, deadline - now))
            if not ready and deadline is None:
                raise MeasurementFailed(f"no answer in {SILENCE_S:g} s")
            for descriptor, events in ready:
                self._advance(self._busy[descriptor], events)

    def _fill(self) -> None:
        while self._idle:
            connection = self._idle.pop()
            self._poll.register(connection.socket, select.EPOLLIN)
            self._busy[connection.socket.fileno()] = connection
            if not self._next(connection):
                return

    def _next(self, connection: Connection) -> bool:
        parts = next(self._requests, None)
        if parts is None:
            descriptor = connection.socket.fileno()
            self._poll.unregister(descriptor)
            del self._busy[descriptor]
            self._idle.append(connection)
            return False
        if not connection.begin(parts):
            self._poll.modify(connection.socket, select.EPOLLIN | select.EPOLLOUT)
        return True

    def _advance(self, connection: Connection, events: int) -> None:
        if events & select.EPOLLOUT and connection.send():
            self._poll.modify(connection.socket, select.EPOLLIN)
        if not events & ~select.EPOLLOUT:
            return
        status = connection.receive()
        if status is None:
            return
        if status not in self._wanted:
            raise MeasurementFailed(f"an answer was {status}")
        self._totals.done += 1
        self._totals.latencies_s.append(time.perf_counter() - connection.began_s)
        self._next(connection)
