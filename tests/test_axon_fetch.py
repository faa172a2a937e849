"""Fetching through the axon face: into the store and out of it, for those who may."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from hashserver_aio.checksums import Algorithm
from hashserver_aio.settings import Limits

from .conftest import Client, ClientFactory, ServerFactory
from .fetches import GONE, hello, listening, target, trickle
from .peers import Peer
from .servers import RunningServer, refused

BODY = os.urandom(900_000)
SHA256 = hashlib.sha256(BODY).hexdigest()
AXON = "/api/v1/axon"
LOOPBACK = ("127.0.0.0/8",)


async def ask(client: Client, name: str, given: object, status: int = 200, **headers: str) -> dict[str, Any]:
    """Ask for a fetch: what comes of it, or the whole answer if that is no success."""
    async with client.post(f"{AXON}/{name}", json=given, headers=headers) as answer:
        told: dict[str, Any] = await answer.json()
        assert (answer.status, told["status"]) == (status, "ok" if status == 200 else "err"), told
    result: dict[str, Any] = told["result"] if status == 200 else told
    return result


@pytest.fixture
async def fetching(start_client: ClientFactory) -> Client:
    """A client of a server that may fetch from loopback."""
    return await start_client(allow_fetch=True, fetch_allow=LOOPBACK)


@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("body", [b"", b"small", BODY], ids=["empty", "small", "long"])
async def test_wget(start_client: ClientFactory, algorithm: Algorithm, body: bytes) -> None:
    """What is fetched is held: under its SHA-256, and under the store's own name."""
    client = await start_client(allow_fetch=True, fetch_allow=LOOPBACK, algorithm=algorithm)

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=404, body=body, headers={"X-A": "b"})

    async with target({"/": answer}) as url:
        info = await ask(client, "wget", {"url": url})
    assert (info["ok"], info["code"], info["size"], info["headers"]["X-A"]) == (True, 404, len(body), "b")
    assert info["hashes"] == {name: hashlib.new(name, body).hexdigest() for name in info["hashes"]}
    assert set(info["hashes"]) == {"md5", "sha1", "sha256", "sha512"}
    own = hashlib.new(algorithm.replace("sha-", "sha").replace("-", "_"), body).hexdigest()
    for path in (f"{AXON}/files/by/sha256/{info['hashes']['sha256']}", f"/{own}"):
        assert await (await client.get(path)).read() == body


@pytest.mark.parametrize("form", [{}, {"Content-Encoding": "gzip"}], ids=["plain", "gzip"])
async def test_wput_and_postfiles(fetching: Client, form: dict[str, str]) -> None:
    """What is held is sent by its SHA-256, always as plain bytes, with its length."""
    path = f"/{hashlib.sha3_256(BODY).hexdigest()}"
    stored = gzip.compress(BODY, 1) if form else BODY
    assert (await fetching.put(path, data=stored, headers=form)).status == 200
    seen: list[tuple[bytes, str | None]] = []

    async def keep(request: web.Request) -> web.StreamResponse:
        seen.append((await request.read(), request.headers.get("Content-Length")))
        return web.Response(body=b"th\xffnks")

    async with target({"/": keep}) as url:
        info = await ask(fetching, "wput", {"url": url, "sha256": SHA256.upper(), "headers": {"X": "y"}})
        assert (info["ok"], info["code"], seen.pop()) == (True, 200, (BODY, str(len(BODY))))
        info = await ask(fetching, "postfiles", {"url": url, "fields": [{"name": "a", "sha256": SHA256}]})
    sent, length = seen.pop()
    assert BODY in sent and length == str(len(sent))
    assert b64decode(info["body"]) == b"th\xffnks"


async def test_what_goes_wrong_there(fetching: Client) -> None:
    """What goes wrong on the way, or is not held, is told as the Axon tells it, and is no error of ours."""
    info = await ask(fetching, "wget", {"url": "http://10.0.0.1/"})
    assert (info["ok"], info["code"], info["err"][0]) == (False, -1, "AddressRefused")
    info = await ask(fetching, "wget", {"url": "vertex.link"})
    assert info["mesg"].startswith("InvalidUrlClientError: vertex.link")
    for name, more in (
        ("wput", {"sha256": "0" * 64}),
        ("postfiles", {"fields": [{"name": "a", "sha256": "0" * 64}]}),
    ):
        info = await ask(fetching, name, {"url": "http://127.0.0.1:1/"} | more)
        mesg = "Axon does not contain the requested file."
        assert info["err"] == ["NoSuchFile", {"mesg": mesg, "sha256": "0" * 64}]
        assert info["reason"] == f"Exception occurred during request: NoSuchFile: {mesg}"


