"""What a server tells of itself in numbers, read as Prometheus reads it."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from .conftest import Client

PLAIN = {"Accept-Encoding": "identity"}

Numbers = dict[tuple[str, ...], float]


def numbers_in(text: str) -> Numbers:
    """Read a text: each value under its name and the values of its labels, in the order of the labels."""
    return {
        (sample.name, *(sample.labels[label] for label in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def scraped(client: Client) -> Numbers:
    """Ask a server for its numbers; names go without "hashserver_"."""
    answer = await client.get("/metrics", headers=PLAIN)
    assert answer.status == 200
    return without_prefix(numbers_in(await answer.text()))


def without_prefix(numbers: Numbers) -> Numbers:
    """Take "hashserver_" from all names, which all have."""
    assert {name.split("_", 1)[0] for name, *_ in numbers} == {"hashserver"}
    return {(name.removeprefix("hashserver_"), *labels): value for (name, *labels), value in numbers.items()}


def growth(before: Numbers, after: Numbers) -> Numbers:
    """Tell what has changed, and by how much."""
    changes = {key: value - before.get(key, 0) for key, value in after.items()}
    return {key: change for key, change in changes.items() if change}
