"""Compressed forms over real HTTP: taken, verified, kept, sent only where they are wanted."""

from __future__ import annotations

import base64
import gzip
import hashlib
import random
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import ClientResponse
from backports import zstd

from .conftest import Client, ClientFactory, ServerFactory

BODY = random.Random(1).randbytes(1000) * 200
CHECKSUM = hashlib.sha3_256(BODY).hexdigest()
PATH = "/" + CHECKSUM
ZSTD, GZIP = zstd.compress(BODY), gzip.compress(BODY)
COMPRESSED = {"zstd": ZSTD, "gzip": GZIP}
ENDINGS = {"zstd": ".zst", "gzip": ".gz"}
CODINGS = ("zstd", "gzip")
MIB = 1024 * 1024
INVALID, INCORRECT = (400, "Invalid compressed payload"), (400, "Incorrect checksum")


async def put(client: Client, coding: str, data: bytes, path: str = PATH) -> tuple[int, str]:
    """Upload a compressed form; status and text."""
    response = await client.put(path, data=data, headers={"Content-Encoding": coding})
    return response.status, await response.text()


async def get(client: Client, accepted: str | None, path: str = PATH, **more: str) -> ClientResponse:
    """Download with an Accept-Encoding header, or without one."""
    headers = more if accepted is None else more | {"Accept-Encoding": accepted}
    return await client.get(path, headers=headers, skip_auto_headers=["Accept-Encoding"])


def file_of(directory: Path, ending: str = "", checksum: str = CHECKSUM) -> Path:
    """Name a file of a buffer, in the prefix layout."""
    return directory / checksum[:2] / (checksum + ending)


def plant(directory: Path, ending: str, data: bytes) -> None:
    """Write a file of BODY as another program would."""
    path = file_of(directory, ending)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)


@pytest.mark.parametrize("coding", CODINGS)
async def test_files_of_a_compressed_form(client: Client, directory: Path, coding: str) -> None:
    """A compressed upload is kept as it came, with its plain size beside it, and nothing else."""
    assert await put(client, coding, COMPRESSED[coding]) == (200, "OK")
    assert file_of(directory, ENDINGS[coding]).read_bytes() == COMPRESSED[coding]
    assert file_of(directory, ".BUFFERLENGTH").read_text() == str(len(BODY))
    assert len(list((directory / CHECKSUM[:2]).iterdir())) == 2
    assert (await put(client, coding, COMPRESSED[coding]))[0] == 201


@pytest.mark.parametrize("coding", CODINGS)
async def test_where_the_coding_is_accepted(client: Client, coding: str) -> None:
    """A compressed form is sent as it lies there, under an ETag of its own."""
    await put(client, coding, COMPRESSED[coding])
    response = await get(client, coding)
    assert await response.read() == COMPRESSED[coding]
    assert response.headers["Content-Encoding"] == coding
    assert response.headers["ETag"] == f'"{CHECKSUM}-{ENDINGS[coding][1:]}"'
    assert response.headers["Vary"] == "Accept-Encoding"
    digest = base64.b64encode(hashlib.sha256(COMPRESSED[coding]).digest()).decode()
    assert response.headers.get("Repr-Digest", f"sha-256=:{digest}:") == f"sha-256=:{digest}:"
    again = await get(client, coding, **{"If-None-Match": response.headers["ETag"]})
    assert (again.status, again.headers["ETag"]) == (304, response.headers["ETag"])


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("accepted", [None, "", "identity", "{other}, br", "{coding};q=0", "*;q=0", ",;"])
async def test_where_it_is_not_accepted(client: Client, coding: str, accepted: str | None) -> None:
    """Whoever does not ask for the coding (as aiohttp's clients for zstd) gets the plain bytes."""
    await put(client, coding, COMPRESSED[coding])
    other = {"zstd": "gzip", "gzip": "zstd"}[coding]
    response = await get(client, accepted and accepted.format(coding=coding, other=other))
    assert await response.read() == BODY
    assert "Content-Encoding" not in response.headers
    assert (response.headers["ETag"], response.headers["Content-Length"]) == (f'"{CHECKSUM}"', str(len(BODY)))
    digest = base64.b64encode(hashlib.sha256(BODY).digest()).decode()
    assert response.headers["Repr-Digest"] == f"sha-256=:{digest}:"


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip, deflate", "gzip"),  # what clients on aiohttp offer
        ("gzip, deflate, zstd", "zstd"),
        ("zstd;q=0.5, gzip", "gzip"),
        ("zstd;q=0.5, gzip;q=0.6, identity;q=0.1", "gzip"),
        ("ZSTD", "zstd"),
        ("x-gzip", "gzip"),
        ("*", "zstd"),
        ("*, zstd;q=0", "gzip"),
        ("zstd;q=0, *", "gzip"),
        ("gzip;q=0.4, identity;q=0.5", None),
        ("gzip;q=0.000, zstd;q=0.0", None),
        ("zst", None),
    ],
)
async def test_choice_between_forms(client: Client, accepted: str, coding: str | None) -> None:
    """Of the forms held, the one that the client likes best is sent, the smaller where it is equal."""
    for each in CODINGS:
        await put(client, each, COMPRESSED[each])
    response = await get(client, accepted)
    assert response.headers.get("Content-Encoding") == coding
    assert await response.read() == (COMPRESSED[coding] if coding else BODY)


