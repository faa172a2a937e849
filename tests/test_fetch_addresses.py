"""Which addresses are of the public Internet, and what may be listed besides."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashserver_aio.errors import CannotStart
from hashserver_aio.fetching.addresses import Allowed, is_local_name, is_public, literal, parse_allowed

REFUSED = [
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "100.127.255.255"),
    *("127.0.0.1", "127.255.255.254", "168.63.129.16", "169.254.0.1", "169.254.169.254", "172.16.0.1"),
    *("172.31.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1"),
    *("198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1"),
    *("255.255.255.255", "::", "::1", "::2", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1"),
    *("::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1"),
    *("64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808", "100::1", "2001::1", "2001:0:7f00:1::", "2001:db8::1"),
    *("2001:10::1", "2002:7f00:1::1", "2002:808:808::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254"),
    *("fe80::1", "fe80::1%1", "febf::1", "fec0::1", "ff02::1", "ff0e::1", "4000::1"),
]
ALLOWED = [
    *("1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "93.184.215.14", "100.63.255.255", "100.128.0.0"),
    *("172.15.255.255", "172.32.0.0", "192.167.255.255", "192.169.0.0", "223.255.255.255", "128.0.0.1"),
    *("2606:4700::1111", "2a00:1450::1", "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::808:808"),
]


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_kept_from_fetches(text: str) -> None:
    """No address but one of the public Internet is fetched from, whatever it is wrapped in."""
    assert not Allowed().has_address(ip_address(text))


@pytest.mark.parametrize("text", ALLOWED)
def test_what_is_public(text: str) -> None:
    """The public Internet may be fetched from, up to the edges of what may not."""
    assert Allowed().has_address(ip_address(text))


@given(st.ip_addresses())
def test_no_more_than_the_standard_library(address: object) -> None:
    """Whatever the standard library knows as private, local or reserved is none of the public Internet."""
    known = ip_address(str(address))
    if is_public(known):
        assert not (known.is_private or known.is_loopback or known.is_link_local or known.is_multicast)
        assert not (known.is_reserved or known.is_unspecified)


@pytest.mark.parametrize(
    ("listed", "text", "may"),
    [
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "::ffff:10.1.2.3", True),
        ("10.0.0.0/8", "64:ff9b::a01:203", True),
        ("10.0.0.0/8", "11.0.0.1", True),
        ("10.0.0.0/8", "127.0.0.1", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("::1", "::1", True),
        ("[::1]", "::1", True),
        ("::1", "127.0.0.1", False),
        ("::/0", "127.0.0.1", False),
        ("fd00::/8", "fd00:ec2::254", True),
        ("intern.example", "127.0.0.1", False),
    ],
)
def test_listed_networks(listed: str, text: str, may: bool) -> None:
    """A network that is listed may be fetched from, and nothing else by that."""
    assert parse_allowed([listed]).has_address(ip_address(text)) is may


@pytest.mark.parametrize(
    ("listed", "host", "may"),
    [
        ("intern.example", "intern.example", True),
        ("Intern.Example.", "intern.example", True),
        ("intern.example", "INTERN.example.", True),
        ("bücher.example", "xn--bcher-kva.example", True),
        ("9front.example", "9front.example", True),
        ("my_host", "my_host", True),
        ("intern.example", "www.intern.example", False),
        ("intern.example", "example", False),
        ("127.0.0.1", "127.0.0.1", False),
    ],
)
def test_listed_names(listed: str, host: str, may: bool) -> None:
    """A name that is listed is that name, in any spelling, and no name above or below it."""
    assert parse_allowed([listed]).has_name(host) is may


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "10.0.0.1/8",
        "10.0.0.0/33",
        "http://x",
        "a b",
        "a:80",
        "*",
        "*.x",
        "a/b",
        "0x7f.1",
        "127.1",
        "127.0.0.300",
        "1.2.3.4.5",
    ],
)
def test_what_can_not_be_listed(text: str) -> None:
    """What is neither a network nor a name is refused at the start: it would list nothing, or too much."""
    with pytest.raises(CannotStart, match="neither a network nor a host"):
        parse_allowed([text])


@pytest.mark.parametrize(
    "text", ["127.0.0.1", "127.1", "0x7f.1", "0x7f000001", "2130706433", "017700000001", "0177.0.0.1"]
)
def test_odd_spellings(text: str) -> None:
    """However an address is spelled, it is seen to be that address."""
    assert str(literal(text)) == "127.0.0.1"


@pytest.mark.parametrize("text", ["example", "127.0.0.1.example", "a.b", "", "1.2.3.4.5", "ü", "\0"])
def test_names_are_no_addresses(text: str) -> None:
    """A name is not taken for an address."""
    assert literal(text) is None


@pytest.mark.parametrize(
    ("host", "local"),
    [
        *(("localhost", True), ("LOCALHOST.", True), ("a.localhost", True), ("printer", True)),
        *(("metadata.google.internal", True), ("nas.local", True), ("x.home.arpa", True)),
        *(("example.org", False), ("localhost.example.org", False), ("mylocal.example", False)),
        ("notlocal.org", False),
    ],
)
def test_local_names(host: str, local: bool) -> None:
    """Names that only mean something at a proxy's place are told from those of the Internet."""
    assert is_local_name(host) is local
