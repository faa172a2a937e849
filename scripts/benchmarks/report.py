"""The report: a table for people, JSON for programs, and a page of the documentation."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .case import RATE, Case
from .cases import GROUPS
from .failures import BenchError
from .results import Line, Results, lines
from .sizes import figure_text

BEGIN = ".. What stands between here and the end mark is written by scripts/bench; do not edit it."
END = ".. End of what scripts/bench writes."

PAGE = f"""\
Benchmarks
==========

``scripts/bench`` measures this server beside nginx, hashserver 1.1.0 and bare loops. It needs Linux,
Python 3.11 or newer and two cores. What else it needs it installs: the servers into
``~/.cache/hashserver-aio-bench``, and with apt-get, as root, nginx, wrk and curl if they are missing. This
writes the figures below::

    scripts/bench --rst docs/benchmarks.rst --json bench.json

It takes about an hour and 25 GB of disk space (``--stream-size 256M`` and ``--dir`` help).
``scripts/bench --rounds 1 --seconds 1 --many 2000 --cases 'get-1k*'`` is a quick look,
``--help`` shows the rest.

{BEGIN}

{END}

What stands out
---------------

(Nobody has written yet why targets are missed. This part is kept when the figures are written anew.)
"""

PACKAGES = (
    "hashserver-aio",
    "aiohttp",
    "hashserver",
    "fastapi",
    "starlette",
    "uvicorn",
    "uvloop",
    "synapse",
    "nginx",
    "curl",
    "rd",
    "wrk",
)

KINDS = ("ours", "nginx", "hashserver", "axon", "curl", "rd", "bare")
PEERS = KINDS[1:]


@dataclass(frozen=True)
class Report:
    """A finished run, and where and how it was done."""

    cases: list[Case]
    results: Results
    date: str
    command: str
    commit: str
    rounds: int
    seconds: int
    took_s: float
    machine: dict[str, str]
    versions: dict[str, str]

    def text(self) -> str:
        """Word the table for a terminal."""
        heads = ["case", "unit", *KINDS, *(f"/{peer}" for peer in PEERS), "target"]
        rows = [_cells(line) for line in lines(self.cases, self.results)]
        parts = [_aligned([heads, *rows]), "/nginx and the like: ours divided by theirs"]
        if self.results.notes():
            parts.append("\n".join(self.results.notes()))
        if busy := self.results.busy(self.cases):
            parts.append(f"the load used its whole core: {'; '.join(busy)}")
        return "\n\n".join(parts)

    def write_json(self, path: Path) -> None:
        """Write everything that is known."""
        known = {
            "date": self.date,
            "command": self.command,
            "commit": self.commit,
            "rounds": self.rounds,
            "seconds": self.seconds,
            "took_s": round(self.took_s, 1),
            "machine": self.machine,
            "versions": self.versions,
            "medians": self.results.medians(self.cases),
            "values": self.results.as_json(),
        }
        path.write_text(json.dumps(known, indent=1) + "\n")

    def write_page(self, path: Path) -> None:
        """Write the figures into a page; what people wrote around them stays.

        Raises: BenchError, if the page has lost its marks.
        """
        before, after = around(path)
        path.write_text(f"{before}{BEGIN}\n\n{self._page()}\n{END}{after}")

    def _page(self) -> str:
        parts = [self._facts(), self._verdict()]
        found = lines(self.cases, self.results)
        for group, about in GROUPS.items():
            mine = [line for line in found if line.group == group]
            if mine:
                parts += [
                    f"{group}\n{'-' * len(group)}",
                    _wrapped(about),
                    _rst_table(mine),
                    self._latencies(group),
                ]
        if self.results.notes():
            parts.append("Not measured:\n\n" + "\n".join(f"- {note}" for note in self.results.notes()))
        if busy := self.results.busy(self.cases):
            parts.append(
                _wrapped(f"Here the load used its whole core, and may be what limits: {'; '.join(busy)}.")
            )
        return "\n\n".join(part for part in parts if part) + "\n"

    def _facts(self) -> str:
        versions = ", ".join(f"{name} {self.versions[name]}" for name in PACKAGES if name in self.versions)
        facts = {
            "Command": f"``{self.command}``",
            "Date": f"{self.date}, commit {self.commit}; it took {self.took_s / 60:.0f} minutes",
            "Machine": ", ".join(f"{name}: {value}" for name, value in self.machine.items()),
            "Versions": versions,
        }
        said = "\n".join(f":{name}: {value}" for name, value in facts.items())
        how = (
            f"Every figure is the median over the rounds ({self.rounds}, {self.seconds} s each), "
            "the servers in turn, one worker on one core and the load on another one, unless the line says "
            "otherwise. "
            "Start-up has twice as many rounds; the streams of the memory case, and peers that need longer "
            "than half a minute for a measurement, have fewer. "
            "The columns with a stroke are ratios of medians: ours divided by the peer's."
        )
        return f"{said}\n\n{_wrapped(how)}"

    def _verdict(self) -> str:
        verdicts = [
            (line.label, target, verdict)
            for line in lines(self.cases, self.results)
            for target, verdict in zip(line.targets, line.verdicts, strict=True)
        ]
        if not verdicts:
            return ""
        met = sum(verdict == "met" for _, _, verdict in verdicts)
        open_ones = [
            f"- {label}: {target}: {verdict}" for label, target, verdict in verdicts if verdict != "met"
        ]
        return "\n".join(
            [f"Of {len(verdicts)} targets {met} are met.", *(["", *open_ones] if open_ones else [])]
        )

    def _latencies(self, group: str) -> str:
        """Word p50 and p99 of the runs whose rates are above."""
        found = []
        for case in self.cases:
            if case.group != group or not any(row.metric == RATE for row in case.rows):
                continue
            for each in case.contenders:
                p50, p99 = (self.results.median(case.name, each, metric) for metric in ("p50 ms", "p99 ms"))
                if p50 is not None and p99 is not None:
                    found.append([case.name, each.name, figure_text(p50), figure_text(p99)])
        if not found:
            return ""
        return "Latency in the same runs, in ms:\n\n" + _simple_table(
            [["case", "server", "p50", "p99"], *found]
        )


def around(path: Path) -> tuple[str, str]:
    """Give what stands before and after the figures of a page.

    Raises: BenchError, if the page has lost its marks.
    """
    page = path.read_text() if path.exists() else PAGE
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise BenchError(f"{path} has no line {BEGIN!r} or {END!r}; put them back, or remove the file")
    return before, after


def _cells(line: Line) -> list[str]:
    targets = [f"{t}: {v}" for t, v in zip(line.targets, line.verdicts, strict=True)]
    return [
        line.label,
        line.unit,
        *(line.figures.get(kind, "") for kind in KINDS),
        *(line.ratios.get(peer, "") for peer in PEERS),
        "; ".join(targets),
    ]


def _rst_table(found: list[Line]) -> str:
    heads = ["case", "unit", *KINDS, *(f"/{peer}" for peer in PEERS), "target"]
    rows = [_cells(line) for line in found]
    used = [at for at in range(len(heads)) if any(row[at] for row in rows)]
    return _simple_table([[row[at] for at in used] for row in [heads, *rows]])


def _simple_table(rows: Sequence[Sequence[str]]) -> str:
    """Lay out an RST simple table; the first row is the head."""
    # A first cell must not be empty, nor any cell be taken for markup.
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    rule = "  ".join("=" * width for width in widths)
    laid = _aligned(rows).splitlines()
    return "\n".join([rule, laid[0], rule, *laid[1:], rule])


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 105, break_long_words=False, break_on_hyphens=False)
