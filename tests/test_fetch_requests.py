"""What may be asked of a fetch, and what it means."""

from __future__ import annotations

import pytest

from hashserver_aio.errors import BadArgument, BadBody
from hashserver_aio.fetching import read_request

from .fetches import LOOPBACK, Memory, asked, fetcher

FRAMING = (
    *(
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
        "Keep-Alive",
        "TE",
        "Trailer",
        "Upgrade",
        "Expect",
    ),
    *("Proxy-Authorization", "Proxy-Connection", "Proxy-Anything"),
)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"url": 1},
        {"params": 5},
        {"headers": []},
        {"headers": {"a": 1}},
        {"headers": {"": "x"}},
        {"headers": {"a b": "x"}},
        {"headers": {"a: b": "x"}},
        {"headers": {"a\r\nb": "x"}},
        {"headers": {"\xe9": "x"}},
        {"headers": {"a": "x\r\nb: y"}},
        {"headers": {"a": "x\0"}},
        {"headers": {"a": "\ud800"}},
        {"headers": {"a": "1", "A": "2"}},
        *[{"headers": {name: "1"}} for name in FRAMING],
        *[{"headers": {name.lower(): "1"}} for name in FRAMING],
        {"url": "http://me:pass@127.0.0.1/", "headers": {"authorization": "x"}},
        {"url": "http://\ud800/"},
        {"params": "\ud800"},
        {"params": {"a": None}},
        {"params": {"a": True}},
        {"params": {"a": float("inf")}},
        {"params": {"a": {"b": 1}}},
        {"params": {"a": [[1]]}},
        {"params": {"\ud800": "b"}},
        {"params": {"a": "\ud800"}},
        {"params": ["ab"]},
        {"params": [["a", "b", "c"]]},
        {"params": [{"a": 1, "b": 2}]},
        {"params": True},
        {"method": "CONNECT"},
        {"method": "connect"},
        {"method": "TRACE"},
        {"method": "track"},
        {"method": "GET /x HTTP/1.1\r\nA:"},
        {"method": 5},
        {"timeout": -1},
        {"timeout": "5"},
        {"timeout": True},
        {"timeout": float("nan")},
        {"timeout": -(10**400)},
        {"timeout": float("inf")},
        {"ssl": "no"},
        {"ssl_opts": []},
        {"ssl_opts": {"verify": 1}},
        {"ssl_opts": {"client_cert": 1}},
        {"ssl_opts": {"other": 1}},
    ],
)
def test_bad_requests(given: dict[str, object]) -> None:
    """What can't be understood is refused, not guessed."""
    url: dict[str, object] = {"url": "http://127.0.0.1/"} if given else {}  # of nothing, also no URL
    with pytest.raises((BadArgument, BadBody)):
        read_request(url | given, "GET")


@pytest.mark.parametrize(
    ("given", "seconds"), [(None, 86400), (0, 86400), (10**9, 86400), (10**400, 86400), (1.5, 1.5), (3, 3)]
)
def test_timeouts(given: float | None, seconds: float) -> None:
    """A fetch has the time that it was given, and never more than a day."""
    assert asked("http://127.0.0.1/", timeout=given).timeout_s == seconds


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (None, ()),
        ({}, ()),
        ("a=b", "a=b"),
        ({"a": 1, "b": [2.5, "\xfc"], "c": []}, [("a", "1"), ("b", "2.5"), ("b", "\xfc")]),
        ([["a", "b"], ["a", [1]]], [("a", "b"), ("a", "1")]),
    ],
)
def test_params(given: object, sent: object) -> None:
    """Names have a value each or several, which are texts or numbers."""
    assert asked("http://127.0.0.1/", params=given).params in (sent, [])


def nested(depth: int) -> object:
    """Make lists in lists."""
    made: list[object] = []
    for _ in range(depth):
        made = [made]
    return made


@pytest.mark.parametrize(
    "given",
    [
        {"json": 1, "body": "x"},
        {"json": nested(100_000)},
        {"json": {"a": {1, 2}}},
        {"body": 5},
        {"body": ["a"]},
        {"body": "\ud800"},
        {"body": {"a": None}},
        {"body": {"a": True}},
        {"body": {"a": {"b": 1}}},
        {"body": {"a": [["b"]]}},
        {"body": {"a": "\ud800"}},
        {"body": {"\ud800": "a"}},
    ],
)
async def test_bad_bodies(given: dict[str, object]) -> None:
    """A body that can't be sent as it was meant is refused, and not sent as something else."""
    async with fetcher(Memory(), *LOOPBACK) as fetch:
        with pytest.raises(BadArgument):
            await fetch.wget(asked("http://127.0.0.1:1/", method="POST"), **given)
