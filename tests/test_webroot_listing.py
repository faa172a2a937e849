"""Folders of the web-root: their index, their slash, and what is listed of them."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes, urljoin

import pytest
from yarl import URL

from hashserver_aio import Settings
from hashserver_aio.errors import Busy
from hashserver_aio.webroot import WebPath, WebRoot, listing, opening
from hashserver_aio.webroot.listing import Listing

from .conftest import Client, ClientFactory
from .pages import Page
from .wire import Wire, body_of, get, status_of

JSON = {"Accept": "application/json"}

EVIL = (
    *(b"<script>alert(1)<!--", b'"><img src=x onerror=alert(1)>', b"'onload='x", b"&lt;b&gt;"),
    *(
        b"javascript:alert(1)",
        b"data:text,x",
        b"%3Cb%3E",
        b"a?b#c",
        b"\xff\xfe<b>",
        b"a\nb",
        b"{x}",
        b"\\\\h",
    ),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A web-root with a folder."""
    root = tmp_path / "www"
    (root / "sub").mkdir(parents=True)
    return root


@pytest.fixture
async def web(start_client: ClientFactory, root: Path) -> Client:
    """A client of a server with the web-root."""
    return await start_client(web_root=root)


async def page(client: Client, path: str) -> Page:
    """Get a page as a browser does."""
    async with client.get(URL(path, encoded=True), headers={"Accept": "text/html,*/*;q=0.8"}) as answer:
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert "script-src" not in (policy := answer.headers["Content-Security-Policy"])
        assert policy.startswith("default-src 'none'")
        return Page(await answer.text())


async def told(client: Client, path: str) -> dict[str, Any]:
    """Get a listing as JSON."""
    async with client.get(URL(path, encoded=True), headers=JSON) as answer:
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json; charset=utf-8")
        assert answer.headers["Vary"] == "Accept"
        listed: dict[str, Any] = await answer.json()
        return listed


async def test_page(web: Client, root: Path) -> None:
    """A person sees names in order, sizes and times, and gets into folders and back."""
    for name, size in (("b", 3), ("a", 1_234_567), ("ü", 0)):
        (root / "sub" / name).write_bytes(b"x" * size)
    (root / "sub" / "c").mkdir()
    for entry in (root / "sub").iterdir():
        os.utime(entry, (1e9, 1e9))
    seen = await page(web, "/sub/")
    when = "2001-09-09 01:46:40"
    rows = [["../", "", ""], ["a", "1234567", when], ["b", "3", when], ["c/", "", when], ["ü", "0", when]]
    assert [[cell.strip() for cell in row] for row in seen.rows if row] == rows
    assert list(seen.links) == ["../", "a", "b", "c/", "%C3%BC"]
    assert "../" not in (await page(web, "/")).links
    for href in seen.links:
        async with web.get(URL(urljoin("/sub/", href), encoded=True)) as answer:
            assert answer.status == 200


async def test_json(web: Client, root: Path) -> None:
    """A program gets the same as JSON, if it asks for that."""
    (root / "sub" / "a b").write_bytes(b"x")
    os.utime(root / "sub" / "a b", (1e9, 1e9))
    (root / "sub" / "c").mkdir()
    os.utime(root / "sub" / "c", (1e9, 1e9))
    assert await told(web, "/sub/") == {
        "entries": [
            {"name": "a b", "type": "file", "size": 1, "mtime": 10**9, "href": "a%20b"},
            {"name": "c", "type": "folder", "size": None, "mtime": 10**9, "href": "c/"},
        ],
        "next": None,
    }
    assert [entry["name"] for entry in (await told(web, "/"))["entries"]] == ["sub"]
    async with web.head("/sub/", headers=JSON) as head:
        assert (head.status, await head.read()) == (200, b"")
        assert int(head.headers["Content-Length"]) > 100


async def test_evil_names(web: Client, root: Path) -> None:
    """A name is only ever a name: it adds no tag and no attribute, and its link leads to its file."""
    for name in EVIL:
        (root / "sub" / os.fsdecode(name)).write_bytes(b"found " + name)
        (root / os.fsdecode(b"d" + name)).mkdir()
    plain, seen = await page(web, "/"), await page(web, "/sub/")
    tags = {"html", "head", "meta", "title", "style", "body", "h1", "table", "tr", "th", "td", "a"}
    assert seen.tags | plain.tags == tags
    assert seen.attributes | plain.attributes == {"lang", "charset", "name", "content", "class", "href"}
    assert len(seen.links) == len(EVIL) + 1
    for entry in (await told(web, "/sub/"))["entries"]:
        assert entry["href"] in seen.links
        assert seen.links[entry["href"]] == entry["name"]
    for name in EVIL:
        href = urljoin("http://h/sub/", quote_from_bytes(name))
        assert quote_from_bytes(name) in seen.links
        async with web.get(URL(href.removeprefix("http://h"), encoded=True)) as answer:
            assert await answer.read() == b"found " + name
        inside = await page(web, "/d" + quote_from_bytes(name) + "/")
        assert inside.tags <= tags


async def test_links_are_listed_as_what_they_lead_to(web: Client, root: Path) -> None:
    """What is listed can be had: links that lead outside, or nowhere, and what is no file, are left out."""
    (root / "file").write_bytes(b"four")
    for name, target in {
        "to-file": "../file",
        "to-folder": "..",
        "out": "../../buffers",
        "nowhere": "nothing",
        "round": "round",
    }.items():
        (root / "sub" / name).symlink_to(target)
    os.mkfifo(root / "sub" / "pipe")
    (root / "sub" / ".hid").write_bytes(b"")
    entries = (await told(web, "/sub/"))["entries"]
    shown = [(entry["name"], entry["type"], entry["size"]) for entry in entries]
    assert shown == [("to-file", "file", 4), ("to-folder", "folder", None)]


