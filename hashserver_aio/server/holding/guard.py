"""Whether a request comes from the server of this node: judged before anything else of it is looked at.

What does not even name the server's key costs microseconds. Checking a signature costs as much as answering
a small request, so an address that sends many wrong ones is refused for a while without looking.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from aiohttp import web
from aiohttp.typedefs import Handler

from ...errors import BadSignature
from ...holding import Node
from ...nodes.messages import Message, Replays, check
from ...pace import Pace, network_of
from ..receive import expect_later

WRONG_PER_S = 10.0
WRONG_BURST = 200.0
"""A server whose clock is wrong gets to read why."""

OTHER_SERVER = "this node holds buffers for another server than the one that signed this"

Clock = Callable[[], float]

GUARD: web.AppKey[Guard] = web.AppKey("GUARD")


class Guard:
    """Lets the server of a node through, with each message once. `clock` tells the seconds since 1970."""

    def __init__(self, node: Node, *, clock: Clock = time.time, ticks: Clock = time.monotonic) -> None:
        self.node = node
        self._server_id = node.server.key.hex()
        self._clock = clock
        self._replays = Replays(clock())
        self._wrong = Pace(WRONG_PER_S, WRONG_BURST, ticks)

    def admit(self, request: web.Request) -> None:
        """Refuse whatever the server of this node has not signed, now, for this node, and not sent before.

        Raises: BadSignature, TooManyRequests, Busy.
        """
        named = request.headers.get("Signature-Input")
        if named is not None and self._server_id not in named:
            raise BadSignature(OTHER_SERVER)
        caller = network_of(request.remote)
        self._wrong.look(caller)
        try:
            self._check(request)
        except BadSignature:
            if named is not None:  # else it cost nothing, and may come from anybody who looks around
                self._wrong.take(caller)
            raise

    def _check(self, request: web.Request) -> None:
        path, _, query = request.raw_path.partition("?")
        message = Message(request.method, path, query, request.headers)
        now_s = self._clock()
        has_body = request.method == "PUT" or request.body_exists
        signed = check(message, self.node.pair.public, now_s, has_body=has_body)
        if signed.key != self.node.server.key:  # it was named elsewhere than as the one that signed
            raise BadSignature(OTHER_SERVER)
        # Who reads again learns nothing new; a server whose clock is behind is not to find no node meanwhile.
        self._replays.take(signed, now_s, is_reading=request.method == "GET")


def signed(*routes: web.RouteDef) -> Iterable[web.RouteDef]:
    """Let only the server of this node through to some routes; nobody else is told to send a body."""
    return [
        web.RouteDef(
            route.method,
            route.path,
            _guarded(route.handler),
            route.kwargs | {"expect_handler": expect_later},
        )
        for route in routes
    ]


def _guarded(handler: Handler) -> Handler:
    async def guard(request: web.Request) -> web.StreamResponse:
        request.app[GUARD].admit(request)
        return await handler(request)

    return guard
