"""Links in the web-root: those that stay inside lead somewhere, the others nowhere, also while swapped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hashserver_aio import Settings
from hashserver_aio.errors import CannotStart, NoSuchFile
from hashserver_aio.webroot import WebFile, WebPath, WebRoot
from hashserver_aio.webroot.kept import KeptBack
from hashserver_aio.webroot.walking import Walk

from .surroundings import INSIDE, OUTSIDE, root_amid_others


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A web-root with a file in each of two folders, and another file beside it."""
    return root_amid_others(tmp_path)


@contextlib.contextmanager
def opened(root: Path, where: Path | None = None) -> Iterator[WebRoot]:
    """Open a web-root beside an empty directory of buffers."""
    with contextlib.closing(WebRoot(where or root, Settings(directory=root.parent / "other"))) as web_root:
        yield web_root


async def read(web_root: WebRoot, path: str) -> bytes | None:
    """Read what a path leads to; None for nothing."""
    try:
        found = await web_root.find(WebPath(tuple(os.fsencode(name) for name in path.split("/")), False))
    except NoSuchFile:
        return None
    assert found is not None
    with found.file:
        return found.file.read()


LINKS = {
    "beside": ("l", "top", "l", INSIDE),
    "down": ("l", "sub/f", "l", INSIDE),
    "up and down": ("sub/l", "../sub/deep/../../top", "sub/l", INSIDE),
    "to a folder": ("l", "sub/deep", "l/f", INSIDE),
    "with slashes": ("l", ".//sub/./deep//", "l/f", INSIDE),
    "above": ("l", "../www-f", "l", None),
    "above from below": ("sub/deep/l", "../../../www-f", "sub/deep/l", None),
    "above and back": ("l", "../www/top", "l", None),
    "to a folder above": ("l", "../other", "l/f", None),
    "the parent": ("l", "..", "l/www-f", None),
    "the parent of a folder": ("sub/l", "../..", "sub/l/www-f", None),
    "absolute, outside": ("l", "{above}/other/f", "l", None),
    "absolute, to what is named alike": ("l", "{root}-f", "l", None),
    "absolute, to nothing, named alike": ("l", "{root}top", "l", None),
    "absolute, inside": ("sub/l", "{root}/top", "sub/l", INSIDE),
    "absolute, the root": ("l", "{root}", "l/sub/f", INSIDE),
    "absolute, inside and above": ("l", "{root}/../www-f", "l", None),
    "the root of all": ("l", "/", "l/etc/passwd", None),
    "to itself": ("l", "l", "l", None),
    "to nothing": ("l", "nothing", "l", None),
    "through a file": ("l", "top/../top", "l", None),
    "of the kernel": ("l", "/proc/self/root", "l/etc/passwd", None),
    "of the kernel, a file": ("l", "/proc/self/cmdline", "l", None),
}


@pytest.mark.parametrize("shape", LINKS)
async def test_links(root: Path, shape: str) -> None:
    """A link leads to what is inside, however it says so, and never to what is not."""
    at, target, path, expected = LINKS[shape]
    (root / at).symlink_to(target.format(root=root, above=root.parent))
    with opened(root) as web_root:
        assert await read(web_root, path) == expected
        (root / "again").symlink_to(at)  # nor by a link to the link
        assert await read(web_root, "again" + path.removeprefix(at)) == expected


async def test_root_is_a_link(root: Path) -> None:
    """A web-root that is a link itself is served, and serves what it leads to by then."""
    current = root.parent / "current"
    current.symlink_to("www")
    (root / "one").symlink_to(root / "top")
    (root / "two").symlink_to(current / "top")
    with opened(root, current) as web_root:
        assert [await read(web_root, name) for name in ("top", "one", "two")] == [INSIDE] * 3
        current.unlink()
        current.symlink_to("other")
        assert await read(web_root, "f") == OUTSIDE


