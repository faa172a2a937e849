"""What files of the web-root are answered with: whole, in parts, under conditions, while they change."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from hashserver_aio.server.sendfile import SLICE_BYTES
from hashserver_aio.server.webroot import validators
from hashserver_aio.server.webroot.kinds import content_type_of

from .conftest import Client, ClientFactory, ServerFactory

SIZES = (0, 1, 1000, 65_536, 65_537, 300_000, SLICE_BYTES + 70_000)


def content(size: int) -> bytes:
    """Bytes that differ wherever they are."""
    return random.Random(size).randbytes(size)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A web-root with files of many sizes, none of them new."""
    root = tmp_path / "www"
    root.mkdir()
    for size in SIZES:
        (root / f"{size}.bin").write_bytes(content(size))
    return root


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take files for settled, though the test has just made them."""
    monkeypatch.setattr(validators, "SETTLED_S", 0.0)


@pytest.fixture
async def web(start_client: ClientFactory, root: Path) -> Client:
    """A client of a server with the web-root."""
    return await start_client(web_root=root)


def modelled(body: bytes, wanted: str) -> tuple[int, bytes] | None:
    """Tell status and body for one range, or None for several."""
    first, last = wanted.split("-")
    if not first:
        begin, end = max(0, len(body) - int(last)), len(body)
    else:
        begin, end = int(first), min(len(body), int(last) + 1) if last else len(body)
    return (206, body[begin:end]) if begin < end else (416, b"")


@pytest.mark.parametrize("size", SIZES)
async def test_whole(web: Client, size: int) -> None:
    """A file comes as it is, and HEAD says the same of it without it."""
    async with web.get(f"/{size}.bin") as answer:
        assert (answer.status, await answer.read()) == (200, content(size))
    async with web.head(f"/{size}.bin") as head:
        assert (head.status, await head.read()) == (200, b"")
    unlike = {"Date"}
    assert {k: v for k, v in head.headers.items() if k not in unlike} == {
        k: v for k, v in answer.headers.items() if k not in unlike
    }
    assert head.headers["Content-Length"] == str(size)


@pytest.mark.parametrize("size", SIZES)
async def test_ranges(web: Client, size: int) -> None:
    """Parts are those of the file, as a plain model cuts them."""
    rng = random.Random(size)
    ends = [0, 1, size // 2, max(0, size - 1), size, size + 1, *(rng.randrange(size + 1) for _ in range(6))]
    specs = [f"{a}-{b}" for a in ends for b in ends if a <= b][::3]
    for spec in (*specs, "0-", f"{size // 3}-", f"-{size // 3 + 1}", "-1", f"-{size + 5}"):
        async with web.get(f"/{size}.bin", headers={"Range": f"bytes={spec}"}) as answer:
            assert (answer.status, await answer.read() * (answer.status == 206)) == modelled(
                content(size), spec
            )
            if answer.status == 416:
                assert answer.headers["Content-Range"] == f"bytes */{size}"


async def test_several_ranges(web: Client) -> None:
    """Several parts are sent with what kind of file they are of, and where they belong."""
    body = content(300_000)
    async with web.get("/300000.bin", headers={"Range": "bytes=5-9,100-80099,-3"}) as answer:
        assert answer.status == 206
        reader = aiohttp.MultipartReader.from_response(answer)
        parts = []
        while (part := await reader.next()) is not None:
            assert isinstance(part, aiohttp.BodyPartReader)
            assert part.headers["Content-Type"] == "application/octet-stream"
            parts.append((part.headers["Content-Range"], bytes(await part.read())))
    assert parts == [
        ("bytes 5-9/300000", body[5:10]),
        ("bytes 100-80099/300000", body[100:80_100]),
        ("bytes 299997-299999/300000", body[-3:]),
    ]


async def test_conditions(web: Client, root: Path) -> None:
    """ETag and Last-Modified work as conditions, and change with the file."""
    os.utime(root / "1000.bin", (1e9, 1e9))

    async def status(**conditions: str) -> int:
        headers = {name.replace("_", "-"): value for name, value in conditions.items()}
        async with web.get("/1000.bin", headers=headers) as answer:
            assert (answer.status not in (200, 206)) or await answer.read()
            return answer.status

    async with web.get("/1000.bin") as answer:
        etag, modified = answer.headers["ETag"], answer.headers["Last-Modified"]
    assert modified == "Sun, 09 Sep 2001 01:46:40 GMT"
    assert not etag.startswith("W/")
    for _ in range(2):
        assert await status(If_None_Match=etag) == 304
        assert await status(If_Modified_Since=modified) == 304
        assert await status(If_Match=etag) == 200
        assert await status(If_Unmodified_Since=modified) == 200
        assert await status(If_Range=etag, Range="bytes=0-0") == 206
        assert await status(If_Range=modified, Range="bytes=0-0") == 206
    (root / "1000.bin").write_bytes(b"y" * 1000)
    os.utime(root / "1000.bin", (1e9, 1e9))  # nor by its times can a file pass for what it was
    assert await status(If_None_Match=etag) == 200
    assert await status(If_Match=etag) == 412
    assert await status(If_Range=etag, Range="bytes=0-0") == 200
    os.utime(root / "1000.bin", (1e9 + 1, 1e9 + 1))
    assert await status(If_Modified_Since=modified) == 200
    assert await status(If_Unmodified_Since=modified) == 412
    assert await status(If_Range=modified, Range="bytes=0-0") == 200


async def test_new_file_has_no_lasting_etag(web: Client, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as a file may change without its times telling, no two answers are said to be the same."""
    monkeypatch.setattr(validators, "SETTLED_S", 1.0)
    (root / "new").write_bytes(b"x")
    tags = []
    for _ in range(2):
        async with web.get("/new") as answer:
            tags.append(answer.headers["ETag"])
    assert tags[0] != tags[1]
    ahead = time.time() + 1000
    os.utime(root / "new", (ahead, ahead))
    async with web.get("/new") as answer:
        assert answer.headers["Last-Modified"] <= answer.headers["Date"]


