"""A connection whose requests are looked at before aiohttp parses them.

Between two requests only, and only when aiohttp has parsed no part of the next one; else answers
would come out of order, or a body be taken for a request.
"""

from __future__ import annotations

import asyncio
import errno
import io
import os
import time
from typing import Protocol

from aiohttp import web

from ..counting import BYTES_OUT, Counts
from ..store import StoredFile
from .activity import Activity
from .sendfile import SLICE_S, send_slice

AT_ONCE_BYTES = 1024 * 1024
"""So much of a file goes out before others have a turn: a quarter of a millisecond of copying."""

_IN_THE_TASK = (errno.EAGAIN, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
"""The socket takes nothing now, or the file system has no sendfile: the task sees to it."""

_END_OF_HEAD = b"\r\n\r\n"

_PRIVATE = ("_waiter", "_upgraded", "_next_keepalive_close_time")
IS_SUPPORTED = all(hasattr(web.RequestHandler, name) for name in _PRIVATE)
"""Whether aiohttp's protocol has what of it is not public; else no connection is watched."""


class Answer(Protocol):
    """An answer that was found: `rendered` goes out, and after it the file, if it `is_apart`.

    `column`: where that is counted then; of others, who found it has counted it.
    """

    rendered: bytes
    is_apart: bool
    column: int
    stored: StoredFile


class Answers(Protocol):
    """Where answers are found, and those counted whose file goes out after them."""

    activity: Activity
    counts: Counts

    def find(self, head: bytes) -> Answer | None:
        """Find the answer to a request; None for one that aiohttp is to see."""


def watch(request: web.Request, answers: Answers) -> None:
    """Look at all further requests of a connection, unless all are to be logged."""
    transport, inner = request.transport, request.protocol
    log = inner.access_logger
    if IS_SUPPORTED and transport is not None and not (log is not None and log.enabled):
        if transport.get_protocol() is inner:
            transport.set_protocol(_Watched(answers, inner, transport))


class _Watched(asyncio.Protocol):
    """Stands between a transport and aiohttp's protocol, `inner`."""

    __slots__ = ("_answers", "_inner", "_is_paused", "_is_whole", "_sending", "_socket", "_transport")

    def __init__(self, answers: Answers, inner: web.RequestHandler, transport: asyncio.Transport) -> None:
        self._answers = answers
        self._inner = inner
        self._transport = transport
        self._is_whole = False  # what aiohttp got last ended with the end of a head
        self._is_paused = False
        self._socket = _socket_for_sendfile(transport)
        self._sending: asyncio.Task[None] | None = None

    def data_received(self, data: bytes) -> None:
        """Answer a request, or hand on what has come."""
        inner = self._inner
        if self._is_whole and not self._is_paused and _waits_for_a_request(inner):
            answer = self._answers.find(data)
            if answer is not None and self._send(answer):
                return
        self._is_whole = data.endswith(_END_OF_HEAD)
        inner.data_received(data)

    def _send(self, answer: Answer) -> bool:
        """Send an answer; False if that has to be left to aiohttp."""
        if not answer.is_apart:
            self._transport.write(answer.rendered)
            self._sent()
            return True
        file = answer.stored.reopened() if self._socket >= 0 else None
        if file is None:
            return False
        self._transport.write(answer.rendered)
        self._answers.counts.row[answer.column] += 1
        self._send_file(file, answer.stored.identity.size)
        return True

    def _sent(self) -> None:
        """An answer is out: wait for the next request, as long as aiohttp does."""
        now_s = time.monotonic()  # once: reading it costs as much as counting
        self._answers.activity.touch(now_s)
        self._inner._next_keepalive_close_time = now_s + self._inner.keepalive_timeout

    def _stay_open(self, for_s: float) -> None:
        self._inner._next_keepalive_close_time = time.monotonic() + for_s

    def _send_file(self, file: io.FileIO, size: int) -> None:
        """Send as much as the socket takes at once, and the rest in a task."""
        sent = 0
        try:
            if not self._transport.get_write_buffer_size():
                sent = os.sendfile(self._socket, file.fileno(), 0, min(size, AT_ONCE_BYTES))
        except OSError as error:
            if error.errno not in _IN_THE_TASK:
                file.close()
                self._transport.abort()
                return
        self._answers.counts.row[BYTES_OUT] += sent
        if sent == size:
            file.close()
            self._sent()
            return
        self._transport.pause_reading()
        self._stay_open(2 * SLICE_S)
        self._answers.activity.begin()
        self._sending = asyncio.get_running_loop().create_task(self._send_rest(file, sent, size))
        self._sending.add_done_callback(lambda _: self._end_sending(file))

    async def _send_rest(self, file: io.FileIO, offset: int, size: int) -> None:
        try:
            while offset < size:
                self._stay_open(2 * SLICE_S)
                begin = offset
                offset = await send_slice(self._transport, file, begin, size, fallback=True)
                self._answers.counts.row[BYTES_OUT] += offset - begin
            self._stay_open(self._inner.keepalive_timeout)
            self._transport.resume_reading()
        except (OSError, TimeoutError, RuntimeError):  # the client went away, or sleeps
            self._transport.abort()

    def _end_sending(self, file: io.FileIO) -> None:
        file.close()
        self._sending = None
        self._answers.activity.end()

    def eof_received(self) -> None:
        """Hand on that the client sends no more."""
        self._inner.eof_received()

    def pause_writing(self) -> None:
        """Leave it to aiohttp to wait for a client that does not read."""
        self._is_paused = True
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """The client has read."""
        self._is_paused = False
        self._inner.resume_writing()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Hand on that the client is gone."""
        if self._sending is not None:  # a moment later: asyncio itself ends it where it waits to write
            asyncio.get_running_loop().call_soon(self._sending.cancel)
        self._inner.connection_lost(exc)


def _waits_for_a_request(inner: web.RequestHandler) -> bool:
    waiter = inner._waiter
    return waiter is not None and not waiter.done() and not inner._upgraded


def _socket_for_sendfile(transport: asyncio.Transport) -> int:
    """Give the descriptor to send files to; -1 for TLS, or an event loop that has no sendfile."""
    has_sendfile = isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop)
    if not has_sendfile or transport.get_extra_info("sslcontext") is not None:
        return -1
    socket = transport.get_extra_info("socket")
    return -1 if socket is None else int(socket.fileno())