async def test_index(web: Client, root: Path) -> None:
    """The index of a folder stands for it, whatever is accepted; one that leads outside is none."""
    (root / "sub" / "index.html").write_bytes(b"<p>index")
    for headers in ({}, JSON):
        async with web.get("/sub/", headers=headers) as answer:
            assert await answer.read() == b"<p>index"
            assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    (root / "index.html").symlink_to("sub/index.html")
    async with web.get("/") as answer:
        assert await answer.read() == b"<p>index"
    for other in ("out", "folder"):
        (root / "sub" / "index.html").unlink()
        if other == "out":
            (root / "sub" / "index.html").symlink_to("../../buffers")
        else:
            (root / "sub" / "index.html").mkdir()
        assert ("index.html/" in (await page(web, "/sub/")).links) == (other == "folder")


@pytest.mark.parametrize(
    "name", ["a", "a b", "ü", "x:y", "evil.example", "\\evil.example", "@evil.example", "?", "%2f"]
)
async def test_to_the_slash(web: Client, root: Path, name: str) -> None:
    """Who asks for a folder without its slash is sent to it and to no other server, whatever its name."""
    (root / name).mkdir()
    path = "/" + quote_from_bytes(os.fsencode(name))
    async with web.get(URL(path, encoded=True), allow_redirects=False) as answer:
        assert answer.status == 302
        assert urljoin(f"http://h{path}", answer.headers["Location"]) == f"http://h{path}/"
    async with web.get(URL(path, encoded=True)) as answer:
        assert (answer.status, answer.url.path) == (200, URL(path + "/", encoded=True).path)


@pytest.mark.parametrize(
    "path", ["/evil.example", "/evil.example/", "\\evil.example/", "/%2fevil.example", "//sub"]
)
async def test_no_open_redirect(web: Client, path: str) -> None:
    """A path that a browser would take for another server's is no folder's."""
    wire = await Wire.to(web)
    answer = await wire.ask(get(path))
    assert status_of(answer) == 404 and b"Location" not in answer
    wire.transport.abort()


async def test_pages(start_client: ClientFactory, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many names there are, following `next` shows each once, in order."""
    monkeypatch.setattr(listing, "PAGE", 7)
    client = await start_client(web_root=root)
    names = sorted(os.fsdecode(name) for name in (*(b"%d&=+\xff" % n for n in range(30)), *EVIL))
    for name in names:
        (root / "sub" / name).write_bytes(b"")
    hrefs, where = list[str](), "/sub/"
    while where:
        listed = await told(client, where)
        assert 0 < len(listed["entries"]) <= 7
        seen = await page(client, where)
        assert [entry["href"] for entry in listed["entries"]] == list(seen.links)[1:8]
        hrefs += [entry["href"] for entry in listed["entries"]]
        where = listed["next"] and urljoin(where, listed["next"])
        assert (where is None) or urljoin("/sub/", list(seen.links)[-1]) == where
    assert hrefs == [quote_from_bytes(name) for name in sorted(map(os.fsencode, names))]


@pytest.mark.slow
async def test_huge_folder(start_client: ClientFactory, root: Path) -> None:
    """A folder of 200,000 names holds up nobody, and takes no more memory than a page does."""
    count = 200_000
    for number in range(count):
        os.close(os.open(root / "sub" / f"{number:07}", os.O_CREAT | os.O_WRONLY))
    client = await start_client(web_root=root)
    answers, is_over = 0, False

    async def others() -> None:
        nonlocal answers
        while not is_over:
            async with client.get("/healthcheck") as answer:
                assert answer.status == 200
            answers += not is_over

    waiting = asyncio.create_task(others())
    async with client.get("/sub/", headers=JSON) as answer:
        text = await answer.read()
    is_over = True
    await waiting
    listed = json.loads(text)
    assert [entry["name"] for entry in listed["entries"]] == [f"{n:07}" for n in range(listing.PAGE)]
    assert listed["next"] == f"?after={listing.PAGE - 1:07}"
    assert len(text) < 2_000_000
    assert answers > 5


async def test_listings_are_bounded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for listings beyond what can wait is told to come back, and files are opened meanwhile."""
    monkeypatch.setattr(opening, "LISTINGS_WAITING", 2)
    (root / "file").write_bytes(b"x")
    web_root = WebRoot(root, Settings(directory=root.parent))
    path, released, ordinary = WebPath((b"sub",), True), threading.Event(), web_root._list

    def held_up(path: WebPath, after: bytes) -> Listing:
        released.wait(10)
        return ordinary(path, after)

    monkeypatch.setattr(web_root, "_list", held_up)
    waiting = [asyncio.create_task(web_root.listing(path)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await web_root.listing(path)
    (await web_root.open(WebPath((b"file",), False))).file.close()
    released.set()
    await asyncio.gather(*waiting)
    await web_root.listing(path)
    web_root.close()


async def test_no_listing(web: Client, root: Path) -> None:
    """There is no listing of a file, nor of what there is not."""
    (root / "file").write_bytes(b"x")
    wire = await Wire.to(web)
    for path in ("file/", "nothing/", "sub/nothing/"):
        answer = await wire.ask(get(path, "Accept: application/json"))
        assert status_of(answer) == 404 and b"entries" not in body_of(answer)
    wire.transport.abort()
