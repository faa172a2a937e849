"""When what is next due, and what was done: what placing and auditing share."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from ..nodes.record import next_audit_s
from ..settings import NodeRules

RETRIES_AN_INTERVAL = 48
MAX_RETRY_S = 60.0
MIN_RETRY_S = 0.25
"""What could not be placed is tried again after a part of the interval of audits, and soon after a node
came.
"""

RETRIES_PER_S = 50
"""However much waits: a million buffers that lack a node would else be looked at, and noted, all the time. A
node that comes gets so many a second of them."""


class Timing:
    """Tells times by the rules of a server; `clock` tells the seconds since 1970."""

    def __init__(
        self,
        rules: NodeRules,
        *,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
        pushed: Callable[[], object] = lambda: None,
        audited: Callable[[str], object] = lambda result: None,
    ) -> None:
        """`pushed` and `audited` are told of each push, and of how each audit went."""
        self.rules = rules
        self._clock = clock
        self._ticks = ticks
        self._last_s: dict[int, float] = {}
        self.pushed = pushed
        self.audited = audited

    @property
    def now_ms(self) -> int:
        """The milliseconds since 1970."""
        return int(self._clock() * 1000)

    @property
    def online_ms(self) -> int:
        """For how long a sign of life is one."""
        return int(self.rules.online_s * 1000)

    @property
    def retry_ms(self) -> int:
        """After how long something that could not be done is tried again."""
        retry_s = self.rules.audit_interval_s / RETRIES_AN_INTERVAL
        return int(min(MAX_RETRY_S, max(MIN_RETRY_S, retry_s)) * 1000)

    def again_at_ms(self, after_ms: int) -> int:
        """Tell when to try something again, after so long; later, if much is to be tried by then."""
        now_s = self._ticks()
        at_s = max(now_s + after_ms / 1000, self._last_s.get(after_ms, 0.0) + 1 / RETRIES_PER_S)
        self._last_s[after_ms] = at_s
        return self.now_ms + int((at_s - now_s) * 1000)

    def next_audit_ms(self, record: float, strikes: int) -> int:
        """After how long a placement is audited again."""
        return int(next_audit_s(self.rules.audit_interval_s, record, strikes, random.random()) * 1000)