async def test_forms_coexist(client: Client, directory: Path) -> None:
    """Plain and compressed forms of one buffer lie beside each other, and any of them is held."""
    for coding in CODINGS:
        assert (await put(client, coding, COMPRESSED[coding]))[0] == 200
        assert await (await client.post("/has-now", json=[CHECKSUM])).json() == [True]
    assert (await client.put(PATH, data=BODY)).status == 200
    for ending, data in {"": BODY, ".zst": ZSTD, ".gz": GZIP}.items():
        assert file_of(directory, ending).read_bytes() == data
        file_of(directory, ending).unlink()
        assert await (await client.post("/has-now", json=[CHECKSUM])).json() == [ending != ".gz"]


@pytest.mark.parametrize(
    ("coding", "data"),
    [
        ("zstd", zstd.compress(BODY[:777]) + zstd.compress(BODY[777:])),
        ("zstd", zstd.compress(b"") + ZSTD + b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"),  # a skippable frame
        ("gzip", gzip.compress(BODY[:777]) + gzip.compress(BODY[777:])),
        ("gzip", gzip.compress(BODY[:1]) + gzip.compress(b"") + gzip.compress(BODY[1:])),
    ],
)
async def test_several_members(client: Client, coding: str, data: bytes) -> None:
    """Several frames or members, one after the other, are one compressed form."""
    assert await put(client, coding, data) == (200, "OK")
    assert await (await get(client, None)).read() == BODY
    assert await (await get(client, coding)).read() == data


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "garbage": lambda data: b"this was never compressed",
    "nothing": lambda data: b"",
    "trailing byte": lambda data: data + b"x",
    "trailing garbage": lambda data: data + b"garbage garbage",
    "trailing zeros": lambda data: data + bytes(16),
    "cut by one": lambda data: data[:-1],
    "cut in the middle": lambda data: data[: len(data) // 2],
    "cut in the head": lambda data: data[:3],
    "second one cut": lambda data: data + data[:-1],
    "changed": lambda data: data[:100] + bytes([data[100] ^ 0xFF]) + data[101:],
}


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("how", BROKEN)
async def test_broken_payload(client: Client, directory: Path, coding: str, how: str) -> None:
    """What no decoder could read to its very end is refused, and leaves nothing behind."""
    answer = await put(client, coding, BROKEN[how](COMPRESSED[coding]))
    assert answer == INVALID or (how == "changed" and answer == INCORRECT)
    assert not file_of(directory, ENDINGS[coding]).exists()
    assert (await get(client, None)).status == 404


@pytest.mark.parametrize("coding", CODINGS)
async def test_nothing_compressed_is_nothing(client: Client, coding: str) -> None:
    """An empty body is no compressed form, not even of the empty buffer."""
    path = "/" + hashlib.sha3_256(b"").hexdigest()
    assert await put(client, coding, b"", path) == INVALID
    empty = zstd.compress(b"") if coding == "zstd" else gzip.compress(b"")
    assert await put(client, coding, empty, path) == (200, "OK")
    assert await (await get(client, None, path)).read() == b""


@pytest.mark.parametrize("coding", CODINGS)
async def test_wrong_name(client: Client, directory: Path, coding: str) -> None:
    """The name is the hash of the plain bytes, not of the compressed ones."""
    data = COMPRESSED[coding]
    for wrong in (hashlib.sha3_256(data).hexdigest(), "0" * 64):
        assert await put(client, coding, data, f"/{wrong}") == INCORRECT
        assert not file_of(directory, ENDINGS[coding], wrong).exists()


@pytest.mark.parametrize("coding", ["br", "deflate", "compress", "zstd, gzip", "nonsense", "*"])
async def test_unknown_coding(client: Client, coding: str) -> None:
    """A coding that is not spoken is refused, with the ones that are."""
    response = await client.put(PATH, data=b"x", headers={"Content-Encoding": coding})
    assert (response.status, response.headers["Accept-Encoding"]) == (415, "zstd, gzip")
    assert (await response.json())["code"] == "UnknownEncoding"


@pytest.mark.parametrize("coding", CODINGS)
async def test_range_means_plain_bytes(client: Client, coding: str) -> None:
    """A part is of the plain bytes, also where only a compressed form is held and accepted."""
    await put(client, coding, COMPRESSED[coding])
    for first, last in ((0, 0), (1000, 150_000), (199_999, 199_999)):
        response = await get(client, coding, Range=f"bytes={first}-{last}")
        assert (response.status, await response.read()) == (206, BODY[first : last + 1])
        assert response.headers["ETag"] == f'"{CHECKSUM}"'
        assert "Content-Encoding" not in response.headers


async def test_head_of_a_compressed_form(client: Client) -> None:
    """HEAD tells of the form that GET would send, whatever Range says."""
    await put(client, "zstd", ZSTD)
    for accepted, size in (("zstd", len(ZSTD)), ("gzip", len(BODY))):
        for more in ({}, {"Range": "bytes=0-5"}):
            response = await client.head(PATH, headers={"Accept-Encoding": accepted} | more)
            assert (response.status, response.headers["Content-Length"]) == (200, str(size))


@pytest.mark.parametrize("sidecar", ["kept", "removed", "empty", "nonsense"])
async def test_buffer_length(client: Client, directory: Path, sidecar: str) -> None:
    """The length of a buffer is its plain size, with or without a readable file that tells it."""
    await put(client, "zstd", ZSTD)
    path = file_of(directory, ".BUFFERLENGTH")
    if sidecar != "kept":
        path.unlink()
    if sidecar in ("empty", "nonsense"):
        path.write_text({"empty": "", "nonsense": "many"}[sidecar])
    assert await (await client.post("/buffer-length", json=[CHECKSUM, "0" * 64])).json() == [len(BODY), 0]


@pytest.mark.parametrize("bad", [".zst", ".gz", ""])
async def test_good_form_stands_in_for_a_corrupt_one(client: Client, directory: Path, bad: str) -> None:
    """A corrupt form is never sent where another one is good."""
    forms = {".zst": ZSTD, ".gz": GZIP, "": BODY}
    plant(directory, bad, zstd.compress(b"other") if bad == ".zst" else forms[bad][:-1])
    good = "" if bad else ".zst"
    plant(directory, good, forms[good])
    for accepted in ("zstd, gzip", "gzip", None):
        response = await get(client, accepted)
        sent = ".zst" if good and accepted and "zstd" in accepted else ""
        assert (response.status, await response.read()) == (200, forms[sent])
        assert response.headers.get("Content-Encoding") == ("zstd" if sent else None)


async def test_corrupt_alone(client: Client, directory: Path) -> None:
    """A corrupt compressed form alone is an error, and a re-PUT repairs it."""
    plant(directory, ".zst", ZSTD[:-1])
    assert (await get(client, "zstd")).status == 400
    assert (await put(client, "zstd", ZSTD))[0] == 200
    assert await (await get(client, "zstd")).read() == ZSTD


def zstd_with_window(log: int) -> bytes:
    """Compress BODY so that its decoder needs a window of 2 ** log bytes."""
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: log})
    return compressor.compress(BODY) + compressor.flush()


