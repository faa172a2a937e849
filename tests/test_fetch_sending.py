"""Sending buffers: as the body of a request, and as fields of a form."""

from __future__ import annotations

import asyncio
import gc
import os
import re
from contextlib import suppress
from typing import Any

import pytest
from aiohttp import BodyPartReader, web

from hashserver_aio.errors import BadArgument, BufferCorrupt
from hashserver_aio.fetching import fetcher as fetcher_module
from hashserver_aio.fetching.guard import GuardedSocket

from .fetches import LOOPBACK, Memory, asked, code_of, fetcher, listening, target, to

BODY = os.urandom(300_000)


def nested(depth: int) -> object:
    """Make lists in lists."""
    made: list[object] = []
    for _ in range(depth):
        made = [made]
    return made


class Seen:
    """A target that keeps what it was sent."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.parts: list[tuple[dict[str, Any], bytes]] = []

    async def body(self, request: web.Request) -> web.StreamResponse:
        """Keep a body."""
        self.requests.append((request.method, dict(request.headers), await request.read()))
        return web.Response(status=201, text="thanks")

    async def form(self, request: web.Request) -> web.StreamResponse:
        """Keep the parts of a form."""
        self.requests.append((request.method, dict(request.headers), b""))
        async for part in await request.multipart():
            assert isinstance(part, BodyPartReader)
            about = {"name": part.name, "filename": part.filename, "type": part.headers["Content-Type"]}
            self.parts.append((about, bytes(await part.read())))
        return web.Response(text="thänks")


@pytest.mark.parametrize("body", [b"", b"x", BODY])
async def test_wput(body: bytes) -> None:
    """A buffer is sent as it is, with its length, and the answer is told of."""
    memory, seen = Memory(), Seen()
    name = memory.add(body)
    async with target({"/up": seen.body}) as url, fetcher(memory, *LOOPBACK) as fetch:
        info = await fetch.wput(name, asked(f"{url}/up", method="PUT", params={"a": "b"}))
    ((method, headers, sent),) = seen.requests
    assert (method, sent, headers["Content-Length"]) == ("PUT", body, str(len(body)))
    assert headers["Content-Type"] == "application/octet-stream"
    assert set(info) == {"ok", "url", "code", "reason", "headers"}
    assert (info["ok"], info["code"], info["reason"], info["url"]) == (True, 201, "Created", f"{url}/up?a=b")


async def test_wput_after_a_redirect() -> None:
    """A redirect that asks for the body again gets it whole."""
    memory, seen = Memory(), Seen()
    name = memory.add(BODY)
    async with target({"/a": to("/b", 307), "/b": seen.body}) as url, fetcher(memory, *LOOPBACK) as fetch:
        assert (await fetch.wput(name, asked(f"{url}/a", method="PUT")))["code"] == 201
    assert [sent for _, _, sent in seen.requests] == [BODY]


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
async def test_sending_is_guarded(host: str) -> None:
    """What may not be fetched from is sent nothing, either, and no buffer is even opened."""
    memory = Memory()
    name = memory.add(BODY)
    async with listening() as listener, fetcher(memory) as fetch:
        request = asked(f"http://{host}:{listener.port}/", method="PUT")
        assert code_of(await fetch.wput(name, request)) == "AddressRefused"
        info = await fetch.postfiles([{"name": "a", "sha256": name}], request)
        assert code_of(info) == "AddressRefused"
        assert listener.connections == 0
    assert memory.opened == []


async def test_absent_buffers() -> None:
    """What is not held is told in the result, and nobody is called."""
    async with listening() as listener, fetcher(Memory(), *LOOPBACK) as fetch:
        request = asked(f"http://127.0.0.1:{listener.port}/", method="PUT")
        assert code_of(await fetch.wput("0" * 64, request)) == "BufferNotFound"
        info = await fetch.postfiles([{"name": "a", "sha256": "0" * 64}], request)
        assert code_of(info) == "BufferNotFound"
        assert {"url", "body", "headers", "reason"} <= set(info)
        assert listener.connections == 0


async def test_a_buffer_that_rots_meanwhile() -> None:
    """A buffer that can't be read to its end is never taken for a shorter one, and the result says why."""

    class Rotten(Memory):
        async def pieces(self, sha256: str) -> Any:
            yield self.held[sha256][:1000]
            raise BufferCorrupt("rotten")

    memory, seen = Rotten(), Seen()
    name = memory.add(BODY)
    async with target({"/": seen.body}) as url, fetcher(memory, *LOOPBACK) as fetch:
        info = await fetch.wput(name, asked(url, method="PUT"))
    assert (code_of(info), info["mesg"]) == ("BufferCorrupt", "BufferCorrupt: rotten")
    assert seen.requests == []


async def test_a_target_that_takes_nothing() -> None:
    """A target that stops reading holds a fetch for its time, and its connection no longer."""
    over = asyncio.Event()

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.transport.abort()

    memory = Memory()
    name = memory.add(bytes(50 * 2**20))
    async with await asyncio.start_server(deaf, "127.0.0.1", 0, limit=2**10) as server:
        port = server.sockets[0].getsockname()[1]
        async with fetcher(memory, *LOOPBACK) as fetch, asyncio.timeout(4):
            info = await fetch.wput(name, asked(f"http://127.0.0.1:{port}/", method="PUT", timeout=0.5))
        assert code_of(info) == "TimeoutError"
        await asyncio.sleep(0.05)
        sockets = [one for one in gc.get_objects() if isinstance(one, GuardedSocket)]
        assert [one.fileno() for one in sockets if one.fileno() != -1] == []
        over.set()


