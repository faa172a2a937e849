"""When a server tries things again that could not be done."""

from __future__ import annotations

import pytest

from hashserver_aio.fleet.timing import Timing
from hashserver_aio.settings import NodeRules


def test_many_retries() -> None:
    """However much can't be done, so many a second are tried again; and each not before its time."""
    timing = Timing(NodeRules(), clock=lambda: 1000.0, ticks=lambda: 50.0)
    times = [timing.again_at_ms(300_000) - timing.now_ms for _ in range(501)]
    assert times[0] == 300_000 and times == sorted(times)
    assert times[-1] == pytest.approx(300_000 + 500 * 1000 / 50, abs=1)
    assert timing.again_at_ms(1000) - timing.now_ms == 1000