@pytest.mark.parametrize(
    ("name", "given", "code"),
    [
        ("wget", [], "SchemaViolation"),
        ("wget", {}, "BadArg"),
        ("wget", {"url": "http://127.0.0.1/", "proxies": 1}, "SchemaViolation"),
        ("wget", {"url": "http://127.0.0.1/", "proxy": 1.1}, "BadArg"),
        ("wget", {"url": "http://127.0.0.1/", "proxy": "socks5://127.0.0.1:1"}, "BadArg"),
        ("wget", {"url": "http://127.0.0.1/", "body": 5}, "BadArg"),
        ("wget", {"url": "https://127.0.0.1/", "ssl_opts": {"client_cert": "no PEM"}}, "BadArg"),
        ("wput", {"url": "http://127.0.0.1/"}, "BadArg"),
        ("wput", {"url": "http://127.0.0.1/", "sha256": "x", "ssl_opts": {"x": 1}}, "SchemaViolation"),
        ("wput", {"url": "http://127.0.0.1/", "sha256": "foobar"}, "BadArg"),
        ("postfiles", {"fields": []}, "BadArg"),
        ("postfiles", {"url": "http://127.0.0.1/", "fields": None}, "BadArg"),
        ("postfiles", {"url": "http://127.0.0.1/", "fields": [{"name": 5}]}, "BadArg"),
        ("postfiles", {"url": "http://127.0.0.1/", "fields": [{"name": "a", "sha256": "x"}]}, "BadArg"),
        ("postfiles", {"url": "http://\ud800/", "fields": []}, "BadArg"),
        ("wget", {"url": "http://127.0.0.1/", "headers": {"X": "\udfff"}}, "BadArg"),
        ("wget", {"url": "http://127.0.0.1/", "headers": {"Content-Length": "0"}}, "BadArg"),
        ("wget", {"url": "http://127.0.0.1/", "body": {"a": {"b": 1}}}, "BadArg"),
        ("wget", {"url": "http://127.0.0.1/", "method": "TRACE"}, "BadArg"),
    ],
)
async def test_bad_requests(fetching: Client, name: str, given: object, code: str) -> None:
    """What can't be understood is a 400 in the Axon's words, and nobody is called."""
    assert (await ask(fetching, name, given, 400))["code"] == code


async def test_who_may_not(start_client: ClientFactory, fetching: Client) -> None:
    """Without --allow-fetch nothing is fetched; nor into a server that only reads, nor for foreign pages."""
    async with listening() as listener:
        url = f"http://127.0.0.1:{listener.port}/"
        everything: dict[str, dict[str, object]] = {
            "wget": {},
            "wput": {"sha256": SHA256},
            "postfiles": {"fields": []},
        }
        closed = await start_client(fetch_allow=LOOPBACK)
        for name, more in everything.items():
            assert (await ask(closed, name, {"url": url} | more, 403))["code"] == "AuthDeny"
            foreign = await ask(fetching, name, {"url": url} | more, 403, Origin="https://evil.example")
            assert foreign["code"] == "AuthDeny"
        reading = await start_client(allow_fetch=True, fetch_allow=LOOPBACK, writable=False)
        assert (await ask(reading, "wget", {"url": url}, 405))["code"] == "IsReadOnly"
        assert listener.connections == 0
        assert (await ask(reading, "postfiles", {"url": url, "fields": []}))["ok"]