@pytest.mark.parametrize(
    ("name", "expected"),
    {
        "a.txt": "text/plain; charset=utf-8",
        "a.html": "text/html; charset=utf-8",
        "A.HTML": "text/html; charset=utf-8",
        "a.json": "application/json; charset=utf-8",
        "a.png": "image/png",
        "a.pdf": "application/pdf",
        "a.svg": "image/svg+xml; charset=utf-8",
        "a.tar.gz": "application/gzip",
        "a.html.gz": "application/gzip",
        "a.svgz": "application/gzip",
        "a.tar.bz2": "application/x-bzip2",
        "a": "application/octet-stream",
        "a.unheard-of": "application/octet-stream",
        "html": "application/octet-stream",
        ".html": "application/octet-stream",
        "data:text/html,x": "application/octet-stream",
        "data:text/html;.png": "image/png",
        "\udcff.txt": "text/plain; charset=utf-8",
    }.items(),
)
def test_kinds(name: str, expected: str) -> None:
    """A file's kind is told by the end of its name, and what is compressed is that, for whoever stores it."""
    assert content_type_of(os.fsencode(name)) == expected


async def test_headers(web: Client, root: Path) -> None:
    """Caches ask before they use a file again; nothing is said that is of buffers."""
    (root / "a.html").write_bytes(b"<p>")
    async with web.get("/a.html") as answer:
        assert answer.headers["Cache-Control"] == "no-cache"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert {"Content-Disposition", "Content-Encoding", "Repr-Digest"}.isdisjoint(answer.headers)


@contextmanager
def plain_server(root: Path) -> Iterator[int]:
    """Python's own server of a folder: its port."""
    command = [
        sys.executable,
        "-u",
        "-m",
        "http.server",
        "0",
        "--bind",
        "127.0.0.1",
        "--directory",
        str(root),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline().split(" port ")[1].split()[0])
        finally:
            process.kill()


async def test_like_pythons_own(web: Client, root: Path) -> None:
    """Whoever changes over from `python -m http.server` gets the same files by the same paths."""
    (root / "sub ü").mkdir()
    (root / "sub ü" / "a+b%20.txt").write_bytes(b"found")
    (root / "sub ü" / "index.html").write_bytes(b"<p>index")
    paths = [
        "/sub%20%C3%BC/a+b%2520.txt",
        "/sub%20%C3%BC/",
        "/sub%20%C3%BC",
        "/1000.bin",
        "/nothing",
        "/1000.bin/",
    ]
    with plain_server(root) as port:
        async with aiohttp.ClientSession() as session:
            for path in paths:
                url = URL(f"http://127.0.0.1:{port}{path}", encoded=True)
                async with session.get(url) as theirs, web.get(URL(path, encoded=True)) as ours:
                    assert ours.status == theirs.status, path
                    if ours.status == 200:
                        assert await ours.read() == await theirs.read()
                        assert ours.url.raw_path == theirs.url.raw_path
                        assert ours.headers["Last-Modified"] == theirs.headers["Last-Modified"]
                        kind = theirs.headers["Content-Type"]
                        assert ours.headers["Content-Type"].partition(";")[0] == kind


def test_curl(start_server: ServerFactory, directory: Path, root: Path, tmp_path: Path) -> None:
    """curl gets a file whole, goes on where it was cut, and asks only once for what has not changed."""
    server = start_server(directory, "--web-root", str(root))
    size = SIZES[-1]
    os.utime(root / f"{size}.bin", (1e9, 1e9))
    url, to = f"{server.url}/{size}.bin", tmp_path / "got"

    def curl(*arguments: str) -> str:
        command = ["curl", "-sS", "-R", "-o", str(to), "-w", "%{http_code}", *arguments, url]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    to.write_bytes(content(size)[:1_000_000])
    assert curl("-C", "-") == "206"
    assert to.read_bytes() == content(size)
    assert to.stat().st_mtime == 1e9
    assert curl("-z", str(to)) == "304"
