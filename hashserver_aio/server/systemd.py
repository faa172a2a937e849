"""What systemd hands to a service and wants to hear from it.

Source: sd_listen_fds(3), sd_notify(3).
"""

from __future__ import annotations

import os
import socket

_FIRST_DESCRIPTOR = 3


def listening_sockets() -> list[socket.socket]:
    """Take over the sockets that this process was activated with; none if it was not."""
    if os.environ.pop("LISTEN_PID", None) != str(os.getpid()):
        return []
    count = int(os.environ.pop("LISTEN_FDS", "0"))
    os.environ.pop("LISTEN_FDNAMES", None)
    sockets = [socket.socket(fileno=_FIRST_DESCRIPTOR + number) for number in range(count)]
    for activated in sockets:
        activated.set_inheritable(False)
    return sockets


def notify(state: str) -> None:
    """Tell systemd a state such as READY=1; where nobody listens, do nothing."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.sendto(state.encode(), address)
    except OSError:
        return
