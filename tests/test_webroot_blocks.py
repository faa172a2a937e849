"""Manifests of files of the web-root, over HTTP: what a download is checked by as it arrives."""

from __future__ import annotations

import os
import random
from pathlib import Path
from urllib.parse import quote, urljoin

import pytest
from yarl import URL

from hashserver_aio import file_manifests, manifests
from hashserver_aio.server.webroot import validators

from .conftest import Client, ClientFactory
from .manifests import (
    BLOCK,
    FileTurns,
    blocks,
    file_blocks,
    file_manifest_of,
    file_status_of,
    json_of,
    name_of,
    status,
    status_of,
    stored,
)
from .trees import LEAF
from .wire import Wire, body_of, get

BODY = random.Random(7).randbytes(2 * BLOCK + 3 * LEAF + 5)

SIZES = {f"{n}b{by:+}": max(0, n * BLOCK + by) for n in (0, 1, 2) for by in (-1, 0, 1) if n or by >= 0}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A web-root with a folder."""
    root = tmp_path / "www"
    (root / "sub").mkdir(parents=True)
    return root


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take files for settled, though the test has just made them."""
    monkeypatch.setattr(validators, "SETTLED_S", -1e9)
    monkeypatch.setattr(file_manifests, "SETTLED_S", -1e9)


@pytest.fixture
async def web(start_client: ClientFactory, root: Path) -> Client:
    """A client of a server with the web-root."""
    return await start_client(web_root=root)


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> FileTurns:
    """Files are read when the test says so, and their reads are counted."""
    turns = FileTurns(monkeypatch)
    turns.go_on()
    return turns


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
async def test_manifest(web: Client, root: Path, size: int) -> None:
    """A file has the manifest, and for `rd` the SHA-1s, that a buffer of the same bytes has."""
    (root / "sub" / "big.bin").write_bytes(BODY[:size])
    assert await file_blocks(web, "sub/big.bin") == file_manifest_of("sub/big.bin", BODY[:size])
    assert await status(web, "sub/big.bin") == file_status_of("sub/big.bin", BODY[:size])


async def test_algorithm_and_block_size(start_client: ClientFactory, root: Path) -> None:
    """Digests are by the store's algorithm, of blocks of the size that the server was told."""
    (root / "f").write_bytes(BODY)
    client = await start_client(web_root=root, block_size=LEAF)
    assert await file_blocks(client, "f") == file_manifest_of("f", BODY, LEAF)
    assert await status(client, "f") == file_status_of("f", BODY, LEAF)


