"""A node's record, and when it is asked next: slow to rise, quick to fall, never out of bounds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashserver_aio.nodes.record import (
    DEAD_AT,
    FIRST,
    Failure,
    after_failing,
    after_passing,
    after_refusing_room,
    next_audit_s,
    strikes_for,
)

RECORDS = st.floats(0, 1)
DOCS = Path(__file__).parent.parent / "docs" / "audits.rst"


@settings(deadline=None)
@given(RECORDS)
def test_passing(record: float) -> None:
    """A passed audit raises a record by a 32nd of what is missing, and never beyond 1."""
    after = after_passing(record)
    assert record <= after <= 1
    assert after == pytest.approx(record + (1 - record) / 32)
    assert record == after or record < 1


@settings(deadline=None)
@given(RECORDS, st.sampled_from(Failure))
def test_failing(record: float, failure: Failure) -> None:
    """A failed audit lowers a record, and the more the less it can be the line's fault."""
    after = after_failing(record, failure)
    assert 0 <= after <= record
    assert after_failing(record, Failure.WRONG) <= after <= after_failing(record, Failure.LATE)
    assert 0 <= after_refusing_room(record) <= record


def test_records_of_nodes() -> None:
    """Who fails one audit of a hundred stays above 0.8 on average; who fails one of ten, below a third."""
    for every, low, high in ((100, 0.8, 1.0), (10, 0.0, 1 / 3)):
        record, total = FIRST, 0.0
        for number in range(10_000):
            record = after_passing(record) if number % every else after_failing(record, Failure.WRONG)
            total += record
        assert low < total / 10_000 < high


def test_dead() -> None:
    """A wrong answer is the end of a placement, two that refuse one, or four that came not in time."""
    assert strikes_for(Failure.WRONG) == DEAD_AT
    assert 2 * strikes_for(Failure.MISSING) == 2 * strikes_for(Failure.REFUSED) == DEAD_AT
    assert 4 * strikes_for(Failure.LATE) == 4 * strikes_for(Failure.UNREACHABLE) == DEAD_AT


@settings(deadline=None)
@given(st.floats(1, 1e9), RECORDS, st.integers(0, 100), st.floats(0, 1))
def test_next_audit(interval_s: float, record: float, strikes: int, chance: float) -> None:
    """A placement is audited within the interval, whatever its node's record; and not all the time."""
    due_s = next_audit_s(interval_s, record, strikes, chance)
    assert interval_s / 32 < due_s <= interval_s
    assert (
        next_audit_s(interval_s, record, strikes, 0) <= due_s <= next_audit_s(interval_s, record, strikes, 1)
    )


def test_who_is_asked_sooner() -> None:
    """Poor records and strikes bring the next audit nearer; of what is dead nothing is urgent."""
    good, poor, worst, struck, dead = (
        next_audit_s(3600, record, strikes, 1.0)
        for record, strikes in ((1.0, 0), (0.25, 0), (0.0, 0), (1.0, 1), (0.0, DEAD_AT))
    )
    assert (good, poor, worst, struck, dead) == (3600, 900, 225, 450, 3600)


def test_documented() -> None:
    """The figures that the documentation gives are those of the formula."""
    rows = dict(re.findall(r"^``(\w+)`` +(.+?) *$", DOCS.read_text(encoding="utf-8"), re.MULTILINE))
    shares = {"half": 1 / 2, "a quarter": 1 / 4, "a tenth": 1 / 10}
    assert rows.keys() == {failure.value for failure in Failure}
    for failure in Failure:
        told = re.fullmatch(r"(.+?) +(\d) +.+", rows[failure.value])
        assert told is not None
        assert after_failing(1.0, failure) == pytest.approx(1 - shares[told[1]])
        assert strikes_for(failure) == int(told[2])
