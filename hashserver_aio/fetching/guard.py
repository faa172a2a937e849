"""Connections that go only where they may.

The judgement falls where a socket is connected, on the very address that the system is given: after
all names are resolved and with nothing in between, so that a name which changes its mind gains nothing.
Each redirect is a connection, or goes over one that was judged.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from aiohttp import (
    ClientConnectorError,
    ClientProxyConnectionError,
    ClientRequest,
    ClientTimeout,
    TCPConnector,
    hdrs,
)
from aiohttp.abc import AbstractResolver
from aiohttp.connector import AddrInfoType, Connection

from ..errors import AddressRefused
from .addresses import Allowed, is_local_name, literal

PIECE_BYTES = 64 * 1024
"""What is read from a socket at a time: of a body in the smallest of chunks the loop has to look at each."""


class GuardedSocket(socket.socket):
    """A socket that asks before it connects."""

    def __init__(self, info: AddrInfoType, judge: Callable[[str], None]) -> None:
        family, kind, proto, _, _ = info
        super().__init__(family, kind, proto)
        self._judge = judge

    def connect(self, address: Any, /) -> None:
        """Connect to an address that may be connected to. Raises: OSError."""
        self._judge(str(address[0]))
        super().connect(address)

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Receive a piece, so that who floods the loop has to wait for the others after each."""
        return super().recv(min(size, PIECE_BYTES), flags)

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0, /) -> int:
        """Receive a piece of what TLS asks for."""
        return super().recv_into(buffer, min(size or len(buffer), PIECE_BYTES), flags)


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where requests go instead; `trusted` if the operator named it. `authorization`: what it is told."""

    url: str
    trusted: bool
    authorization: str | None = None

    @property
    def headers(self) -> dict[str, str] | None:
        """What a proxy is told that is asked for a tunnel."""
        return {hdrs.PROXY_AUTHORIZATION: self.authorization} if self.authorization else None


class Judge:
    """Judges, for one request, where sockets may be connected to; `refused`: whether one was not."""

    def __init__(self, allowed: Allowed, *, trusts_host: bool) -> None:
        self.refused = False
        self._allowed = allowed
        self._trusts_host = trusts_host

    def check(self, host: str) -> None:
        """Raise OSError if what a socket is to be connected to may not be."""
        if not self.may_reach(host) or (not self._is_listed(host) and _is_of_this_machine(host)):
            self.refused = True
            raise OSError(errno.EACCES, "this address is not connected to")

    def may_reach(self, host: str) -> bool:
        """Tell whether an address is one that may be connected to."""
        address = literal(host)
        return self._trusts_host or (address is not None and self._allowed.has_address(address))

    def _is_listed(self, host: str) -> bool:
        address = literal(host)
        return self._trusts_host or (address is not None and self._allowed.lists(address))


_JUDGE: ContextVar[Judge] = ContextVar("_JUDGE")
"""Of the request that is being connected for: aiohttp makes sockets in tasks that this one begins."""


def _guarded_socket(info: AddrInfoType) -> socket.socket:
    return GuardedSocket(info, _JUDGE.get().check)


class GuardedConnector(TCPConnector):
    """Connects only where it may, for any number of requests at a time.

    A connection that is used again is asked once more where it goes: it may have been made for a name that
    is trusted, by another request.
    """

    # Of a URL without a scheme aiohttp says what is missing.
    allowed_protocol_schema_set = frozenset({"", "http", "https"})

    def __init__(
        self, allowed: Allowed, resolver: AbstractResolver, proxy: Proxy | None = None, **more: Any
    ) -> None:
        """`more`: what a TCPConnector is told besides."""
        # No memory of names: what is judged now is what was said now.
        super().__init__(resolver=resolver, use_dns_cache=False, socket_factory=_guarded_socket, **more)
        self._allowed = allowed
        self._lookups = resolver
        self._proxy = proxy
        self._transports: set[asyncio.Transport] = set()

    async def connect(
        self,
        req: ClientRequest,
        traces: list[Any],
        timeout: ClientTimeout,  # noqa: ASYNC109 - aiohttp's, and its own to heed
    ) -> Connection:
        """Connect for a request.

        Raises: AddressRefused, ClientError.
        """
        if req.proxy is None:
            trusts_host = self._allowed.has_name(req.host)
        else:
            trusts_host = self._proxy is not None and self._proxy.trusted
            await self._judge_target(req.host)
        judge = Judge(self._allowed, trusts_host=trusts_host)
        before = _JUDGE.set(judge)
        try:
            connection = await super().connect(req, traces, timeout)
        except ClientConnectorError as error:
            if judge.refused:
                raise _refusal(req, self._allowed) from None
            if req.proxy is not None and (error.host, error.port) == (req.proxy.host, req.proxy.port):
                # Where the operator's proxy is, and how it is called, is nobody's business.
                raise ClientProxyConnectionError(req.connection_key, error.os_error) from None
            raise
        finally:
            _JUDGE.reset(before)
        if not _is_where_it_may(connection, judge):
            connection.close()
            raise _refusal(req, self._allowed)
        self._note(connection)
        return connection

    def _note(self, connection: Connection) -> None:
        """Know of a connection, and no more of those that are closed."""
        self._transports = {transport for transport in self._transports if not transport.is_closing()}
        if connection.transport is not None:
            self._transports.add(connection.transport)

    async def close(self, *, abort_ssl: bool = False) -> None:
        """Let go of all connections at once: who takes nothing more could hold one for ever."""
        for transport in self._transports:
            transport.abort()
        await super().close(abort_ssl=abort_ssl)

    async def _judge_target(self, host: str) -> None:
        """Judge what a proxy is asked for, as far as that can be known here.

        Raises: AddressRefused.
        """
        if self._allowed.has_name(host):
            return
        address = literal(host)
        if address is not None:
            if not self._allowed.has_address(address):
                raise _unlisted(host, self._allowed)
            return
        if is_local_name(host):
            raise AddressRefused(
                f"{host} is a name of the local network: it has to be listed with {self._allowed.option}"
            )
        with contextlib.suppress(OSError):  # what only the proxy can resolve, it alone can judge
            for found in await self._lookups.resolve(host, 0, socket.AF_UNSPEC):
                address = literal(found["host"])
                if address is None or not self._allowed.has_address(address):
                    raise _unlisted(host, self._allowed)


def _is_where_it_may(connection: Connection, judge: Judge) -> bool:
    """Ask the connection itself where it goes."""
    transport = connection.transport
    peer = transport.get_extra_info("peername") if transport else None
    return peer is not None and judge.may_reach(str(peer[0]))


def _unlisted(host: str, allowed: Allowed) -> AddressRefused:
    return AddressRefused(f"{host} is not connected to: not public, nor listed with {allowed.option}")


def _refusal(request: ClientRequest, allowed: Allowed) -> AddressRefused:
    """Word a refusal; what a name resolves to here is nobody's business."""
    host = request.host if request.proxy is None else request.proxy.host
    return AddressRefused(
        f"{host} is not connected to: none of its addresses is public, nor listed with {allowed.option}"
    )


def _is_of_this_machine(host: str) -> bool:
    """Tell whether an address is one of ours: the system would use it as its own end, too.

    What listens there may be kept from the Internet by a firewall that we are behind of. Nothing is sent.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect((host, 9))
        return literal(str(probe.getsockname()[0])) == literal(host)
    return False
