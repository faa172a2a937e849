"""Requests about names: which buffers are held, and promises."""

from __future__ import annotations

from .. import loads
from ..arena import LONG_S, Arena, Options
from ..case import Case, Figures, Row, at_most, below
from ..peers import HASHSERVER_PEER, OURS, Contender

GROUP = "Names"
ABOUT = (
    "A JSON list of names is sent to /has, one request after the other (hashserver takes it in the body of a "
    "GET); every answer is compared with what it must be. Absent names are random, present ones are those of "
    "the different buffers above. Promises are of different names, over 16 connections."
)

BOTH = (OURS, HASHSERVER_PEER)
REPEATS = {10: 300, 1_000: 60, 100_000: 5}
METHODS = {"ours": "POST", "hashserver": "GET"}


def cases(options: Options) -> list[Case]:
    """List the cases of this group."""
    asked = [_has(count, present) for count in REPEATS for present in (True, False)]
    return [*asked, Case("promise", GROUP, BOTH, _promise, (Row("PUT /promise/{name}", OURS),))]


def _has(count: int, present: bool) -> Case:
    which = "present" if present else "absent"

    def measure(arena: Arena, contender: Contender) -> Figures:
        """Ask which of a list of names are held."""
        file = str(arena.many()) if present else None
        with arena.reading(contender) as server:
            job = {"port": server.port, "method": METHODS[contender.kind], "file": file, "names": count}
            limits = {"count": REPEATS[count], "seconds": arena.options.seconds, "timeout": 300}
            return loads.do("has", arena.load_cores, LONG_S, **job, **limits)

    targets = () if present or count < 100_000 else (below(300), at_most(1 / 100, HASHSERVER_PEER))
    row = Row(f"/has of {count:,} {which}", OURS, "ms", targets)
    return Case(f"has-{count}-{which}", GROUP, BOTH, measure, (row,))


def _promise(arena: Arena, contender: Contender) -> Figures:
    """Promise different buffers."""
    seconds = arena.options.seconds
    with arena.writing(contender) as server:
        job = {"port": server.port, "connections": 16, "seconds": seconds, "count": 15_000 * (seconds + 1)}
        return loads.do("promise", arena.load_cores, LONG_S, **job)
