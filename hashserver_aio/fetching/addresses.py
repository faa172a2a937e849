"""Which addresses may be fetched from: those of the public Internet, and those that are listed.

Names say nothing here: whoever owns a name lets it point wherever they like, also while we look.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from yarl import URL

from ..errors import CannotStart

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Source: the IANA registries of special-purpose addresses, IPv4 and IPv6. The standard library's `is_global`
# differs between the Pythons that we run on, and takes multicast for global.
_SPECIAL_4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network; Linux takes 0.0.0.0 for itself
        "10.0.0.0/8",
        "100.64.0.0/10",  # behind a provider's NAT; Alibaba's metadata service
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's host agent, which is not on the Internet
        "169.254.0.0/16",  # link-local; most metadata services
        "172.16.0.0/12",
        "192.0.0.0/24",  # IETF protocol assignments; Oracle's metadata service
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays to 6to4
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
_UNICAST_6 = IPv6Network("2000::/3")
"""All of IPv6 that is routed; outside are loopback, local, multicast, mapped and reserved addresses."""

_SPECIAL_6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # IETF protocol assignments: Teredo, ORCHID, benchmarks
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address in disguise, and given up
        "3fff::/20",  # documentation
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
"""Where an IPv6-only network has the IPv4 Internet: the last 32 bits decide. Source: RFC 6052."""

_LOCAL_NAMES = ("localhost", "localdomain", "local", "internal", "home.arpa")
"""Names below these mean something on the local network only. Source: RFC 6761, 6762, 8375; ICANN."""

_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9])?")


def is_public(address: Address) -> bool:
    """Tell whether an address is one of the public Internet, by what the registries say."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_4)
    return address in _UNICAST_6 and not any(address in network for network in _SPECIAL_6)


@dataclass(frozen=True, slots=True)
class Allowed:
    """What may be connected to besides the public Internet: networks, and names wherever they point.

    `option`: what lists them, to be named to who is refused.
    """

    networks: tuple[Network, ...] = ()
    names: frozenset[str] = frozenset()
    option: str = "--fetch-allow"

    def has_name(self, host: str) -> bool:
        """Tell whether a host, as it stands in a URL, is allowed whatever its address."""
        return plain_name(host) in self.names

    def lists(self, address: Address) -> bool:
        """Tell whether an address is in one of the networks, or leads there."""
        if any(address in network for network in self.networks if network.version == address.version):
            return True
        inner = _inner(address)
        return inner is not None and self.lists(inner)

    def has_address(self, address: Address) -> bool:
        """Tell whether an address may be connected to."""
        return self.lists(address) or is_public(_inner(address) or address)


def _inner(address: Address) -> IPv4Address | None:
    """Give the IPv4 address that an IPv6 address leads to."""
    if isinstance(address, IPv4Address):
        return None
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped


def parse_allowed(texts: Iterable[str], option: str = "--fetch-allow") -> Allowed:
    """Read networks (10.0.0.0/8), addresses and names of hosts, as an option has them.

    Raises: CannotStart, for what is none of these.
    """
    networks: list[Network] = []
    names: set[str] = set()
    for text in texts:
        try:
            networks.append(ip_network(text.strip("[]")))
        except ValueError as error:
            name = _name(text)
            if name is None:
                raise CannotStart(f"{option}: {text!r} is neither a network nor a host: {error}") from None
            names.add(name)
    return Allowed(tuple(networks), frozenset(names), option)


def _name(text: str) -> str | None:
    """Read the name of a host as it will stand in URLs, in ASCII; None for what is no name."""
    try:
        host = plain_name(URL.build(scheme="http", host=text).raw_host or "")
    except ValueError:
        return None
    is_number = not host.strip("0123456789.")  # 127.0.0.300, mistyped: it would list nothing
    return host if _HOST.fullmatch(host) and not is_number and literal(host) is None else None


def plain_name(host: str) -> str:
    """Give the one spelling of a host's name."""
    return host.rstrip(".").lower()


def literal(host: str) -> Address | None:
    """Read an address as whoever resolves it may read it: 0x7f.1 and 2130706433 are 127.0.0.1."""
    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):  # a NUL, no ASCII
        return None


def is_local_name(host: str) -> bool:
    """Tell whether a name means something on the local network only."""
    name = plain_name(host)
    return "." not in name or any(f".{name}".endswith(f".{local}") for local in _LOCAL_NAMES)
