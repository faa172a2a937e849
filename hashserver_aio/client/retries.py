"""Trying again: after how long, and how often.

What may go better next time is raised as `Again`; only what may be asked twice is.
"""

from __future__ import annotations

import asyncio
import math
import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from ..errors import HashserverError

BASE_S = 0.2
MAX_PAUSE_S = 30.0
"""Pauses double from the one to the other: random.uniform(0, pause), so that clients of a server that
restarts don't come all at once."""

MAX_RETRY_AFTER_S = 300.0
"""Who is told to come back later than that is told so, instead of waiting."""


class Again(Exception):
    """An attempt failed with `error`, and the next one may not.

    `after_s`: how long the server wants to be left alone; `was_sent`: whether it may have got the request.
    """

    def __init__(self, error: HashserverError, after_s: float = 0, *, was_sent: bool = True) -> None:
        super().__init__(str(error))
        self.error = error
        self.after_s = after_s
        self.was_sent = was_sent


class Patience:
    """How often one operation may fail: `retries` times in a row without getting any further."""

    def __init__(self, retries: int) -> None:
        self._retries = retries
        self._failures = 0

    def progressed(self) -> None:
        """Take note that something was achieved."""
        self._failures = 0

    async def wait(self, again: Again) -> None:
        """Wait until it is time for the next attempt.

        Raises: the error of the last attempt, if there is to be no other.
        """
        if self._failures >= self._retries or again.after_s > MAX_RETRY_AFTER_S:
            raise again.error
        most_s = min(MAX_PAUSE_S, BASE_S * 2**self._failures)
        self._failures += 1
        await asyncio.sleep(again.after_s + random.uniform(0, most_s))


def retry_after_s(text: str | None) -> float:
    """Read a Retry-After header: seconds, or a date; 0 where there is none.

    Source: RFC 9110 section 10.2.3.
    """
    if text is None:
        return 0
    try:
        seconds = float(text) if text.isdigit() else _seconds_until(parsedate_to_datetime(text))
    except (ValueError, OverflowError):
        return 0
    return max(0, seconds) if math.isfinite(seconds) else MAX_RETRY_AFTER_S + 1


def _seconds_until(moment: datetime) -> float:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - datetime.now(UTC)).total_seconds()
