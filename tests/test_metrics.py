"""The numbers of a server: what was done is counted, once, and told in formats that others read."""

from __future__ import annotations

import asyncio
import gzip
import os
import time
from pathlib import Path

import pytest
from aiohttp import ClientTimeout
from prometheus_client.openmetrics.parser import text_string_to_metric_families as families_of_openmetrics
from prometheus_client.parser import text_string_to_metric_families as families_of_text

from hashserver_aio import inspecting, scrubbing
from hashserver_aio.server.columns import REQUESTS
from hashserver_aio.settings import Limits
from hashserver_aio.version import __version__

from .conftest import Client, ClientFactory
from .fast import name_of, stored
from .peers import lay, until
from .scrapes import PLAIN, growth, numbers_in, scraped, without_prefix
from .test_catalogue_faults import opened
from .wire import Wire, get, put, status_of

SMALL = b"small" * 100
BIG = os.urandom(300_000)
HUGE = os.urandom(5_000_000)
"""More than goes out at once."""

OPENMETRICS = "application/openmetrics-text"
OF_PROMETHEUS = (
    f"{OPENMETRICS};version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.4,*/*;q=0.1"
)
"""What Prometheus 3 sends, shortened."""


async def test_requests(client: Client) -> None:
    """Every request is counted once, under its face, method and status."""
    before = await scraped(client)
    wanted = {
        ("PUT", f"/{name_of(SMALL)}", SMALL): ("hashserver", "PUT", "200"),
        ("PUT", f"/{name_of(SMALL)}", b""): ("hashserver", "PUT", "201"),
        ("PUT", f"/{name_of(b'')}", b"wrong"): ("hashserver", "PUT", "400"),
        ("GET", f"/{name_of(b'x')}", b""): ("hashserver", "GET", "404"),
        ("HEAD", f"/{name_of(SMALL)}", b""): ("hashserver", "HEAD", "200"),
        ("POST", "/has", b"[]"): ("hashserver", "POST", "200"),
        ("GET", "/api/server", b""): ("info", "GET", "200"),
        ("GET", "/no/such/path", b""): ("info", "GET", "404"),
        ("GET", "/api/v1/no/such/path", b""): ("axon", "GET", "404"),
        ("GET", "/api/v1/active", b""): ("axon", "GET", "200"),
        ("PATCH", "/api/server", b""): ("info", "other", "405"),
        ("PUT", f"/promise/{name_of(b'y')}", b""): ("hashserver", "PUT", "202"),
    }
    for (method, path, body), (_, _, status) in wanted.items():
        assert str((await client.request(method, path, data=body)).status) == status
    found = growth(before, await scraped(client))
    requests = {key[1:]: value for key, value in found.items() if key[0] == "requests_total"}
    first_scrape = ("info", "GET", "200")  # counted when it was answered, and so not in itself
    assert requests == {labels: 1 + (labels == first_scrape) for labels in wanted.values()}


async def test_bytes_of_bodies(client: Client) -> None:
    """The bytes of bodies are counted, one for one, however they are sent or received."""
    before = await scraped(client)
    taken = int((await client.get("/metrics", headers=PLAIN)).headers["Content-Length"])
    for body in (SMALL, BIG):
        assert (await client.put(f"/{name_of(body)}", data=body)).status == 200  # "OK"
    for headers, size in (({"Range": "bytes=5-9"}, 5), ({"Range": "bytes=0-199999"}, 200_000), ({}, 300_000)):
        answer = await client.get(f"/{name_of(BIG)}", headers=headers)
        assert len(await answer.read()) == size
    await client.head(f"/{name_of(BIG)}")
    many = await client.get(f"/{name_of(BIG)}", headers={"Range": "bytes=0-9,100-100000"})
    multipart = len(await many.read())
    found = growth(before, await scraped(client))
    assert found["request_body_bytes_total",] == len(SMALL) + len(BIG)
    sent = found["response_body_bytes_total",] - taken - 2 * len("OK") - 500_005
    # The first scrape is the one that `before` was read from; the last end of a multipart is not counted.
    first = int((await client.get("/metrics", headers=PLAIN)).headers["Content-Length"])
    assert abs(sent - multipart - first) < 1000


async def test_refused_body(client: Client) -> None:
    """Of a body that nobody read, what came is counted too."""
    before = await scraped(client)
    assert (await client.post("/no/such/path", data=SMALL)).status == 404
    assert growth(before, await scraped(client))["request_body_bytes_total",] == len(SMALL)