async def test_postfiles() -> None:
    """A form has buffers and values, under the names and with the kinds that were asked for."""
    memory, seen = Memory(), Seen()
    name = memory.add(BODY)
    fields = [
        {"name": "file", "sha256": name, "value": "ignored", "filename": 'a "b".bin'},
        {"name": "kind", "sha256": name, "content_type": "image/png", "filename": None},
        {"name": "text", "value": "wörds"},
        {"name": "json", "value": {"a": [1]}, "content_type": "application/json"},
        {"name": "none", "content_transfer_encoding": "binary"},
        {"name": "bytes", "value": b"\0\1"},
    ]
    async with target({"/": seen.form}) as url, fetcher(memory, *LOOPBACK) as fetch:
        info = await fetch.postfiles(fields, asked(url, method="POST", headers={"X-A": "b"}))
    octets, text = "application/octet-stream", "text/plain; charset=utf-8"
    assert seen.parts == [
        ({"name": "file", "filename": "a%20%22b%22.bin", "type": octets}, BODY),  # as the Axon sends it
        ({"name": "kind", "filename": None, "type": "image/png"}, BODY),
        ({"name": "text", "filename": None, "type": text}, "wörds".encode()),
        ({"name": "json", "filename": None, "type": "application/json"}, b'{"a":[1]}'),
        ({"name": "none", "filename": None, "type": text}, b"null"),
        ({"name": "bytes", "filename": None, "type": octets}, b"\0\1"),
    ]
    ((method, headers, _),) = seen.requests
    assert (method, headers["X-A"]) == ("POST", "b")
    assert int(headers["Content-Length"]) > 2 * len(BODY)
    assert set(info) == {"ok", "url", "code", "reason", "headers", "body"}
    assert (info["code"], info["body"]) == (200, "thänks".encode())


@pytest.mark.parametrize(
    "fields",
    [
        None,
        {},
        ["a"],
        [{}],
        [{"name": 5}],
        [{"name": "a", "sha256": 5}],
        [{"name": "a", "filename": 5}],
        [{"name": "a", "content_type": []}],
        [{"name": "a", "value": ""}] * 1001,
        [{"name": "a", "sha256": "foobar"}],
        [{"name": "\ud800", "value": ""}],
        [{"name": "a", "value": "\ud800"}],
        [{"name": "a", "value": ["\ud800"]}],
        [{"name": "a", "value": nested(10_000)}],
        [{"name": "a", "value": "", "filename": "\ud800"}],
        [{"name": "a\r\nX: y", "value": "b"}],
        [{"name": "a", "value": "b", "filename": "x\r\nY: z"}],
        [{"name": "a", "value": "", "content_type": "text/plain\r\nX: y"}],
        [{"name": "a", "value": "", "content_type": "text/plain; charset=foo"}],
        [{"name": "a", "value": "", "content_type": "text/plain; charset=hex"}],
        [{"name": "a", "value": "\u20ac", "content_type": "text/plain; charset=latin-1"}],
    ],
)
async def test_bad_fields(fields: object) -> None:
    """What is no list of fields that can be sent is refused, like any other argument."""
    async with fetcher(Memory(), *LOOPBACK) as fetch:
        with pytest.raises(BadArgument):
            await fetch.postfiles(fields, asked("http://127.0.0.1:1/", method="POST"))


@pytest.mark.parametrize("sha256", [None, 5, "", "foobar", "\ud800", "0" * 63, "g" * 64])
async def test_bad_names(sha256: object) -> None:
    """What is no SHA-256 is refused, like any other argument."""
    async with fetcher(Memory(), *LOOPBACK) as fetch:
        with pytest.raises(BadArgument):
            await fetch.wput(sha256, asked("http://127.0.0.1:1/", method="PUT"))


@pytest.mark.parametrize("more", [-1, 1, 2**20])
@pytest.mark.parametrize("form", [False, True])
async def test_a_buffer_of_another_length(more: int, form: bool) -> None:
    """Never is more sent than was announced: it would be read as another request; nor less."""

    class Wrong(Memory):
        async def size(self, sha256: str) -> int:
            return len(self.held[sha256]) - more

    received, over = bytearray(), asyncio.Event()

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await reader.read(2**16):
                received.extend(piece)
        writer.transport.abort()
        over.set()

    memory = Wrong()
    name = memory.add(b"x" * (2**20 + 5))
    async with await asyncio.start_server(keep, "127.0.0.1", 0) as server:
        request = asked(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", method="PUT")
        async with fetcher(memory, *LOOPBACK) as fetch, asyncio.timeout(30):
            if form:
                assert (
                    code_of(await fetch.postfiles([{"name": "a", "sha256": name}], request))
                    == "BufferCorrupt"
                )
            else:
                assert code_of(await fetch.wput(name, request)) == "BufferCorrupt"
            await over.wait()
    head, _, body = received.partition(b"\r\n\r\n")
    announced = re.search(rb"Content-Length: (\d+)", head)
    assert not received or (announced is not None and len(body) < int(announced[1]))


async def test_long_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer to a form is held only as far as it may be."""
    monkeypatch.setattr(fetcher_module, "MAX_ANSWER_BYTES", 5)
    async with target({"/": Seen().form}) as url, fetcher(Memory(), *LOOPBACK) as fetch:
        info = await fetch.postfiles([{"name": "a", "value": ""}], asked(url, method="POST"))
    assert code_of(info) == "ClientPayloadError"
