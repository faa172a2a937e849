"""Rounds: every case, its contenders in turn, A B C A B C."""

from __future__ import annotations

import time

from .arena import Arena
from .case import Case
from .failures import MeasurementFailed, NotOffered
from .peers import Contender
from .progress import say
from .results import BUSY, FAILED, LOAD, NOT_OFFERED, PEAK, Results, Value
from .sizes import figure_text

SLOW_S = 30.0
SLOW_ROUNDS = 2
"""A peer that needs longer than this for a measurement, however little was asked, gets fewer."""


def run(arena: Arena, cases: list[Case], results: Results) -> None:
    """Run the cases; what fails is noted, and not tried again in later rounds."""
    for case in cases:
        try:
            with case.opened(arena):
                _run_case(arena, case, results)
        except (MeasurementFailed, OSError) as error:
            for each in _chosen(arena, case):
                results.values.append(_failed(case, each, 0, error))
            say(f"{case.name}: {error}")


def _chosen(arena: Arena, case: Case) -> list[Contender]:
    return [each for each in case.contenders if each.kind in arena.options.kinds]


def _run_case(arena: Arena, case: Case, results: Results) -> None:
    rounds = case.rounds(arena.options.rounds)
    out: set[Contender] = set()
    for number in range(1, rounds + 1):
        for each in _chosen(arena, case):
            if each in out:
                continue
            began = time.monotonic()
            value = _measure(arena, case, each, number)
            results.values.append(value)
            took_s = time.monotonic() - began
            slow = each.kind != "ours" and took_s > SLOW_S + arena.options.seconds
            if value.failure or (slow and number >= SLOW_ROUNDS):
                out.add(each)
            say(f"{case.name} {number}/{rounds} {each.name}: {_said(value)} ({took_s:.1f} s)")


def _measure(arena: Arena, case: Case, contender: Contender, number: int) -> Value:
    arena.peak_mib = 0.0
    try:
        figures = case.measure(arena, contender)
    except (MeasurementFailed, OSError) as error:
        return _failed(case, contender, number, error)
    if arena.peak_mib:
        figures[PEAK] = arena.peak_mib
    return Value(case.name, contender.name, number, figures)


def _failed(case: Case, contender: Contender, number: int, error: Exception) -> Value:
    failure = NOT_OFFERED if isinstance(error, NotOffered) else FAILED
    return Value(case.name, contender.name, number, {}, failure, str(error) or repr(error))


def _said(value: Value) -> str:
    if value.failure:
        return f"{value.failure}: {value.note}"
    busy = " LOAD GENERATOR BUSY" if value.figures.get(LOAD, 0) > BUSY else ""
    return ", ".join(f"{figure_text(v)} {k}" for k, v in value.figures.items() if k != LOAD) + busy
