"""Whether a server was awake for long enough, by clocks of a test."""

from __future__ import annotations

from hashserver_aio.fleet.waking import GAP_S, Wakefulness

SETTLING_S = 60.0


class Clocks:
    """The time of day, and a clock that nobody sets."""

    def __init__(self) -> None:
        self.day_s, self.ticks_s = 1_800_000_000.0, 100.0
        self.waking = Wakefulness(SETTLING_S, clock=lambda: self.day_s, ticks=lambda: self.ticks_s)

    def is_awake_after(self, beats: int) -> bool:
        """Beat so often, a second apart."""
        for _ in range(beats):
            self.day_s += 1
            self.ticks_s += 1
            is_awake = self.waking.is_awake()
        return is_awake


def test_started() -> None:
    """A server that was just started does not know yet who is silent."""
    clocks = Clocks()
    assert not clocks.is_awake_after(59)
    assert clocks.is_awake_after(1) and clocks.is_awake_after(1000)


def test_away() -> None:
    """Nor does one that was asleep, or stopped, or whose clock was set."""
    clocks = Clocks()
    assert clocks.is_awake_after(60)
    for asleep_s, stopped_s in ((3600, 0), (10, 10), (-3600, 0)):
        clocks.day_s += asleep_s
        clocks.ticks_s += stopped_s
        assert not clocks.is_awake_after(60) and clocks.is_awake_after(1)


def test_busy() -> None:
    """A beat that is a little late is none that was missed."""
    clocks = Clocks()
    for _ in range(60):
        clocks.day_s += GAP_S - 0.5
        clocks.ticks_s += GAP_S - 0.5
        is_awake = clocks.is_awake_after(1)
    assert is_awake
