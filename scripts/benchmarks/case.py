"""A case: who is measured, how, and which lines of the table it gives."""

from __future__ import annotations

import operator
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from .arena import Arena
from .peers import BARE, HASHSERVER_PEER, NGINX, Contender

Figures = dict[str, float]
Measure = Callable[[Arena, Contender], Figures]

RATE = "requests/s"


@dataclass(frozen=True)
class Target:
    """A bound on our median: absolute, or a multiple of a peer's."""

    sign: str
    bound: float
    peer: Contender | None = None

    def holds(self, value: float) -> bool:
        """Tell whether a value, or a ratio, keeps the bound."""
        return bool({">=": operator.ge, "<=": operator.le, "<": operator.lt}[self.sign](value, self.bound))


@dataclass(frozen=True)
class Row:
    """A line of the table: one metric of one of us, beside its peers."""

    label: str
    ours: Contender
    metric: str = RATE
    targets: tuple[Target, ...] = ()
    peers: tuple[Contender, ...] = (NGINX, HASHSERVER_PEER, BARE)


@dataclass(frozen=True)
class Case:
    """Something to measure, contender after contender, round after round."""

    name: str
    group: str
    contenders: tuple[Contender, ...]
    measure: Measure
    rows: tuple[Row, ...]
    rounds: Callable[[int], int] = field(default=lambda rounds: rounds)
    opened: Callable[[Arena], AbstractContextManager[None]] = field(default=lambda arena: nullcontext())


def at_least(bound: float, peer: Contender | None = None) -> Target:
    """Word a target where more is better."""
    return Target(">=", bound, peer)


def at_most(bound: float, peer: Contender | None = None) -> Target:
    """Word a target where less is better."""
    return Target("<=", bound, peer)


def below(bound: float) -> Target:
    """Word an absolute target where less is better."""
    return Target("<", bound)
