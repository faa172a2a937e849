"""Where the fast path's answers are not the ordinary ones."""

from __future__ import annotations

import asyncio
import gzip
import os
from pathlib import Path

import pytest

from .conftest import Client, ClientFactory
from .fast import Clock, count_answers, name_of, stored, without_fast_path
from .peers import lay
from .wire import Wire, body_of, conversation, get, normal, status_of

BODY = b"some buffer"
NAME = name_of(BODY)
PLAIN = get(NAME)
LONG = b"a longer buffer" * 100
LONG_NAME = name_of(LONG)


async def test_empty_buffer_looked_at_anew(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer with an empty buffer is one answer, also after its file was looked at again."""
    clock, answered = Clock(monkeypatch), count_answers(monkeypatch)
    name = await stored(client, b"")
    wire = await Wire.to(client)
    answers = [normal(await wire.ask(get(name))) for _ in range(3)]
    for _ in range(3):
        clock.ahead_s += 1.01
        answers.append(normal(await wire.ask(get(name))))
    assert len(answered) == 4
    assert len(set(answers)) == 1


REFUSED = {
    "no Host": PLAIN.replace(b"Host: t", b"Accept: */*"),
    "two Hosts": get(NAME, "Host: other"),
    "the same Host twice": get(NAME, "host: t"),
    "two agents": get(NAME, "User-Agent: a", "User-Agent: b"),
    "many headers": get(NAME, *["Accept:"] * 130),
}


@pytest.mark.parametrize("request_", REFUSED.values(), ids=[*REFUSED])
async def test_refused_heads(client: Client, monkeypatch: pytest.MonkeyPatch, request_: bytes) -> None:
    """What aiohttp refuses is refused on a watched connection too."""
    wire = await (await Wire.to(client)).watched(await stored(client, BODY))
    assert status_of(await wire.ask(request_)) == 400
    wire = await Wire.to(without_fast_path(client, monkeypatch))
    assert status_of(await wire.ask(request_)) == 400


@pytest.mark.parametrize("other", ["websocket", "tcp"])
async def test_upgrade_with_a_body(
    client: Client, start_client: ClientFactory, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    """After an upgrade with a body, which aiohttp never gets over, no later request overtakes another."""
    name = await stored(client, BODY)
    ordinary = without_fast_path(await start_client(), monkeypatch)
    length = f"Content-Length: {len(PLAIN)}"
    asked = get(name, "Connection: Upgrade", f"Upgrade: {other}", length)
    segments = (asked, PLAIN, get(name, "Cookie: of=another"), PLAIN)
    fast, expected = await asyncio.gather(
        *(conversation(server, segments, name) for server in (client, ordinary))
    )
    assert fast == expected


@pytest.fixture
def packed() -> bytes:
    """Make the compressed form of LONG, which `lay` puts beside the plain one."""
    return gzip.compress(LONG, mtime=0)


async def test_form_beside_an_extra_directory(
    start_client: ClientFactory,
    directory: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    packed: bytes,
) -> None:
    """The first place that holds a buffer in whatever form sends it, the fast way as the ordinary."""
    extra = tmp_path / "extra"
    extra.mkdir()
    lay(extra, LONG)
    await asyncio.sleep(1.1)
    client = await start_client(extra_dirs=(extra,))
    wire = await (await Wire.to(client)).watched(LONG_NAME)  # it is the one in the extra directory
    lay(directory, packed, f"{LONG_NAME}.gz")
    os.utime(directory / LONG_NAME[:2] / f"{LONG_NAME}.gz")
    ordinary = await Wire.to(without_fast_path(await start_client(extra_dirs=(extra,)), monkeypatch))
    assert normal(await wire.ask(get(LONG_NAME))) == normal(await ordinary.ask(get(LONG_NAME)))


async def test_better_form_comes(
    client: Client, directory: Path, monkeypatch: pytest.MonkeyPatch, packed: bytes
) -> None:
    """A form that a client likes better is sent within a second of when it is stored."""
    clock = Clock(monkeypatch)
    request = get(await stored(client, LONG), "Accept-Encoding: gzip")
    wire = await Wire.to(client)
    for _ in range(3):
        assert body_of(await wire.ask(request)) == LONG
    lay(directory, packed, f"{LONG_NAME}.gz")
    clock.ahead_s += 1.01
    assert body_of(await wire.ask(request)) == packed