async def test_upload_under_way(client: Client) -> None:
    """What came of an upload is counted while the rest of it is awaited."""
    wire = await Wire.to(client)
    await wire.send(put(name_of(BIG), BIG)[:-1000])

    async def is_seen() -> bool:
        return (await scraped(client))["request_body_bytes_total",] == len(BIG) - 1000

    await until(is_seen, 5)
    await wire.send(BIG[-1000:])
    assert status_of(await wire.answer()) == 200
    assert (await scraped(client))["request_body_bytes_total",] == len(BIG)
    wire.transport.abort()


async def test_fast_path(client: Client) -> None:
    """What is answered before aiohttp parses it is counted like everything else."""
    small, big = await stored(client, SMALL), await stored(client, HUGE)
    before = await scraped(client)
    taken = int((await client.get("/metrics", headers=PLAIN)).headers["Content-Length"])
    wire = await (await Wire.to(client)).watched(small)  # two that are answered the ordinary way
    for name in (small, small, big, big, small):
        await wire.ask(get(name))
    wire.transport.abort()
    found = growth(before, await scraped(client))
    assert found["requests_total", "hashserver", "GET", "200"] == 7
    assert (found["memory_cache_misses_total",], found["memory_cache_hits_total",]) == (1, 2)
    sent = found["response_body_bytes_total",] - taken
    assert 0 < sent - 5 * len(SMALL) - 2 * len(HUGE) < 10_000  # and the first scrape


async def test_hashing(client: Client) -> None:
    """Bytes hashed, and the time it took, are counted by algorithm, for small and for long uploads."""
    before = await scraped(client)
    for body in (SMALL, BIG):
        await stored(client, body)
    found = growth(before, await scraped(client))
    for algorithm in ("sha3-256", "sha-256"):
        assert found["hashed_bytes_total", algorithm] == len(SMALL) + len(BIG)
        assert 0 < found["hashing_seconds_total", algorithm] < 5


@pytest.mark.parametrize("fsync", [True, False])
async def test_syncs(start_client: ClientFactory, fsync: bool) -> None:
    """Each PUT adds a sync to the histogram; without fsync none does."""
    client = await start_client(fsync=fsync)
    before = await scraped(client)
    for body in (SMALL, BIG):
        await stored(client, body)
    found = growth(before, await scraped(client))
    assert found.get(("fsync_seconds_count",), 0) == (2 if fsync else 0)
    assert found.get(("fsync_seconds_bucket", "+Inf"), 0) == (2 if fsync else 0)
    assert 0 < found["fsync_seconds_sum",] < 10 if fsync else ("fsync_seconds_sum",) not in found


async def test_held_and_limits(start_client: ClientFactory) -> None:
    """What is held, and what may be, is told; a limit that is not set is not."""
    client = await start_client(limits=Limits(count=5))
    for body in (SMALL, BIG):
        await stored(client, body)
    found = await scraped(client)
    assert (found["held_buffers",], found["held_bytes",]) == (2, len(SMALL) + len(BIG))
    assert (found["limit_buffers",], ("limit_bytes",) in found) == (5, False)
    assert found["build_info", __version__] == 1


async def test_waiting_and_in_progress(client: Client) -> None:
    """Who waits for a promised buffer is in the numbers until it came."""
    name = name_of(SMALL)
    await client.put(f"/promise/{name}")
    waiting = asyncio.create_task(client.get(f"/{name}", timeout=ClientTimeout(10)))

    async def is_seen() -> bool:
        found = await scraped(client)
        return (found["waiting_requests",], found["requests_in_progress",]) == (1, 2)

    await until(is_seen, 5)
    await stored(client, SMALL)
    assert (await waiting).status == 200
    found = await scraped(client)
    assert (found["waiting_requests",], found["requests_in_progress",]) == (0, 1)


async def test_quarantine(start_client: ClientFactory, directory: Path) -> None:
    """Corrupt files are counted when they are found, and when they are put aside."""
    client = await start_client(lock_timeout_s=1.5)
    lay(directory, b"rotten", name_of(b"x"))
    for _ in range(3):
        assert (await client.get(f"/{name_of(b'x')}")).status == 400
    found = await scraped(client)
    assert (found["corrupt_files_total",], found["quarantined_files_total",]) == (1, 0)
    await asyncio.sleep(1.6)
    await client.get(f"/{name_of(b'x')}")
    found = await scraped(client)
    assert (found["corrupt_files_total",], found["quarantined_files_total",]) == (1, 1)


