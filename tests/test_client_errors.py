"""What a server raises is raised by the client, and no secret with it."""

from __future__ import annotations

import re
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from hashserver_aio import Client
from hashserver_aio import errors as e
from hashserver_aio.client import refusals
from hashserver_aio.passwords import Scrypt, digest_of
from hashserver_aio.server import node_words
from hashserver_aio.server.axon import words as axon
from hashserver_aio.server.errors import STATUS
from hashserver_aio.server.words import PLAIN_TEXT, WORDS

from .clients import lying, name, says
from .conftest import ClientFactory

WIDER = {
    e.BadChecksum: e.BadArgument,
    e.RecordTooLong: e.BadContent,
    e.ForeignOrigin: e.NotPermitted,
    e.NoSuchFile: e.BufferNotFound,
}
"""For these the Axon has the same word as for others."""

UNWORDED: dict[type[e.HashserverError], e.HashserverError] = {
    e.NoSuchFile: e.NoSuchFile(),
    e.BadAddress: e.BadAddress(),
    e.NotSigned: e.NotSigned(),
    e.NodeNotFound: e.NodeNotFound(),
    e.AlreadyRegistered: e.AlreadyRegistered(),
    e.HeightTooLarge: e.HeightTooLarge(),
    e.NodeMoved: e.NodeMoved(),
    e.TooManyRequests: e.TooManyRequests(1.0),
}
"""These have one message each."""


def made(kind: type[e.HashserverError]) -> e.HashserverError:
    """Make an error of a class."""
    if kind is e.BadChecksum:
        return e.BadChecksum("x", "Value error, Wrong length")
    if kind in UNWORDED:
        return UNWORDED[kind]
    return e.BadNameList("list_type", "why") if kind is e.BadNameList else kind("why")


def body_of(response: web.Response) -> bytes:
    """Take the body of an answer."""
    return cast(bytes, response.body)


@pytest.mark.parametrize("kind", STATUS, ids=lambda kind: kind.__name__)
def test_same_class(kind: type[e.HashserverError]) -> None:
    """Whatever a server raises, the client raises, whichever face it comes through."""
    request = make_mocked_request("GET", "/", match_info=cast(Any, {"sha256": "ab" * 32}))
    told = WORDS.refusal(request, made(kind), STATUS[kind])
    assert type(refusals.refusal(told.status, body_of(told), "name")) is kind
    told = node_words.WORDS.refusal(request, made(kind), STATUS[kind])
    assert type(refusals.refusal(told.status, body_of(told), "name")) is kind
    told = axon.WORDS.refusal(request, made(kind), STATUS[kind])
    found = refusals.refusal(told.status, body_of(told), "name")
    assert type(found) is WIDER.get(kind, kind)
    assert "why" in str(found) or kind in (e.BadChecksum, e.BufferNotFound, e.NotAuthenticated, *UNWORDED)


def test_tables() -> None:
    """The words that the client knows are those that the faces have."""
    assert refusals.CODES.keys() == set(axon.CODES.values())
    assert {kind: text for text, kind in refusals.PLAIN_TEXT.items()} == PLAIN_TEXT
    assert all(STATUS[axon_kind] for axon_kind in refusals.CODES.values())


@pytest.mark.parametrize("status", sorted(set(STATUS.values()) - {HTTPStatus.BAD_REQUEST}))
def test_status_alone(status: int) -> None:
    """Where there are no words, the status tells as much as it can."""
    assert refusals.refusal(status, b"", "name").__class__ in {*STATUS, e.BadAnswer}


async def test_credentials(start_client: ClientFactory, tmp_path: Path) -> None:
    """A user with a password, and a key, may do what they may; whoever is unknown is told so."""
    path = tmp_path / "auth.toml"
    path.write_text(
        f'[users.me]\npassword = "{Scrypt.of("pässword")}"\npermissions = ["write"]\n'
        f'[keys.backup]\nsha256 = "{digest_of("key").hex()}"\npermissions = ["read"]\n'
    )
    url = str((await start_client(auth_file=path)).make_url(""))
    with_user = url.replace("http://", "http://me:p%C3%A4ssword@")
    async with Client(url, auth=("me", "pässword"), algorithm="sha3-256") as writer:
        assert (await writer.put(b"hello")).is_new
        with pytest.raises(e.NotPermitted):
            await writer.get(name(b"hello"))
    async with Client(with_user, algorithm="sha3-256") as writer:
        assert not (await writer.put(b"hello")).is_new
    async with Client(url, auth="key") as reader:
        assert await reader.get(name(b"hello")) == b"hello"
        with pytest.raises(e.NotPermitted):
            await reader.put(b"other")
    for auth in (None, "wrong", ("me", "wrong")):
        async with Client(url, auth=auth) as nobody:
            with pytest.raises(e.NotAuthenticated):
                await nobody.metrics()


SECRETS = ["s3cret-password", "s3cretkey", "s3cret-of-url"]


async def test_no_secret_is_told(unused_tcp_port: int, caplog: pytest.LogCaptureFixture) -> None:
    """No credential is shown by the client, an error or a log line, whatever goes wrong."""
    caplog.set_level(0)
    seen: list[str] = []
    for auth in (("me", SECRETS[0]), SECRETS[1], None):
        async with lying(says(401), says(403, b"<html>"), says(200, b"nonsense"), retries=0) as (liar, _):
            host = liar.url.removeprefix("http://")
            for where in (host, f"127.0.0.1:{unused_tcp_port}"):
                url = f"http://{where}" if auth else f"http://you:{SECRETS[2]}@{where}"
                async with Client(url, auth=auth, retries=0, algorithm="sha3-256") as client:
                    seen += [repr(client), client.url]
                    for _ in range(3):
                        with pytest.raises(e.HashserverError) as caught:
                            await client.get(name(b"hello"))
                        seen.append(repr(caught.getrepr(chain=True, showlocals=False)) + str(caught.value))
            assert all("Authorization" in request.headers for request in liar.asked)
    text = "\n".join([*seen, caplog.text])
    assert len(liar.asked) == 3 and not re.search("s3cret", text)


@pytest.mark.parametrize(
    ("url", "auth"),
    [("ftp://host", None), ("nonsense", None), ("http://", None), ("http://h:99999", None), ("http://h", ""),
     ("http://h", "two words"), ("http://h", "new\nline"), ("http://h", ("a:b", "c"))],
)  # fmt: skip
def test_bad_arguments(url: str, auth: Any) -> None:
    """A URL that is none, and credentials that can't be sent, are refused at once."""
    with pytest.raises(e.BadArgument):
        Client(url, auth=auth)
