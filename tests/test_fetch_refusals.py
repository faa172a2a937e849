"""What must not be reached is not reached: a real listener counts who connects."""

from __future__ import annotations

import socket

import pytest
from aiohttp import web
from yarl import URL

from hashserver_aio.fetching import addresses, guard

from .fetches import (
    LOOPBACK,
    Memory,
    Names,
    asked,
    code_of,
    fetcher,
    hello,
    listening,
    target,
    to,
    wget,
)

SPELLINGS = [
    *("127.0.0.1", "127.1.2.3", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"),
    *("[0:0:0:0:0:ffff:127.0.0.1]", "localhost", "LocalHost", "localhost."),
]
"""Where the system connects to this machine."""

ODD = [
    *("127.1", "0", "0x7f.1", "0x7f.0.0.1", "0x7f000001", "2130706433", "017700000001", "0177.0.0.1"),
    *("127.0.0.1.", "127。0。0。1", "①②⑦.0.0.1", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]"),
    *("[::1%25lo]", "[fe80::1%25lo]", "[::ffff:0:127.0.0.1]", "user:pass@127.0.0.1", "8.8.8.8@127.0.0.1"),
    *("127.0.0.1#@example.org", "127.0.0.1%00.example.org", "example.org\\@127.0.0.1"),
]
"""What some program somewhere takes for this machine."""

REFUSALS = {"AddressRefused", "InvalidUrlClientError", "ClientConnectorDNSError", "ClientConnectorError"}


@pytest.mark.parametrize("host", SPELLINGS)
async def test_this_machine_can_be_reached(host: str) -> None:
    """The listener of these tests is reached by every one of these spellings, where they are listed."""
    async with listening() as listener:
        info = await wget(f"http://{host}:{listener.port}/", "0.0.0.0/0", "::/0", "localhost")
        assert (info.get("code"), listener.connections) == (200, 1), info


@pytest.mark.parametrize("host", SPELLINGS)
async def test_this_machine_is_refused(host: str) -> None:
    """A server fetches nothing from its own machine, however it is spelled."""
    async with listening() as listener:
        info = await wget(f"http://{host}:{listener.port}/")
        assert code_of(info) == "AddressRefused"
        assert listener.connections == 0


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", ODD)
async def test_odd_spellings_are_refused(host: str, scheme: str) -> None:
    """Nor by spellings that only some programs understand."""
    async with listening() as listener:
        info = await wget(f"{scheme}://{host}:{listener.port}/".replace("#", f":{listener.port}#"))
        assert code_of(info) in REFUSALS
        assert listener.connections == 0


@pytest.mark.parametrize(
    "address",
    [
        *(
            "10.1.2.3",
            "100.64.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
        ),
        *("255.255.255.255", "168.63.129.16", "192.0.2.1", "::", "fd00:ec2::254", "fe80::1", "ff02::1"),
        *("::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "2001:0:a00:1::"),
    ],
)
@pytest.mark.parametrize("named", [False, True])
async def test_kept_addresses(address: str, named: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses that are kept from fetches are refused before a socket is connected, also by name."""
    connected: list[object] = []
    monkeypatch.setattr(socket.socket, "connect", lambda _, to: connected.append(to), raising=False)
    host = "evil.example" if named else f"[{address}]" if ":" in address else address
    async with fetcher(Memory(), resolver=Names({"evil.example": [address]})) as fetch:
        info = await fetch.wget(asked(f"http://{host}/"))
    assert code_of(info) == "AddressRefused"
    assert connected == []
    assert address not in info["mesg"] or not named  # what a name means here is not told


async def test_other_schemes() -> None:
    """Only http and https are spoken."""
    for url in (
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "ws://127.0.0.1/",
        "tcp://127.0.0.1/",
        "//x",
        "x.org",
    ):
        refusals = {"NonHttpUrlClientError", "InvalidUrlClientError"}
        assert code_of(await wget(url, *LOOPBACK)) in refusals, url


async def test_by_name() -> None:
    """A name is what it points to: refused where all it points to is, else fetched from the rest."""
    async with listening("127.0.0.1") as kept, target({"/": hello}, "127.0.0.2") as url:
        port = kept.port
        names = Names(
            {"evil.example": [["127.0.0.1", "127.0.0.1"]], "both.example": [["127.0.0.1", "127.0.0.2"]]}
        )
        async with fetcher(Memory(), "127.0.0.2", resolver=names) as fetch:
            info = await fetch.wget(asked(f"http://evil.example:{port}/"))
            assert code_of(info) == "AddressRefused"
            info = await fetch.wget(asked(f"http://both.example:{URL(url).port}/"))
            assert info["code"] == 200
            assert code_of(await fetch.wget(asked(f"http://both.example:{port}/"))) == "AddressRefused"
        assert kept.connections == 0


async def test_listed_name() -> None:
    """A listed name is fetched from wherever it points; what it points to is not, by another way."""
    async with listening("127.0.0.1") as listener:
        names = Names({"intern.example": ["127.0.0.1"], "other.example": ["127.0.0.1"]})
        async with fetcher(Memory(), "intern.example", resolver=names) as fetch:
            for host in ("other.example", "127.0.0.1", "intern.example"):
                info = await fetch.wget(asked(f"http://{host}:{listener.port}/"))
                assert info["ok"] is (host == "intern.example"), host
        assert listener.connections == 1


async def test_redirect_from_a_listed_name() -> None:
    """What is listed does not vouch for where it redirects to, though that is the same address."""
    async with (
        listening("127.0.0.1") as listener,
        target({"/": to(f"http://127.0.0.1:{listener.port}/")}) as url,
    ):
        port = URL(url).port
        async with fetcher(Memory(), "in.example", resolver=Names({"in.example": ["127.0.0.1"]})) as fetch:
            info = await fetch.wget(asked(f"http://in.example:{port}/"))
        assert code_of(info) == "AddressRefused"
        assert listener.connections == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "localhost", "2130706433", "0x7f.1"]
)
async def test_by_redirect(status: int, host: str) -> None:
    """A redirect leads nowhere that may not be fetched from."""
    async with listening() as kept:
        routes = {"/": to(f"http://{host}:{kept.port}/", status)}
        async with target(routes, "127.0.0.2") as url:
            info = await wget(f"{url}/", "127.0.0.2")
        assert code_of(info) in {"AddressRefused", "InvalidUrlClientError"}
        assert kept.connections == 0


async def test_redirect_to_another_scheme() -> None:
    """A redirect to a scheme that is not spoken is an error."""
    async with target({"/": to("file:///etc/passwd")}) as url:
        assert code_of(await wget(f"{url}/", *LOOPBACK)) == "NonHttpUrlRedirectClientError"


@pytest.mark.parametrize("path", ["/redirects", "/cuts"])
async def test_rebinding(path: str) -> None:
    """A name that pointed to a good address, and then to this machine, leads to the good one only."""
    async with listening("127.0.0.1") as kept:
        port = kept.port
        moved = to(f"http://evil.example:{port}/again", close=True)

        async def cut(request: web.Request) -> web.Response:
            assert request.transport is not None
            request.transport.abort()  # the client asks again
            return web.Response()

        async with target({"/redirects": moved, "/cuts": cut}, "127.0.0.2", port=port):
            names = Names({"evil.example": ["127.0.0.2", "127.0.0.1"]})
            async with fetcher(Memory(), "127.0.0.2", resolver=names) as fetch:
                info = await fetch.wget(asked(f"http://evil.example:{port}{path}"))
        assert code_of(info) in {"AddressRefused", "ServerDisconnectedError"}
        assert kept.connections == 0
        assert names.asked == ["evil.example"] * 2


async def test_resolved_once() -> None:
    """What was judged is what is connected to: nobody asks for the name again in between."""
    async with target({"/": hello}, "127.0.0.2") as url, listening("127.0.0.1") as kept:
        names = Names({"evil.example": ["127.0.0.2", "127.0.0.1"]})
        async with fetcher(Memory(), "127.0.0.2", resolver=names) as fetch:
            info = await fetch.wget(asked(f"http://evil.example:{URL(url).port}/"))
        assert info["code"] == 200
        assert names.asked == ["evil.example"]
        assert kept.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
async def test_own_public_address(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A public address of this very machine is kept, too: it leads behind the machine's firewall."""
    monkeypatch.setattr(addresses, "is_public", lambda address: True)
    async with listening() as listener:
        info = await wget(f"http://{host}:{listener.port}/")
        assert code_of(info) == "AddressRefused"
        assert listener.connections == 0


async def test_the_connection_itself_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Should a connection yet be made to where it may not, nothing is sent on it."""
    monkeypatch.setattr(guard.Judge, "check", lambda self, host: None)
    requests: list[str] = []

    async def seen(request: web.Request) -> web.Response:
        requests.append(request.path)
        return web.Response()

    async with target({"/": seen}) as url:
        assert code_of(await wget(f"{url}/")) == "AddressRefused"
    assert requests == []


async def test_names_as_the_system_knows_them() -> None:
    """Without a resolver of its own a fetch asks the system, and judges what that says."""
    async with listening() as listener:
        for allowed, connections in (((), 0), (("localhost",), 1)):
            async with fetcher(Memory(), *allowed) as fetch:
                info = await fetch.wget(asked(f"http://localhost:{listener.port}/"))
            assert (info["ok"], listener.connections) == (bool(allowed), connections)
