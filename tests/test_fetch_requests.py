"""What may be asked of a fetch, and what it means."""

from __future__ import annotations

import pytest

from hashserver_aio.errors import BadArgument, BadBody
from hashserver_aio.fetching import read_request

from .fetches import asked


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"url": 1},
        {"params": 5},
        {"headers": []},
        {"headers": {"a": 1}},
        {"method": "CONNECT"},
        {"method": "connect"},
        {"method": "GET /x HTTP/1.1\r\nA:"},
        {"method": 5},
        {"timeout": -1},
        {"timeout": "5"},
        {"timeout": True},
        {"timeout": float("nan")},
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
    url: dict[str, object] = {"url": "http://127.0.0.1/"} if given else {}
    with pytest.raises((BadArgument, BadBody)):
        read_request(url | given, "GET")


@pytest.mark.parametrize(
    ("given", "seconds"), [(None, 86400), (0, 86400), (10**9, 86400), (1.5, 1.5), (3, 3)]
)
def test_timeouts(given: float | None, seconds: float) -> None:
    """A fetch has the time that it was given, and never more than a day."""
    assert asked("http://127.0.0.1/", timeout=given).timeout_s == seconds