async def test_scrub(start_client: ClientFactory, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scrub's way through the store is seen, and, by whoever serves it next, when it was last done."""
    monkeypatch.setattr(inspecting, "NOTED_EVERY_S", 0.1)
    for number in range(30):
        lay(directory, b"%d" % number * 10_000)
    await asyncio.sleep(1.1)
    client = await start_client(scrub_bytes_per_s=300_000)

    async def is_on_the_way() -> bool:
        found = await scraped(client)
        return 0 < found["scrub_pass_ratio",] < 1 and found["scrub_pass_files",] > 0

    await until(is_on_the_way, 10)
    assert (await scraped(client))["scrub_passes_total",] == 0

    async def is_done() -> bool:
        return (await scraped(client))["scrub_passes_total",] == 1

    await until(is_done, 20)
    await client.close()
    found = await scraped(await start_client(scrub_bytes_per_s=1))
    assert found["scrub_passes_total",] == 1
    assert abs(found["scrub_last_pass_timestamp_seconds",] - time.time()) < 30


async def test_scrub_passes_add_up(tmp_path: Path) -> None:
    """Passes of one server after the other are one row of passes."""
    catalogue = opened(tmp_path / "catalogue.sqlite")
    assert scrubbing.progress_of(catalogue) == scrubbing.Progress(inspecting.Findings())
    await catalogue.keep_note(scrubbing.PASSES_NOTE, "[3, 1000.5]")
    assert scrubbing.progress_of(catalogue) == scrubbing.Progress(inspecting.Findings(), 3, 1000.5)
    await catalogue.keep_note(scrubbing.PASSES_NOTE, "nonsense")
    assert scrubbing.progress_of(catalogue).passes == 0
    await catalogue.close()


@pytest.mark.parametrize(
    "accept", ["", "text/plain", "*/*", f"{OPENMETRICS}; version=abc", "text/plain;version=x"]
)
async def test_text_format(client: Client, accept: str) -> None:
    """Whoever does not ask for anything else, or for nonsense, gets the text format."""
    answer = await client.get("/metrics", headers=PLAIN | {"Accept": accept})
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "hashserver_requests_in_progress 1.0\n" in await answer.text()
    assert len(list(families_of_text(await answer.text()))) > 10


@pytest.mark.parametrize("accept", [OPENMETRICS, f"{OPENMETRICS}; version=1.0.0", OF_PROMETHEUS])
async def test_openmetrics(client: Client, accept: str) -> None:
    """OpenMetrics is spoken to whoever asks for it, with the same names and values."""
    await stored(client, SMALL)
    answer = await client.get("/metrics", headers=PLAIN | {"Accept": accept})
    text = await answer.text()
    assert answer.headers["Content-Type"].startswith(f"{OPENMETRICS}; version=1.0.0; charset=utf-8")
    assert text.endswith("# EOF\n")
    values = {
        sample.name: sample.value
        for family in families_of_openmetrics(text)  # type: ignore[no-untyped-call]  # theirs
        for sample in family.samples
    }
    assert values["hashserver_held_bytes"] == len(SMALL)
    plain = numbers_in(await (await client.get("/metrics", headers=PLAIN)).text())
    assert set(values) == {name for name, *_ in plain}


async def test_compressed(client: Client) -> None:
    """The numbers are compressed for whoever takes that, and no cache keeps them."""
    answer = await client.get("/metrics", headers={"Accept-Encoding": "gzip"})
    assert (answer.headers["Content-Encoding"], answer.headers["Cache-Control"]) == ("gzip", "no-store")
    assert (
        without_prefix(numbers_in(gzip.decompress(await answer.read()).decode()))["requests_in_progress",]
        == 1
    )
    answer = await client.get("/metrics", headers={"Accept-Encoding": "gzip;q=0"})
    assert "Content-Encoding" not in answer.headers


async def test_labels_are_few(client: Client) -> None:
    """Whatever is asked for, there are as many values as are listed, and no name of a buffer in any."""
    for number in range(30):
        await client.request("PATCH", f"/{name_of(b'%d' % number)}")
        await client.get(f"/{name_of(b'%d' % number)}?x={number}")
        await client.get(f"/path/{number}")
    text = await (await client.get("/metrics", headers=PLAIN)).text()
    requests = [key for key in without_prefix(numbers_in(text)) if key[0] == "requests_total"]
    assert {key[1:] for key in requests} <= set(REQUESTS) and len(requests) < 6
    assert name_of(b"1") not in text and "path" not in text


async def test_unreadable_catalogue(client: Client, directory: Path) -> None:
    """A catalogue that can't be read is not taken for an empty one: how much is held is left out."""
    await stored(client, SMALL)
    for path in (directory / ".hashserver-aio").glob("catalogue.sqlite*"):
        path.unlink()
    (directory / ".hashserver-aio/catalogue.sqlite").mkdir()
    found = await scraped(client)
    assert ("held_bytes",) not in found and found["requests_in_progress",] == 1
