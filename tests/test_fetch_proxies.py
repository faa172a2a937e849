"""Proxies: which one is used, what it is told, and what is not asked of it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from yarl import URL

from hashserver_aio.errors import BadArgument, CannotStart
from hashserver_aio.fetching import configured_proxy

from .fetches import Memory, Names, asked, code_of, fetcher, hello, listening, target, to
from .test_fetch_tls import Authority

NAMES = {"web.example": ["127.0.0.2"], "away.example": ["127.0.0.2"], "127.0.0.2": ["127.0.0.2"]}


class ForwardProxy:
    """A real forward proxy on 127.0.0.1; whatever name it is asked for, it goes to 127.0.0.2."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.port = 0

    @property
    def lines(self) -> list[str]:
        """What was asked for."""
        return [head.partition("\r\n")[0] for head in self.heads]

    async def met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one request on, or open a tunnel."""
        with suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            method, to, _ = head.split(" ", 2)
            url = URL(f"//{to}") if method == "CONNECT" else URL(to)
            there, sender = await asyncio.open_connection("127.0.0.2", url.port)
            if method == "CONNECT":
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                sender.write(head.replace(to, url.raw_path_qs, 1).encode())
            await asyncio.gather(pump(reader, sender), pump(there, writer))
        writer.close()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until the end."""
    with suppress(OSError):
        while chunk := await reader.read(2**16):
            writer.write(chunk)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def proxying() -> AsyncIterator[ForwardProxy]:
    """Run a proxy."""
    proxy = ForwardProxy()
    async with await asyncio.start_server(proxy.met, "127.0.0.1", 0) as server:
        proxy.port = server.sockets[0].getsockname()[1]
        yield proxy
        server.close()
        await asyncio.sleep(0.05)


@pytest.mark.parametrize(("asks", "goes"), [(True, True), (None, True), (False, False)])
async def test_the_configured_one(asks: object, goes: bool) -> None:
    """The operator's proxy is used unless a request says no; its own address is the operator's business."""
    async with target({"/": hello}, "127.0.0.2") as url, proxying() as proxy:
        configured = configured_proxy(f"http://127.0.0.1:{proxy.port}")
        memory, port = Memory(), URL(url).port
        async with fetcher(memory, "127.0.0.2", proxy=configured, resolver=Names(NAMES)) as fetch:
            info = await fetch.wget(asked(f"http://web.example:{port}/", proxy=asks))
            assert info["code"] == 200
            name = memory.add(b"x")
            assert (await fetch.wput(name, asked(f"{url}/", method="PUT", proxy=asks)))["code"] == 200
    lines = [f"GET http://web.example:{port}/ HTTP/1.1", f"PUT http://127.0.0.2:{port}/ HTTP/1.1"]
    assert proxy.lines == (lines if goes else [])


async def test_one_of_the_request() -> None:
    """A request's own proxy is judged as any address: it is no way to what may not be reached."""
    async with target({"/": hello}, "127.0.0.2") as url, proxying() as proxy, listening("127.0.0.1") as kept:
        configured = configured_proxy(f"http://127.0.0.1:{kept.port}")
        mine = f"http://127.0.0.1:{proxy.port}"
        async with fetcher(Memory(), "127.0.0.2", proxy=configured, resolver=Names(NAMES)) as fetch:
            info = await fetch.wget(asked(url, proxy=mine))
            assert code_of(info) == "AddressRefused"
            assert (proxy.heads, kept.connections) == ([], 0)
        async with fetcher(Memory(), "127.0.0.0/8", proxy=configured, resolver=Names(NAMES)) as fetch:
            assert (await fetch.wget(asked(url, proxy=mine)))["code"] == 200
            assert (len(proxy.heads), kept.connections) == (1, 0)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "host",
    [
        *(
            "127.0.0.1",
            "127.1",
            "0x7f.1",
            "2130706433",
            "0",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "169.254.169.254",
        ),
        *("localhost", "LOCALHOST.", "a.localhost", "printer", "metadata.google.internal", "nas.local"),
        *("kept.example", "half.example"),
    ],
)
async def test_targets_behind_a_proxy(host: str, scheme: str) -> None:
    """A proxy is not asked for what may not be fetched from, as far as that can be known here."""
    names = Names({"kept.example": ["10.0.0.1"], "half.example": [["127.0.0.2", "10.0.0.1"]]})
    async with (
        proxying() as proxy,
        fetcher(
            Memory(),
            "127.0.0.2",
            proxy=configured_proxy(f"http://127.0.0.1:{proxy.port}"),
            resolver=names,
        ) as fetch,
    ):
        assert code_of(await fetch.wget(asked(f"{scheme}://{host}/"))) == "AddressRefused"
        assert proxy.heads == []