async def test_zstd_window(client: Client, directory: Path) -> None:
    """RFC 9659: the zstd coding asks a decoder for 8 MiB at most; who sends more is refused."""
    assert await put(client, "zstd", zstd_with_window(24)) == INVALID
    assert await put(client, "zstd", zstd_with_window(23)) == (200, "OK")
    file_of(directory, ".zst").unlink()
    plant(directory, ".zst", zstd_with_window(24))  # other programs may have stored such a form
    assert await (await get(client, None)).read() == BODY


@pytest.mark.parametrize("coding", CODINGS)
async def test_limit_means_the_plain_size(start_client: ClientFactory, coding: str) -> None:
    """The largest buffer taken is reckoned by its plain size, however small it arrives."""
    client = await start_client(max_buffer_bytes=len(BODY) - 1)
    assert len(COMPRESSED[coding]) < len(BODY) - 1
    assert (await put(client, coding, COMPRESSED[coding]))[0] == 413
    assert (await get(client, coding)).status == 404
    other = await start_client(max_buffer_bytes=len(BODY))
    assert (await put(other, coding, COMPRESSED[coding]))[0] == 200


def bomb(mebibytes: int) -> bytes:
    """Compress that many mebibytes of zeros."""
    compressor, mebibyte = zstd.ZstdCompressor(), bytes(MIB)
    return b"".join(compressor.compress(mebibyte) for _ in range(mebibytes)) + compressor.flush()


@pytest.mark.slow
def test_expansion_takes_no_memory(directory: Path, start_server: ServerFactory) -> None:
    """18 kB that expand to 600 MB are taken, kept and sent in bounded memory."""
    server, data = start_server(directory, "--writable"), bomb(600)
    status = Path(f"/proc/{server.process.pid}/status")
    checksum, plain = hashlib.sha3_256(), bytes(MIB)
    for _ in range(600):
        checksum.update(plain)
    url, headers = f"{server.url}/{checksum.hexdigest()}", {"Content-Encoding": "zstd"}
    request = urllib.request.Request(url, data, headers, method="PUT")
    with urllib.request.urlopen(request) as response:
        assert (len(data) < 25_000, response.read()) == (True, b"OK")
    with urllib.request.urlopen(url) as response:
        assert sum(map(len, iter(lambda: response.read(MIB), b""))) == 600 * MIB
    peak_kib = int(status.read_text().split("VmHWM:")[1].split()[0])
    assert peak_kib < 150 * 1024
