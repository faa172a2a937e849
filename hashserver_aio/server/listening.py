"""The sockets a server listens on.

A port is taken by binding it, never by looking whether it is free first.
"""

from __future__ import annotations

import errno
import ipaddress
import random
import socket
from collections.abc import Sequence
from dataclasses import replace

from ..errors import CannotStart
from ..settings import Listening, Settings
from . import systemd

BACKLOG = 128


def listening_sockets(listening: Listening) -> list[socket.socket]:
    """Take over what systemd listens on, or else bind a port.

    Raises: CannotStart.
    """
    return systemd.listening_sockets() or [bound(listening.host, listening.ports)]


def bound(host: str, ports: range) -> socket.socket:
    """Bind a free port of a range, tried in random order.

    Raises: CannotStart, if none is free or the host is none of this machine's.
    """
    family, address = _resolved(host)
    for port in random.sample(ports, len(ports)):
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, port))
            # Linux lets two sockets bind a port with SO_REUSEADDR; only one of them may listen.
            listener.listen(BACKLOG)
            return listener
        except OSError as error:
            listener.close()
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise CannotStart(f"can't listen on {host}: {error.strerror}") from None
            refused = error
    if len(ports) > 1:
        raise CannotStart(f"no free port on {host} from {ports.start} to {ports.stop - 1}")
    if refused.errno == errno.EACCES:
        raise CannotStart(f"port {ports.start} needs privileges; choose one above 1023")
    raise CannotStart(f"port {ports.start} on {host} is taken; choose another one with --port")


def _resolved(host: str) -> tuple[socket.AddressFamily, str]:
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise CannotStart(f"host {host} can't be resolved: {error.strerror}") from None
    return family, str(address[0])


def refuse_strangers(settings: Settings, sockets: Sequence[socket.socket]) -> Settings:
    """Refuse to let everybody delete, or fetch from here, who can reach this machine; else note who can.

    Raises: CannotStart.
    """
    is_local = all(map(_is_local, sockets))
    if settings.auth_file is not None or is_local:
        return replace(settings, is_local=is_local)
    for allowed, what in ((settings.allow_delete, "delete"), (settings.allow_fetch, "fetch")):
        if allowed:
            raise CannotStart(
                f"--allow-{what} would let everybody {what}: name an --auth-file, or listen on 127.0.0.1 only"
            )
    return settings


def _is_local(listener: socket.socket) -> bool:
    if listener.family == socket.AF_UNIX:
        return True
    return ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback


def with_public_url(settings: Settings, listening: Listening, sockets: Sequence[socket.socket]) -> Settings:
    """Have a node that was told no other URL be reached where it listens.

    Raises: CannotStart, where that is no place.
    """
    holding, listener = settings.holding, sockets[0]
    if holding is None or holding.public_url is not None:
        return settings
    if listener.family == socket.AF_UNIX or ipaddress.ip_address(listener.getsockname()[0]).is_unspecified:
        raise CannotStart(
            "this node does not listen on an address that its server could reach it at: name its URL "
            "with --public-url http://HOST:PORT"
        )
    url = url_of(listener, "https" if listening.tls else "http")
    return replace(settings, holding=replace(holding, public_url=url))


def url_of(listener: socket.socket, scheme: str) -> str:
    """Name the URL that a socket answers to."""
    if listener.family == socket.AF_UNIX:
        return f"unix:{listener.getsockname()}"
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def port_of(listener: socket.socket) -> int:
    """Name the port that a socket listens on; 0 if it has none."""
    return 0 if listener.family == socket.AF_UNIX else int(listener.getsockname()[1])