async def test_too_many_links(root: Path) -> None:
    """A chain of links is followed as far as the kernel would, and folders that never end to no depth."""
    (root / "0").symlink_to("top")
    for number in range(1, 60):
        (root / str(number)).symlink_to(str(number - 1))
    (root / "loop").symlink_to(".")
    with opened(root) as web_root:
        assert await read(web_root, "39") == INSIDE
        assert await read(web_root, "40") is None
        assert await read(web_root, "loop/" * 10 + "top") == INSIDE
        assert await read(web_root, "loop/" * 100 + "top") is None


async def test_no_files(root: Path) -> None:
    """Pipes, sockets, devices and folders are no files; nobody waits for them."""
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket"))
    names = ["pipe", "socket"]
    with contextlib.suppress(PermissionError):
        os.mknod(root / "null", 0o666 | 0o020000, os.makedev(1, 3))
        names.append("null")
    with opened(root) as web_root:
        for name in names:
            assert await read(web_root, name) is None
        with pytest.raises(NoSuchFile):
            await web_root.open(WebPath((b"sub",), False))


async def test_nothing_left_open(root: Path) -> None:
    """Whatever came of it, no descriptor stays open behind an opening."""
    (root / "out").symlink_to("../www-f")
    (root / "pipe-link").symlink_to("sub/deep/nothing")
    with opened(root) as web_root:
        await read(web_root, "top")
        before = len(os.listdir("/proc/self/fd"))
        for path in ("sub/deep/f", "out", "pipe-link", "sub/nothing", "top/x", "sub/deep/../f"):
            await read(web_root, path)
        await web_root.listing(WebPath((b"sub",), True))
        assert len(os.listdir("/proc/self/fd")) == before


async def test_cancelled_opening(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is opened for somebody who has gone by then is closed again."""
    files = list[WebFile]()
    is_asked, may_go_on = threading.Event(), threading.Event()
    ordinary = WebRoot._find

    def slow(self: WebRoot, path: WebPath) -> WebFile | None:
        is_asked.set()
        may_go_on.wait(10)
        found = ordinary(self, path)
        assert found is not None
        files.append(found)
        return found

    monkeypatch.setattr(WebRoot, "_find", slow)
    with opened(root) as web_root:
        task = asyncio.create_task(web_root.open(WebPath((b"top",), False)))
        await asyncio.to_thread(is_asked.wait, 10)
        task.cancel()
        await asyncio.sleep(0.01)
        may_go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert [found.file.closed for found in files] == [True]


@pytest.mark.parametrize("instead", ["a link", "a pipe", "a folder", "our own"])
def test_swapped_before_it_is_opened(root: Path, instead: str) -> None:
    """What takes the place of a file between the look at it and its opening is not opened for it."""
    own = root.parent / "www-f"
    kept = KeptBack.now([], [own], dot_files=False)
    with Walk(os.fsencode(root), [os.fsencode(root)], kept) as walk:
        assert walk.go((b"sub", b"f")) is not None
        (root / "sub" / "f").unlink()
        if instead == "a link":
            (root / "sub" / "f").symlink_to("../../other/f")
        elif instead == "a pipe":
            os.mkfifo(root / "sub" / "f")
        elif instead == "a folder":
            (root / "sub" / "f").mkdir()
        else:
            os.link(own, root / "sub" / "f")
        with pytest.raises((OSError, NoSuchFile)):
            walk.open()


@pytest.mark.parametrize("problem", ["absent", "a file", "not readable", "our own"])
def test_cannot_start(root: Path, problem: str) -> None:
    """A web-root that can't be served is refused at the start, in a sentence."""
    where = {"absent": root / "nothing", "a file": root / "top"}.get(problem, root / ".hashserver-aio")
    if problem == "our own":
        where.mkdir()
    elif problem == "not readable":
        where = root / "sub"
        where.chmod(0)
        if os.access(where, os.R_OK):
            pytest.skip("this user reads everything")
    with pytest.raises(CannotStart, match="web-root"):
        WebRoot(where, Settings(directory=root))