async def test_redirects_behind_a_proxy() -> None:
    """A redirect is judged behind a proxy, too; a name unknown here, or listed, is the proxy's business."""
    async with proxying() as proxy:
        routes = {"/": to("http://127.0.0.1/"), "/far": hello}
        configured = configured_proxy(f"http://127.0.0.1:{proxy.port}")
        async with target(routes, "127.0.0.2") as url:
            port = URL(url).port
            async with fetcher(
                Memory(), "127.0.0.2", "intern", proxy=configured, resolver=Names({})
            ) as fetch:
                assert code_of(await fetch.wget(asked(f"http://far.example:{port}/"))) == "AddressRefused"
                assert (await fetch.wget(asked(f"http://far.example:{port}/far")))["code"] == 200
                assert (await fetch.wget(asked(f"http://intern:{port}/far")))["code"] == 200
    assert len(proxy.heads) == 3


async def test_tunnels() -> None:
    """HTTPS goes through a tunnel: the target's certificate is verified, whatever the proxy is."""
    authority = Authority()
    authority.ca.issue_cert("web.example").configure_cert(authority.server)
    async with target({"/": hello}, "127.0.0.2", ssl_context=authority.server) as url, proxying() as proxy:
        configured = configured_proxy(f"http://127.0.0.1:{proxy.port}")
        there = f"https://web.example:{URL(url).port}/"
        async with fetcher(Memory(), "127.0.0.2", proxy=configured, resolver=Names(NAMES)) as fetch:
            info = await fetch.wget(asked(there, ssl_opts={"ca_cert": authority.pem}))
            assert info["code"] == 200
            assert code_of(await fetch.wget(asked(there))) == "ClientConnectorCertificateError"
    assert proxy.lines[0] == f"CONNECT web.example:{URL(url).port} HTTP/1.1"


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("up", [True, False])
async def test_password_of_a_proxy(scheme: str, up: bool) -> None:
    """A proxy is told its user and password; targets and results are not."""
    authority = Authority()
    authority.ca.issue_cert("web.example").configure_cert(authority.server)
    tls = authority.server if scheme == "https" else None
    async with target({"/": hello}, "127.0.0.2", ssl_context=tls) as url, proxying() as proxy:
        port = proxy.port if up else 1
        configured = configured_proxy(f"http://me:s3cr3t@127.0.0.1:{port}")
        async with fetcher(Memory(), "127.0.0.2", proxy=configured, resolver=Names(NAMES)) as fetch:
            for path in ("/", "/none"):
                there = f"{scheme}://web.example:{URL(url).port}{path}"
                info = await fetch.wget(asked(there, ssl_opts={"ca_cert": authority.pem}))
                assert info["ok"] is up
                encoded = base64.b64encode(b"me:s3cr3t").decode()
                assert "s3cr3t" not in str(info)
                assert encoded not in str(info)
    assert len(proxy.heads) == (2 if up else 0)
    assert all(f"Proxy-Authorization: Basic {encoded}\r\n" in head for head in proxy.heads)
    assert configured is not None and "s3cr3t" not in configured.url


@pytest.mark.parametrize("url", ["http://web.example/", "https://web.example/"])
@pytest.mark.parametrize("kind", ["down", "unknown", "no TLS", "certificate", "denies"])
async def test_where_a_proxy_is(url: str, kind: str) -> None:
    """Where the operator's proxy is, and how it is called, no result says, whatever is wrong with it."""
    authority = Authority()

    async def deny(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    tls = authority.server if kind == "certificate" else None
    async with await asyncio.start_server(deny, "127.0.0.1", 0, ssl=tls) as server:
        port = 1 if kind == "down" else server.sockets[0].getsockname()[1]
        scheme = "https" if kind in {"no TLS", "certificate"} else "http"
        host = "gateway.example" if kind == "unknown" else "127.0.0.1"
        configured = configured_proxy(f"{scheme}://{host}:{port}")
        async with fetcher(Memory(), proxy=configured, resolver=Names({})) as fetch:
            info = await fetch.wget(asked(url, timeout=10))
        await asyncio.sleep(0.1)
    assert info["ok"] is (kind == "denies" and url.startswith("http:"))
    assert not any(word in str(info) for word in (host, f":{port}", str(port)) if word != "1"), info


@pytest.mark.parametrize(
    "proxy",
    [
        *("socks5://127.0.0.1:1", "socks4://127.0.0.1:1", "ftp://x", "127.0.0.1:3128", "http://", "", "//x"),
        *("http://x:99999", "http://[::1", 1.1, 1, [], {}),
    ],
)
async def test_other_proxies(proxy: object) -> None:
    """A proxy of a kind that is not spoken, SOCKS among them, is refused in a clear sentence."""
    async with fetcher(Memory(), "127.0.0.0/8") as fetch:
        with pytest.raises(BadArgument, match=r"prox"):
            await fetch.wget(asked("http://127.0.0.1:1/", proxy=proxy))


def test_bad_configuration() -> None:
    """A configured proxy that can't be used is refused at the start, and no password is shown."""
    with pytest.raises(CannotStart, match="--http-proxy") as raised:
        configured_proxy("socks5://me:s3cr3t@127.0.0.1:1")
    assert "s3cr3t" not in str(raised.value)
    assert configured_proxy(None) is None