NAMES = [
    "a b",
    "grüße.txt",
    "\U0001f40d",
    "100%",
    "%2e%2e",
    "what?blocks",
    "a+b&c",
    "#",
    "blocks",
    "a:b",
    "x;y=z",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("folder", ["", "sub/", "blocks/"])
async def test_names_and_links(web: Client, root: Path, name: str, folder: str) -> None:
    """Whatever a file is called, a GET of it links to its manifest, and /rd/ knows it by the same path."""
    (root / folder).mkdir(exist_ok=True)
    (root / folder / name).write_bytes(name.encode())
    url = web.make_url("/").join(URL(quote(folder + name), encoded=True))
    for headers in ({}, {"Range": "bytes=0-0"}):
        async with web.session.get(url, headers=headers) as answer:
            (link,) = answer.links.getall("describedby")
            assert str(link["url"]) == urljoin(str(url), "?blocks")
    manifest = await json_of(await web.session.get(link["url"]))
    assert manifest.pop("etag") == answer.headers["ETag"]
    assert manifest == file_manifest_of(folder + name, name.encode())
    told = await json_of(await web.get(URL(f"/rd/{quote(folder + name)}", encoded=True)))
    assert told == file_status_of(folder + name, name.encode())


async def test_no_utf8(web: Client, root: Path) -> None:
    """A name that is no UTF-8 is shown as well as it can be; its file is the right one."""
    (root / os.fsdecode(b"\xe9\xff")).write_bytes(BODY)
    wire = await Wire.to(web)
    for target in ("%e9%ff?blocks", "rd/%E9%FF"):
        assert b'"path": "\\ufffd\\ufffd"' in body_of(await wire.ask(get(target)))
    wire.transport.abort()


async def test_index_and_folders(web: Client, root: Path) -> None:
    """The index of a folder has a manifest at the folder's path; a folder has none, nor what is not there."""
    for path in (
        "/sub/?blocks",
        "/sub?blocks",
        "/?blocks",
        "/nothing?blocks",
        "/sub/f/x?blocks",
        "/f/?blocks",
    ):
        async with web.get(path, allow_redirects=False) as answer:
            assert (answer.status, (await answer.json())["code"]) == (404, "NoSuchFile")
    for path in ("sub", "sub/", "nothing", "/", "sub//f", ""):
        answer = await json_of(await web.get(f"/rd/{path}"))
        assert (answer["ok"], answer.get("msg")) in [
            (False, f"getFileStatus on {path} failed"),
            (path == "", None),
        ]
    (root / "sub" / "index.html").write_bytes(b"index")
    assert await file_blocks(web, "sub/") == file_manifest_of("sub/index.html", b"index")
    assert not (await status(web, "sub/"))["ok"]


@pytest.mark.parametrize(
    "query", ["?blocks=", "?blocks=1", "?blocks&x", "?x&blocks", "?Blocks", "?", "?after=x"]
)
async def test_other_queries(web: Client, root: Path, query: str) -> None:
    """With any other query it is the file, as ever."""
    (root / "f").write_bytes(b"the file")
    wire = await Wire.to(web)
    assert body_of(await wire.ask(get(f"f{query}"))) == b"the file"
    wire.transport.abort()


async def test_buffers_and_ours_go_first(web: Client, root: Path) -> None:
    """What static hosting has as a buffer, or as a path of ours, is no file here either."""
    name = await stored(web, BODY)
    await blocks(web, name)
    for taken in (name, "ab" * 32, "has", "rd"):
        (root / taken).write_bytes(b"a file")
    assert await status(web, name) == status_of(BODY)
    assert (await status(web, name.upper()))["file_size"] == len(BODY)
    for path in ("ab" * 32, "AB" * 32, "has", "rd", "ha%73", f"{name}/x"):
        assert not (await json_of(await web.get(URL(f"/rd/{path}", encoded=True))))["ok"], path
    (root / "sub" / name).write_bytes(b"a file")
    await file_blocks(web, f"sub/{name}")
    assert await status(web, f"sub/{name}") == file_status_of(f"sub/{name}", b"a file")


async def test_bound_to_the_bytes(web: Client, root: Path) -> None:
    """The ETag in a manifest fetches the very bytes that it is of, and none once the file has changed."""
    (root / "f").write_bytes(BODY)
    manifest = await json_of(await web.get("/f?blocks"))
    headers = {"If-Match": manifest["etag"], "Range": "bytes=5-9"}
    async with web.get("/f", headers=headers) as answer:
        assert (answer.status, await answer.read()) == (206, BODY[5:10])
    (root / "f").write_bytes(BODY[::-1])
    async with web.get("/f", headers=headers) as answer:
        assert answer.status == 412
    assert (await json_of(await web.get("/f?blocks")))["etag"] != manifest["etag"]


async def test_cached(web: Client, root: Path) -> None:
    """A manifest need not be sent again to who has it; its ETag changes with the file."""
    (root / "f").write_bytes(BODY)
    answer = await web.get("/f?blocks")
    etag = answer.headers["ETag"]
    assert (answer.headers["Cache-Control"], answer.content_type) == ("no-cache", "application/json")
    assert (await web.get("/f?blocks", headers={"If-None-Match": etag})).status == 304
    assert (await web.get("/f?blocks", headers={"If-None-Match": '"x"'})).status == 200
    assert (await web.get("/f?blocks", headers={"If-Match": '"x"'})).status == 412
    async with web.head("/f?blocks") as head:
        assert (head.headers["ETag"], head.headers["Content-Length"]) == (etag, str(len(await answer.read())))
    async with web.get("/f") as file:
        assert file.headers["ETag"] != etag
    (root / "f").write_bytes(BODY[1:])
    assert (await web.get("/f?blocks", headers={"If-None-Match": etag})).status == 200


async def test_kept(start_client: ClientFactory, root: Path, turns: FileTurns) -> None:
    """What was computed is told without reading the file, also after a restart, and by any path to it."""
    (root / "f").write_bytes(BODY)
    os.link(root / "f", root / "hard")
    (root / "soft").symlink_to("sub/../f")
    (root / "loop").symlink_to(".")
    for client in (await start_client(web_root=root), await start_client(web_root=root)):
        for path in ("f", "hard", "soft", "loop/loop/f"):
            assert await file_blocks(client, path) == file_manifest_of(path, BODY)
            assert await status(client, path) == file_status_of(path, BODY)
    assert len(turns.reads) == 1


@pytest.mark.parametrize("is_writable", [True, False])
async def test_kept_in_memory(
    start_client: ClientFactory, root: Path, turns: FileTurns, is_writable: bool
) -> None:
    """Where nothing can be written it is kept as long as the server runs; a lost catalogue loses nothing."""
    (root / "f").write_bytes(BODY)
    client = await start_client(web_root=root, writable=is_writable, catalogue="memory:")
    for _ in range(3):
        assert await file_blocks(client, "f") == file_manifest_of("f", BODY)
    assert len(turns.reads) == 1


async def test_another_algorithm(
    start_client: ClientFactory, tmp_path: Path, root: Path, turns: FileTurns
) -> None:
    """A catalogue that was used with another algorithm before is no answer."""
    (root / "f").write_bytes(BODY)
    client = await start_client(web_root=root)
    await file_blocks(client, "f")
    other = tmp_path / "other"
    other.mkdir()
    settings = {"catalogue": f"sqlite:{tmp_path}/buffers/.hashserver-aio/catalogue.sqlite"}
    sha256 = await start_client(web_root=root, directory=other, algorithm="sha-256", **settings)
    assert (await file_blocks(sha256, "f"))["algorithm"] == "sha-256"
    assert len(turns.reads) == 2


async def test_too_many_blocks(web: Client, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of more blocks than may be told has no manifest, but can be had all the same."""
    monkeypatch.setattr(manifests, "MAX_BLOCKS", 2)
    (root / "f").write_bytes(BODY)
    answer = await web.get("/f?blocks")
    assert answer.status == 413 and "--block-size" in await answer.text()
    assert "--block-size" in (await status(web, "f"))["msg"]
    assert (await web.get("/f")).status == 200


async def test_without_web_root(client: Client) -> None:
    """Without a web-root all there is are buffers."""
    for path in ("f", "sub/f", name_of(b"absent")):
        answer = await status(client, path)
        assert (answer["ok"], answer["msg"]) == (False, f"getFileStatus on {path} failed")
