"""How often somebody may ask, with a clock that is held."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashserver_aio import pace as pace_room
from hashserver_aio.errors import TooManyRequests
from hashserver_aio.pace import Pace, network_of


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


def taken(pace: Pace, caller: str, cost: float = 1) -> int:
    """Count how often in a row a caller may ask."""
    for count in range(10_000):
        try:
            pace.take(caller, cost)
        except TooManyRequests:
            return count
    raise AssertionError("there is no end")


def test_burst_and_rate() -> None:
    """After a rest one may ask so often at once, then at the rate; being refused costs nothing."""
    clock = Clock()
    pace = Pace(2, 10, clock)
    assert taken(pace, "a") == 10
    with pytest.raises(TooManyRequests) as refused:
        pace.take("a")
    assert refused.value.wait_s == pytest.approx(0.5)
    for _ in range(100):
        with pytest.raises(TooManyRequests):
            pace.take("a")
    clock.now += 0.5
    assert taken(pace, "a") == 1
    clock.now += 3
    assert taken(pace, "a") == 6
    clock.now += 10_000
    assert taken(pace, "a") == 10


def test_looking() -> None:
    """Who only looks is refused exactly where who asks would be, and has asked for nothing."""
    pace = Pace(1, 3, Clock())
    for _ in range(3):
        for _ in range(10):
            pace.look("a")
        pace.take("a")
    for verb in (pace.look, pace.take):
        with pytest.raises(TooManyRequests):
            verb("a")


def test_callers_are_strangers() -> None:
    """What one asks is nothing to another."""
    pace = Pace(1, 3, Clock())
    assert [taken(pace, caller) for caller in "abab"] == [3, 3, 0, 0]


def test_cost() -> None:
    """What costs more may be asked less often."""
    assert taken(Pace(1, 30, Clock()), "a", 10) == 3


def test_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a number of callers who asked longest ago is forgotten, and nobody is refused for it."""
    monkeypatch.setattr(pace_room, "MAX_CALLERS", 3)
    pace = Pace(1, 2, Clock())
    for caller in "abcabc":
        pace.take(caller)
    assert taken(pace, "a") == 0
    pace.take("d")
    assert len(pace._until) == 3
    assert taken(pace, "b") == 0 and taken(pace, "a") == 2


@given(moves=st.lists(st.tuples(st.floats(0, 3), st.integers(1, 4)), max_size=60))
def test_never_more_than_promised(moves: list[tuple[float, int]]) -> None:
    """One gets the burst and the rate at most; and who asks less often gets all."""
    clock = Clock()
    pace, calm, got, begin = Pace(2, 5, clock), Pace(2, 5, clock), 0, clock.now
    for wait_s, asks in moves:
        clock.now += wait_s
        for _ in range(asks):
            try:
                pace.take("a")
                got += 1
            except TooManyRequests:
                pass
        assert got <= 5 + 2 * (clock.now - begin) + 1e-6
        clock.now += 1.5
        calm.take("a")


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        (None, ""),
    ],
)
def test_networks(host: str | None, network: str) -> None:
    """Who has a network of IPv6 counts as one, as its addresses are free to take."""
    assert network_of(host) == network
