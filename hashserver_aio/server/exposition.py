"""The numbers of a server in the words of Prometheus.

Names follow its conventions: base units, `_total` for what only grows. What labels there may be is
listed in `columns.py`; a checksum or a path is never one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, product

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from .. import counting as c
from ..catalogue.nodes import NodeState
from ..scrubbing import Progress
from ..version import __version__
from .columns import REQUESTS
from .meter import Fleet, Reading

_COUNTERS = {
    c.BYTES_IN: ("request_body_bytes", "Bytes of request bodies received"),
    c.BYTES_OUT: ("response_body_bytes", "Bytes of response bodies sent"),
    c.HITS: ("memory_cache_hits", "Small buffers answered from memory"),
    c.MISSES: ("memory_cache_misses", "Small buffers read into that memory for an answer"),
    c.CORRUPT: ("corrupt_files", "Times that a stored file was found not to hash to its name"),
    c.QUARANTINED: ("quarantined_files", "Corrupt files put aside"),
}
_GAUGES = {
    c.IN_PROGRESS: ("requests_in_progress", "Requests being answered, this one included"),
    c.WAITING: ("waiting_requests", "Requests that wait for a buffer that is promised or being uploaded"),
}


def worded(reading: Reading, accept: str) -> tuple[bytes, str]:
    """Word the numbers in the format that an Accept header asks for: the text, and its type."""
    try:
        encode, content_type = choose_encoder(accept)
    except TypeError:  # a version that is no number
        encode, content_type = choose_encoder("")
    return encode(_Numbers(reading)), content_type


class _Numbers(Collector):
    """A reading, as Prometheus takes it."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def collect(self) -> Iterable[Metric]:
        """Yield every metric with its values."""
        reading, sums = self._reading, self._reading.sums
        yield InfoMetricFamily("hashserver_build", "The program that serves", {"version": __version__})
        yield _requests(sums)
        for column, words in _COUNTERS.items():
            yield _counter(*words, sums[column])
        for column, words in _GAUGES.items():
            yield _gauge(*words, sums[column])
        yield _syncs(sums)
        yield from _hashing(sums)
        if reading.held is not None:
            yield _gauge("held_buffers", "Buffers that the catalogue lists", reading.held.count)
            yield _gauge("held_bytes", "Plain bytes of these buffers", reading.held.size)
        if reading.limits.count is not None:
            yield _gauge("limit_buffers", "Buffers that may be held (--max-count)", reading.limits.count)
        if reading.limits.size is not None:
            yield _gauge("limit_bytes", "Plain bytes that may be held (--max-bytes)", reading.limits.size)
        if reading.scrub is not None:
            yield from _scrub(reading.scrub)
        if reading.fleet is not None:
            yield from _fleet(reading.fleet, sums)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"hashserver_{name}", text, value)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"hashserver_{name}", text, value)


def _requests(sums: Sequence[float]) -> Metric:
    family = CounterMetricFamily(
        "hashserver_requests", "Requests answered", labels=("face", "method", "status")
    )
    for labels, column in REQUESTS.items():
        if sums[column]:
            family.add_metric(labels, sums[column])
    return family


def _syncs(sums: Sequence[float]) -> Metric:
    bounds = [*map(str, c.SYNC_BOUNDS_S), "+Inf"]
    counts = accumulate(sums[c.SYNCS : c.SYNCS + len(bounds)])
    return HistogramMetricFamily(
        "hashserver_fsync_seconds",
        "What the disk took to sync the file of a buffer",
        buckets=list(zip(bounds, counts, strict=True)),
        sum_value=sums[c.SYNC_S],
    )


def _hashing(sums: Sequence[float]) -> Iterator[Metric]:
    for name, text, first in (
        ("hashed_bytes", "Bytes hashed", c.HASHED_BYTES),
        ("hashing_seconds", "Seconds that threads spent on it", c.HASHING_S),
    ):
        family = CounterMetricFamily(f"hashserver_{name}", text, labels=("algorithm",))
        for column, name_of_hash in enumerate(c.HASHES, first):
            family.add_metric((name_of_hash,), sums[column])
        yield family


def _scrub(scrub: Progress) -> Iterator[Metric]:
    found = scrub.found
    files = found.good + found.bad + found.unreadable
    yield _gauge("scrub_pass_ratio", "How much of the scrub's pass under way is done", found.done)
    yield _gauge("scrub_pass_files", "Files looked at in this pass", files)
    yield _gauge("scrub_pass_bytes", "Bytes read in this pass", found.size)
    yield _counter("scrub_passes", "Passes completed", scrub.passes)
    if scrub.ended_s:
        yield _gauge("scrub_last_pass_timestamp_seconds", "When the last pass was completed", scrub.ended_s)


def _fleet(fleet: Fleet, sums: Sequence[float]) -> Iterator[Metric]:
    nodes = GaugeMetricFamily("hashserver_nodes", "Nodes that have registered", labels=("state", "online"))
    for state, is_online in product(NodeState, (True, False)):
        nodes.add_metric((state, str(is_online).lower()), fleet.nodes.get((state, is_online), 0))
    yield nodes
    placed = fleet.placements
    placements = GaugeMetricFamily(
        "hashserver_placements", "Buffers on nodes, once for each node", labels=("state",)
    )
    for name, count in (("good", placed.good), ("dead", placed.dead), ("surplus", placed.surplus)):
        placements.add_metric((name,), count)
    yield placements
    yield _gauge("placed_buffers", "Buffers that are to be on nodes", placed.buffers)
    yield _gauge("lacking_replicas", "Buffers that are on fewer nodes than they are to be", placed.lacking)
    audits = CounterMetricFamily("hashserver_audits", "Audits of placements", labels=("result",))
    for column, result in enumerate(c.AUDIT_RESULTS, c.AUDITS):
        audits.add_metric((result,), sums[column])
    yield audits
    yield _counter("pushes", "Buffers that nodes took", sums[c.PUSHES])
    yield _counter("rescues", "Buffers that were lost here, and came back from nodes", sums[c.RESCUES])
