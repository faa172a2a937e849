"""The axon face: put, has, get, delete by SHA-256, over the same buffers as the other faces."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hashserver_aio.checksums import Algorithm
from hashserver_aio.settings import Limits

from .axon import ABSENT, API, by, hashset, items, put, refusal, result, sha256
from .conftest import Client, ClientFactory
from .peers import lay, leftovers

BODIES = [b"", b"x", b"y" * 65_536, random.Random(1).randbytes(900_001)]
PUT = f"{API}/files/put"


def sha3(body: bytes) -> str:
    """Name a buffer as the store does."""
    return hashlib.sha3_256(body).hexdigest()


def files(directory: Path) -> dict[str, tuple[int, int]]:
    """List the files of a prefix directory, each with what tells that it is the same."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in directory.glob("??/*")}


@pytest.fixture
async def client(start_client: ClientFactory) -> Client:
    """A client of a server that deletes, too."""
    return await start_client(allow_delete=True)


@pytest.mark.parametrize("method", ["PUT", "POST"])
@pytest.mark.parametrize("body", BODIES, ids=len)
async def test_round_trip(client: Client, directory: Path, body: bytes, method: str) -> None:
    """What was put is told by all its names, and had by any of them."""
    assert await result(await client.request(method, PUT, data=body)) == hashset(body)
    assert await result(await client.get(f"{API}/files/has/sha256/{sha256(body)}")) is True
    for path in (by(body), by(body).replace(sha256(body), sha256(body).upper()), f"/{sha3(body)}"):
        assert await (await client.get(path)).read() == body
    assert await result(await client.get(f"{API}/hashset/{sha256(body)}")) == hashset(body)
    assert await result(await client.get(f"{API}/size/{sha256(body)}")) == len(body)
    assert (directory / sha3(body)[:2] / sha3(body)).read_bytes() == body
    assert leftovers(directory) == []


@pytest.mark.parametrize("form", ["", ".gz"])
@pytest.mark.parametrize("body", BODIES[1:], ids=len)
async def test_put_of_what_is_held(client: Client, directory: Path, body: bytes, form: str) -> None:
    """A buffer that is held, in whatever form, is not stored once more, nor listed."""
    data, headers = (gzip.compress(body), {"Content-Encoding": "gzip"}) if form else (body, {})
    assert (await client.put(f"/{sha3(body)}", data=data, headers=headers)).status == 200
    before = files(directory)
    for _ in range(2):
        assert await put(client, body) == hashset(body)
    assert len(await items(client, "hashes")) == 1
    assert files(directory) == before


async def chunks(*pieces: bytes) -> AsyncIterator[bytes]:
    """Send pieces as chunks."""
    for piece in pieces:
        yield piece
        await asyncio.sleep(0.07)


async def test_chunks(client: Client) -> None:
    """A body whose length nobody knows is taken, however slowly it comes."""
    answer = await client.put(PUT, data=chunks(b"one ", b"two ", b"three"))
    assert await result(answer) == hashset(b"one two three")


@pytest.mark.parametrize("size", [10_000, 1_000_000])
async def test_cut_upload(client: Client, directory: Path, size: int) -> None:
    """An upload that was cut leaves nothing."""
    with pytest.raises(Exception):  # noqa: B017 - however the client words it
        async with asyncio.timeout(1):
            await client.put(PUT, data=chunks(bytes(size), bytes(size), *[b""] * 1000), headers={"X": "y"})
    await asyncio.sleep(0.2)
    assert await items(client, "hashes") == [] and leftovers(directory) == []


async def test_same_headers_as_the_first_face(client: Client) -> None:
    """Conditions, ranges and their answers are the same by either name, but for the file's name."""
    body = BODIES[-1]
    await put(client, body)
    etag = f'"{sha3(body)}"'
    asked: list[dict[str, str]] = [
        {}, {"Range": "bytes=2-4"}, {"Range": "bytes=-3"}, {"Range": "bytes=0-1,5-9"},
        {"Range": "bytes=9999999-"}, {"Range": "bytes=4-2"}, {"If-None-Match": etag}, {"If-Match": '"x"'},
        {"Range": "bytes=0-0", "If-Range": etag}, {"Range": "bytes=0-0", "If-Range": '"x"'},
        {"If-Modified-Since": "Sat, 01 Jan 2050 00:00:00 GMT"},
    ]  # fmt: skip
    for method in ("GET", "HEAD"):
        for headers in asked:
            answers = []
            for path in (by(body), f"/{sha3(body)}"):
                answer = await client.request(method, path, headers=headers)
                kept = {k: v for k, v in answer.headers.items() if k not in ("Date", "Content-Disposition")}
                if kept.get("Content-Type", "").startswith("multipart"):
                    kept.pop("Content-Type")
                    answers.append((answer.status, kept, len(await answer.read())))
                    continue
                answers.append((answer.status, kept, hash(await answer.read())))
            assert answers[0] == answers[1], (method, headers)
    assert (await client.get(by(body))).headers["Content-Disposition"] == "attachment"


async def test_plain_bytes(client: Client) -> None:
    """Whatever form a buffer is kept in, and whatever a client accepts, it gets the plain bytes."""
    body, headers = b"to be compressed" * 1000, {"Content-Encoding": "gzip"}
    await client.put(f"/{sha3(body)}", data=gzip.compress(body), headers=headers)
    for ranged, expected in (({}, body), ({"Range": "bytes=3-9"}, body[3:10])):
        answer = await client.get(by(body), headers={"Accept-Encoding": "gzip, zstd"} | ranged)
        assert "Content-Encoding" not in answer.headers and await answer.read() == expected


async def test_absent(client: Client) -> None:
    """What is absent is said to be, by its name."""
    told = (404, "NoSuchFile", f"SHA-256 not found: {ABSENT}")
    for path in (f"{API}/files/by/sha256/{ABSENT}", f"{API}/hashset/{ABSENT.upper()}"):
        assert await refusal(await client.get(path)) == told
    assert await refusal(await client.delete(f"{API}/files/by/sha256/{ABSENT}")) == told
    assert (await client.head(f"{API}/files/by/sha256/{ABSENT}")).status == 404
    assert await result(await client.get(f"{API}/files/has/sha256/{ABSENT}")) is False
    assert await result(await client.get(f"{API}/size/{ABSENT}")) is None


@pytest.mark.parametrize("name", ["foobar", "", "z" * 64, ABSENT + "a", "a/b", "é"])
async def test_bad_name(client: Client, name: str) -> None:
    """What is no SHA-256 is not found, and said to be none."""
    for path in ("files/has/sha256", "files/by/sha256", "size", "hashset"):
        answer = await client.get(f"{API}/{path}/{name}")
        assert await refusal(answer) == (404, "BadArg", f"Hash is not a SHA-256: {name}")
    answer = await client.head(f"{API}/files/by/sha256/{name}")
    assert (answer.status, answer.headers["Content-Length"]) == (404, "0")


async def test_gone_behind_our_back(client: Client, directory: Path) -> None:
    """A buffer that another program removed is not held, whatever the catalogue says."""
    await put(client, b"x")
    (directory / sha3(b"x")[:2] / sha3(b"x")).unlink()
    assert await result(await client.get(f"{API}/files/has/sha256/{sha256(b'x')}")) is False
    assert await result(await client.get(f"{API}/size/{sha256(b'x')}")) is None
    assert (await client.get(by(b"x"))).status == 404
    assert await put(client, b"x") == hashset(b"x")
    assert await (await client.get(by(b"x"))).read() == b"x"


async def test_delete(client: Client) -> None:
    """Deleting tells whether there was something to delete; a list is answered name by name."""
    for body in (b"x", b"y", b"z"):
        await put(client, body)
    assert await result(await client.delete(by(b"x"))) is True
    assert (await refusal(await client.delete(by(b"x"))))[:2] == (404, "NoSuchFile")
    names = [sha256(b"y"), ABSENT, sha256(b"z").upper(), sha256(b"y"), sha256(b"z")]
    answer = await client.post(f"{API}/files/del", json={"sha256s": names})
    assert await result(answer) == [
        list(pair) for pair in zip(names, [True, False, True, False, False], strict=True)
    ]
    assert await items(client, "hashes") == []


async def test_long_list(client: Client) -> None:
    """A list of thousands is answered as a short one is."""
    held = [b"%d" % number for number in range(20)]
    for body in held:
        await put(client, body)
    names = [f"{number:064x}" for number in range(3000)] + [sha256(body) for body in held]
    wanted = await result(await client.post(f"{API}/wants", json={"sha256s": names}))
    assert wanted == names[:3000]
    deleted = await result(await client.post(f"{API}/files/del", json={"sha256s": names}))
    assert deleted == [[name, number >= 3000] for number, name in enumerate(names)]
    answer = await client.post(f"{API}/files/del", json={"sha256s": [*names, "foo"]})
    assert (await refusal(answer))[:2] == (400, "SchemaViolation")


NO_LISTS = {
    b"": "Invalid JSON content.",
    b"{": "Invalid JSON content.",
    b"\xff": "Invalid JSON content.",
    b"[" * 100_000: "Invalid JSON content.",
    b"[%b]" % b",".join([b"[]"] * 100_000): "SchemaViolation: mesg='data.sha256s must hold SHA-256 only' "
    "name='data.sha256s'",
    b"[]": "SchemaViolation: mesg='data must be object' name='data'",
    b"{}": "SchemaViolation: mesg=\"data must contain ['sha256s'] properties\" name='data'",
    b'{"sha256s": [], "x": 1}': "SchemaViolation: mesg=\"data must not contain {'x'} properties\" "
    "name='data'",
    b'{"sha256s": "x"}': "SchemaViolation: mesg='data.sha256s must be array' name='data.sha256s'",
    b'{"sha256s": [1]}': "SchemaViolation: mesg='data.sha256s[0] must be string' name='data.sha256s[0]'",
    b'{"sha256s": ["x"]}': "SchemaViolation: mesg='data.sha256s[0] must match pattern (?i)^[0-9a-f]{64}$' "
    "name='data.sha256s[0]'",
}


@pytest.mark.parametrize("body", NO_LISTS, ids=lambda body: body[:20])
async def test_bad_lists(client: Client, body: bytes) -> None:
    """A body that is no list of names is refused in the Axon's words."""
    for path in ("files/del", "wants"):
        answer = await client.post(f"{API}/{path}", data=body)
        assert await refusal(answer) == (400, "SchemaViolation", NO_LISTS[body])


async def test_store_of_sha256(start_client: ClientFactory, directory: Path) -> None:
    """Where the store's names are SHA-256, a file is found without a catalogue that knows it."""
    lay(directory, b"x", sha256(b"x"))
    client = await start_client(algorithm=Algorithm.SHA_256, writable=False)
    assert await (await client.get(by(b"x"))).read() == b"x"
    assert await result(await client.get(f"{API}/files/has/sha256/{sha256(b'x')}")) is True
    assert await result(await client.get(f"{API}/hashset/{sha256(b'x')}")) == hashset(b"x")


async def test_refused(start_client: ClientFactory) -> None:
    """What the server does not do at all is refused before the body is looked at."""
    client = await start_client(writable=False)
    assert (await refusal(await client.put(PUT, data=b"x")))[:2] == (405, "IsReadOnly")
    client = await start_client()
    foreign = {"Origin": "https://evil.example"}
    assert (await refusal(await client.put(PUT, data=b"x", headers=foreign)))[:2] == (403, "AuthDeny")
    assert (await refusal(await client.delete(by(b"x"))))[:2] == (403, "AuthDeny")
    wrong = {"Content-Digest": f"sha-256=:{'A' * 43}=:"}
    assert (await refusal(await client.put(PUT, data=b"x", headers=wrong)))[:2] == (400, "DigestMismatch")
    assert await items(client, "hashes") == []


@pytest.mark.parametrize("size", [100, 400_000])
async def test_limit(start_client: ClientFactory, directory: Path, size: int) -> None:
    """Of many buffers sent at once exactly as many are taken as may be held; later ones at once refused."""
    client = await start_client(limits=Limits(count=5))
    answers = await asyncio.gather(*(client.put(PUT, data=bytes([n]) * size) for n in range(20)))
    assert sorted(answer.status for answer in answers) == [200] * 5 + [507] * 15
    refused = next(answer for answer in answers if answer.status == 507)
    assert (await refusal(refused))[:2] == (507, "HitLimit")
    assert len(files(directory)) == 5
    headers = {"Expect": "100-continue"}
    assert (await client.put(PUT, data=chunks(b"never", b"sent"), headers=headers)).status == 507


async def test_buffer_size_limit(start_client: ClientFactory) -> None:
    """A buffer that is too large is refused by its Content-Length, or as soon as it is."""
    client = await start_client(max_buffer_bytes=1000)
    assert (await client.put(PUT, data=bytes(1001))).status == 413
    assert (await client.put(PUT, data=chunks(bytes(600), bytes(600)))).status == 413
    assert (await client.put(PUT, data=bytes(1000))).status == 200