async def test_limits(start_client: ClientFactory) -> None:
    """What is too large, or too much, is told and not stored; a stated length is judged before the body."""
    asked = 0

    async def announce(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        response = web.StreamResponse(headers={"Content-Length": str(10**12)})
        await response.prepare(request)
        asked += 1
        await asyncio.sleep(10)
        return response

    gone = asyncio.Event()
    routes = {"/announced": announce, "/fast": trickle, "/hello": hello}
    async with target(routes, app={GONE: gone}) as url:
        for limit, path, code in (
            ({"max_buffer_bytes": 2**20}, "/announced", "BufferTooLarge"),
            ({"max_buffer_bytes": 2**20}, "/fast", "BufferTooLarge"),
            ({"max_buffer_bytes": 2}, "/hello", "BufferTooLarge"),
        ):
            client = await start_client(allow_fetch=True, fetch_allow=LOOPBACK, **limit)
            async with asyncio.timeout(5):
                info = await ask(client, "wget", {"url": url + path})
            assert info["err"][0] == code
    assert (asked, gone.is_set()) == (1, True)
    assert await (await client.get(f"{AXON}/metrics")).json() == {
        "status": "ok",
        "result": {"size:bytes": 0, "file:count": 0},
    }


async def test_count(start_client: ClientFactory) -> None:
    """A server that holds as many buffers as it may says so in the Axon's word."""
    client = await start_client(allow_fetch=True, fetch_allow=LOOPBACK, limits=Limits(count=1))
    assert (await client.put(f"{AXON}/files/put", data=b"the one")).status == 200
    async with target({"/": hello}) as url:
        assert (await ask(client, "wget", {"url": url}))["err"][0] == "HitLimit"


async def test_slow_bodies(fetching: Client, directory: Path) -> None:
    """A body that comes in bits is stored whole; one that does not end in time leaves nothing behind."""

    async def bits(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for number in range(5):
            await response.write(b"%d" % number)
            await asyncio.sleep(0.1)
        return response

    async with target({"/bits": bits, "/slow": trickle}, app={GONE: asyncio.Event()}) as url:
        info = await ask(fetching, "wget", {"url": f"{url}/bits"})
        assert info["hashes"]["sha256"] == hashlib.sha256(b"01234").hexdigest()
        info = await ask(fetching, "wget", {"url": f"{url}/slow", "timeout": 0.5})
        assert info["err"][0] == "TimeoutError"
    assert not list((directory / ".hashserver-aio" / "tmp").glob("*/*"))


async def test_no_text(fetching: Client) -> None:
    """Bytes of another server that are no text are told without being any."""

    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.write(b"HTTP/1.1 200 OK\r\nX-A: a\xffb\r\nContent-Length: 0\r\n\r\n")
        request.transport.close()
        return web.Response()

    async with target({"/": answer}) as url:
        assert (await ask(fetching, "wget", {"url": url}))["headers"]["X-A"] == "a?b"


async def test_who_asked_is_gone(start_server: ServerFactory, directory: Path) -> None:
    """When who asked hangs up, the other server is hung up on."""
    server = start_server(directory, "--writable", "--allow-fetch", "--fetch-allow", "127.0.0.1")
    came, gone, peer = asyncio.Event(), asyncio.Event(), Peer(server.url)

    async def come(request: web.Request) -> web.StreamResponse:
        came.set()
        return await trickle(request)

    async with target({"/": come}, app={GONE: gone}) as url:
        asking = asyncio.create_task(peer.session.post(f"{AXON}/wget", json={"url": url}))
        async with asyncio.timeout(30):
            await came.wait()
        asking.cancel()
        async with asyncio.timeout(5):
            await gone.wait()
    await peer.session.close()
    assert server.stop() == 0
    assert not list((directory / ".hashserver-aio" / "tmp").glob("*/*"))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("fetch-allow", "10.0.0.1/8"),
        ("fetch-allow", "http://x"),
        ("http-proxy", "socks5://me:s3cr3t@127.0.0.1:1"),
        ("http-proxy", "me:s3cr3t@127.0.0.1:3128"),
    ],
)
def test_wrong_options(directory: Path, option: str, value: str) -> None:
    """What can't be fetched from or through is refused at the start, and no password is shown."""
    said = refused("--dir", str(directory), f"--{option}", value)
    assert f"--{option}" in said and "s3cr3t" not in said
    variable = "HASHSERVER_" + option.upper().replace("-", "_")
    assert f"--{option}" in refused("--dir", str(directory), **{variable: value})


async def test_by_the_environment(start_server: ServerFactory, directory: Path) -> None:
    """The options come from the environment as well, several networks separated by spaces."""
    env = {"HASHSERVER_ALLOW_FETCH": "1", "HASHSERVER_FETCH_ALLOW": "10.0.0.0/8 127.0.0.1"}
    server: RunningServer = start_server(directory, "--writable", env=env)
    peer = Peer(server.url)
    async with target({"/": hello}) as url:
        async with peer.session.post(f"{AXON}/wget", json={"url": url}) as answer:
            assert (await answer.json())["result"]["size"] == 5
    await peer.session.close()
