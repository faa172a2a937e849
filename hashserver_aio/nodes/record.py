"""What audits do to a node's record, and to a placement: how much it is trusted, and when it is asked next.

A record is between 0 and 1. It weighs in choosing who gets buffers, and says how often it is audited; what
is dead, and so replaced, the strikes of each placement say. `docs/audits.rst` gives the reasons.
"""

from __future__ import annotations

from enum import StrEnum


class Failure(StrEnum):
    """Why an audit was not passed.

    WRONG: the answer is none. MISSING: the node says that it does not have the buffer. LATE: no answer within
    the deadline. UNREACHABLE: no connection. REFUSED: the node answers with another error.
    """

    WRONG = "wrong"
    MISSING = "missing"
    LATE = "late"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"


FIRST = 0.5
"""Of a node that nothing is known of."""

DEAD_AT = 4
"""With so many strikes a placement is dead: for a wrong answer, as bytes are gone then, whatever others there
are; for two that say that nothing is there, as a disk that is away explains one; for four that are late.
"""

_GAIN = 1 / 32
"""Of what is missing to 1, for a passed audit: after 22 the half of it is made up."""

_LEFT: dict[Failure, float] = {
    Failure.WRONG: 1 / 2,
    Failure.MISSING: 1 / 2,
    Failure.REFUSED: 3 / 4,
    Failure.LATE: 9 / 10,
    Failure.UNREACHABLE: 9 / 10,
}
"""What is left of a record. A lost buffer is a broken promise; a late answer may be the line's."""

_LEFT_WITHOUT_ROOM = 3 / 4

_STRIKES: dict[Failure, int] = {
    Failure.WRONG: 4,
    Failure.MISSING: 2,
    Failure.REFUSED: 2,
    Failure.LATE: 1,
    Failure.UNREACHABLE: 1,
}

_SOONEST = 1 / 16

_AFTER_A_STRIKE = 1 / 8

_EARLIEST = 3 / 4


def after_passing(record: float) -> float:
    """Give the record after an audit that was passed."""
    return min(1.0, record + (1 - record) * _GAIN)


def after_failing(record: float, failure: Failure) -> float:
    """Give the record after an audit that was not."""
    return record * _LEFT[failure]


def after_refusing_room(record: float) -> float:
    """Give the record of a node that has no room though it said so."""
    return record * _LEFT_WITHOUT_ROOM


def strikes_for(failure: Failure) -> int:
    """Tell how many strikes a failure is."""
    return _STRIKES[failure]


def next_audit_s(interval_s: float, record: float, strikes: int, chance: float) -> float:
    """Tell when a placement is audited next, in seconds from now: within the interval in any case.

    `strikes` since the last audit that was passed; `chance`: uniform from 0 to 1, so that nobody knows the
    hour, and that what was placed at once is not asked for at once for ever.
    """
    if strikes >= DEAD_AT:  # it may come back, and nobody waits for it
        share = 1.0
    elif strikes:
        share = _AFTER_A_STRIKE
    else:
        share = min(1.0, max(_SOONEST, record))
    return interval_s * share * (_EARLIEST + (1 - _EARLIEST) * chance)
