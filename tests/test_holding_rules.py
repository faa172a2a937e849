"""Which servers, URLs and options a node takes."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web

from hashserver_aio.errors import BadAnswer, BadArgument, CannotStart, ServerUnreachable
from hashserver_aio.holding import origin_of
from hashserver_aio.holding.calls import MAX_ANSWER_BYTES, about
from hashserver_aio.server.app import refuse
from hashserver_aio.server.listening import bound, with_public_url
from hashserver_aio.settings import Holding, Listening, Settings

from .clients import says
from .fetches import target


@pytest.mark.parametrize(
    "answer",
    [says(404), says(200), says(200, b"[]"), says(200, b'{"key": 1}'), says(200, b"[" * 60_000),
     says(200, b'{"key": "%b", "algorithm": "md5"}' % (b"0" * 64)), says(302, Location="/"),
     says(200, bytes(MAX_ANSWER_BYTES + 1))],
)  # fmt: skip
async def test_no_server_of_nodes(answer: object) -> None:
    """What is no server of nodes, or says what makes no sense, is told from one that is away."""
    async with target({"/api/nodes/server": answer}) as url:  # type: ignore[dict-item]  # parametrized
        with pytest.raises(BadAnswer):
            await about(url)
    with pytest.raises(ServerUnreachable):
        await about(url)


async def test_dies_while_answering() -> None:
    """A server that hangs up in the middle is one that can't be reached."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = 10
        await response.prepare(request)
        assert request.transport is not None
        request.transport.close()
        return response

    async with target({"/api/nodes/server": answer}) as url:
        with pytest.raises(ServerUnreachable):
            await about(url)


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        ("http://Host:80/", "http://host"),
        ("https://h:8443", "https://h:8443"),
        ("http://[::1]:1", "http://[::1]:1"),
    ],
)
def test_origin(given: str, origin: str) -> None:
    """A URL of a server or node is brought into its usual spelling."""
    assert origin_of(given) == origin


@pytest.mark.parametrize(
    "given",
    ["", "host", "host:80", "ftp://h", "http://", "http://h/path", "http://h?q", "http://h#f", "http://h:99999",
     "http://me:s3cret@h", "http:///path"],
)  # fmt: skip
def test_no_origin(given: str) -> None:
    """Anything more than a scheme, a host and a port is refused, and not repeated."""
    with pytest.raises(BadArgument) as refused:
        origin_of(given)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("more", "why"),
    [({"server": "http://h/x"}, "--server"), ({"public_url": "h"}, "--public-url"),
     ({"payout_address": "x"}, "--payout-address")],
)  # fmt: skip
def test_refused_rules(directory: Path, more: dict[str, str], why: str) -> None:
    """What could be no node is refused before anything is opened."""
    given = {"server": "http://h", "key": directory / "key"} | more
    with pytest.raises(CannotStart, match=why):
        refuse(Settings(directory=directory, writable=True, holding=Holding(**given)))  # type: ignore[arg-type]
    with pytest.raises(CannotStart, match="writable"):
        refuse(Settings(directory=directory, holding=Holding(server="http://h", key=directory / "key")))


def test_public_url(directory: Path) -> None:
    """A node is reached where it listens, if that is one place, or where it was told to be."""
    holding = Holding(server="http://h", key=directory / "key")
    settings = Settings(directory=directory, writable=True, holding=holding)
    with bound("127.0.0.1", range(1)) as here, bound("0.0.0.0", range(1)) as anywhere:
        found = with_public_url(settings, Listening(), [here]).holding
        assert found is not None and found.public_url == f"http://127.0.0.1:{here.getsockname()[1]}"
        with pytest.raises(CannotStart, match="--public-url"):
            with_public_url(settings, Listening(), [anywhere])
        told = Settings(
            directory=directory, holding=Holding(server="http://h", key=directory, public_url="http://p")
        )
        assert with_public_url(told, Listening(), [anywhere]) == told
