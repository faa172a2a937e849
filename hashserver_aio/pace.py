"""How often somebody may ask: so many calls a second, and some more at once.

Whoever is refused is not held to it longer than others are: a refused call costs nothing.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable

from .errors import TooManyRequests

MAX_CALLERS = 100_000
"""Some 20 MB. Whoever asked longest ago makes room, and may ask as if for the first time."""


class Pace:
    """Remembers of each caller until when what he asked for would have taken.

    Source: the generic cell rate algorithm, ITU-T I.371, in its virtual scheduling form.
    """

    def __init__(self, per_s: float, burst: float, clock: Callable[[], float]) -> None:
        """Let callers ask `per_s` times a second, or `burst` times at once after a rest."""
        self._step_s = 1 / per_s
        self._ahead_s = burst / per_s
        self._clock = clock
        self._until: OrderedDict[str, float] = OrderedDict()

    def take(self, caller: str, cost: float = 1) -> None:
        """Let a caller ask for something.

        Raises: TooManyRequests.
        """
        self._until[caller] = self.look(caller, cost)
        self._until.move_to_end(caller)
        if len(self._until) > MAX_CALLERS:
            self._until.popitem(last=False)

    def look(self, caller: str, cost: float = 1) -> float:
        """Refuse as `take` does, but take nothing: until when what is asked for would take.

        Raises: TooManyRequests.
        """
        now = self._clock()
        until = max(now, self._until.get(caller, now)) + cost * self._step_s
        wait_s = until - now - self._ahead_s
        if wait_s > 1e-9:  # sums of floats are not exact
            raise TooManyRequests(wait_s)
        return until


def network_of(host: str | None) -> str:
    """Name what an address is counted as: of IPv6 the network of 64 bits, which is one customer's."""
    try:
        address = ipaddress.ip_address((host or "").partition("%")[0])
    except ValueError:  # a socket of this machine
        return ""
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))
