"""Results: every single value, medians, ratios, and whether targets are met."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, field

from .case import Case, Row, Target
from .peers import Contender
from .sizes import figure_text

PEAK = "peak rss MiB"
PEAK_BOUND_MIB = 150.0

LOAD = "load cpu"
BUSY = 0.9
"""A load generator that uses this much of its core may be what was measured."""

FAILED, NOT_OFFERED = "error", "n/a"


@dataclass(frozen=True)
class Value:
    """What one measurement of one contender gave: figures, or why there are none."""

    case: str
    contender: str
    round: int
    figures: dict[str, float]
    failure: str = ""
    note: str = ""


@dataclass(frozen=True)
class Line:
    """A line of the table, in words."""

    group: str
    label: str
    unit: str
    figures: dict[str, str]
    ratios: dict[str, str]
    targets: tuple[str, ...]
    verdicts: tuple[str, ...]


@dataclass
class Results:
    """All values of a run."""

    values: list[Value] = field(default_factory=list)

    def median(self, case: str, contender: Contender, metric: str) -> float | None:
        """Give a median over the rounds; None if a round failed or there was none."""
        values = [v for v in self.values if (v.case, v.contender) == (case, contender.name)]
        if not values or any(v.failure for v in values):
            return None
        figures = [v.figures[metric] for v in values if metric in v.figures]
        return statistics.median(figures) if figures else None

    def failure(self, case: str, contender: Contender) -> str:
        """Tell how a contender failed in a case; empty if it did not."""
        return next(
            (v.failure for v in self.values if (v.case, v.contender) == (case, contender.name) and v.failure),
            "",
        )

    def notes(self) -> list[str]:
        """Tell every failure once."""
        return [f"{v.case}, {v.contender}: {v.note}" for v in self.values if v.failure]

    def busy(self, cases: list[Case]) -> list[str]:
        """Tell where the load's core was full, so that a faster server would not have shown."""
        found = [
            (case.name, each, self.median(case.name, each, LOAD))
            for case in cases
            for each in case.contenders
        ]
        return [f"{name}, {each.name}" for name, each, share in found if share is not None and share > BUSY]

    def peak(self, kind: str) -> float | None:
        """Give the most memory that a kind of server was seen to hold in any case, with one worker."""
        found = [
            v.figures[PEAK]
            for v in self.values
            if PEAK in v.figures
            and v.contender.split()[0].rstrip(",") == kind
            and "workers 2" not in v.contender
        ]
        return max(found, default=None)

    def medians(self, cases: list[Case]) -> dict[str, dict[str, dict[str, float | None]]]:
        """Give the medians of every metric, by case and contender."""
        return {
            case.name: {
                each.name: {
                    metric: self.median(case.name, each, metric) for metric in self._metrics(case.name, each)
                }
                for each in case.contenders
            }
            for case in cases
        }

    def _metrics(self, case: str, contender: Contender) -> list[str]:
        found = (v.figures for v in self.values if (v.case, v.contender) == (case, contender.name))
        return sorted({metric for figures in found for metric in figures})

    def as_json(self) -> list[dict[str, object]]:
        """Give every value."""
        return [asdict(value) for value in self.values]


def lines(cases: list[Case], results: Results) -> list[Line]:
    """Word the table."""
    found = [_line(case, row, results) for case in cases for row in case.rows]
    return [*found, *_peak_lines(cases, results)]


def _line(case: Case, row: Row, results: Results) -> Line:
    ours = results.median(case.name, row.ours, row.metric)
    figures = {"ours": _figure(case, row.ours, row.metric, results)}
    ratios: dict[str, str] = {}
    for peer in row.peers:
        if peer not in case.contenders:
            continue
        figures[peer.kind] = _figure(case, peer, row.metric, results)
        value = results.median(case.name, peer, row.metric)
        if ours is not None and value:
            ratios[peer.kind] = figure_text(ours / value)
    verdicts = tuple(_verdict(case, target, ours, row.metric, results) for target in row.targets)
    targets = tuple(_target_text(target, row.metric) for target in row.targets)
    unit = row.metric.removeprefix("peak rss ").removeprefix("rss ").removeprefix("p50 ").removeprefix("p99 ")
    return Line(case.group, row.label, unit, figures, ratios, targets, verdicts)


def _figure(case: Case, contender: Contender, metric: str, results: Results) -> str:
    value = results.median(case.name, contender, metric)
    return figure_text(value) if value is not None else results.failure(case.name, contender)


def _verdict(case: Case, target: Target, ours: float | None, metric: str, results: Results) -> str:
    """Say whether a target is met, and how far it is from it."""
    value = ours
    if target.peer is not None:
        theirs = results.median(case.name, target.peer, metric)
        value = ours / theirs if ours is not None and theirs else None
    if value is None:
        return "not measured"
    if target.holds(value):
        return "met"
    return f"missed ({_ratio_text(value) if target.peer else figure_text(value)})"


def _target_text(target: Target, metric: str) -> str:
    if target.peer is None:
        return f"{target.sign} {target.bound:g} {metric.split()[-1]}"
    return f"{target.sign} {_ratio_text(target.bound)} {target.peer.name}"


def _ratio_text(ratio: float) -> str:
    return f"1/{1 / ratio:.0f}" if 0 < ratio < 0.05 else figure_text(ratio)


def _peak_lines(cases: list[Case], results: Results) -> list[Line]:
    peaks = {kind: results.peak(kind) for kind in ("ours", "nginx", "hashserver", "axon")}
    ours = peaks["ours"]
    if ours is None:
        return []
    target = Target("<", PEAK_BOUND_MIB)
    verdict = "met" if target.holds(ours) else f"missed ({figure_text(ours)})"
    figures = {kind: figure_text(peak) for kind, peak in peaks.items() if peak is not None}
    label = "memory, peak over all these cases"
    return [Line(cases[-1].group, label, "MiB", figures, {}, (_target_text(target, "MiB"),), (verdict,))]
