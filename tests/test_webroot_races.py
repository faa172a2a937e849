"""Links and folders of the web-root that are swapped while it is served: never a byte from outside."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hashserver_aio import file_manifests

from .conftest import ClientFactory
from .surroundings import INSIDE, OUTSIDE, root_amid_others
from .wire import Wire, body_of, get, status_of

OUTSIDE_DIGESTS = [
    getattr(hashlib, name)(OUTSIDE).hexdigest().encode() for name in ("sha1", "sha3_256", "sha256")
]

SWAPS = 20_000
"""So often at least is something swapped while requests are made."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A web-root with a file in each of two folders, and another file beside it."""
    return root_amid_others(tmp_path)


def swap_link(root: Path) -> Callable[[], None]:
    """A link `l` that leads inside and outside by turns."""
    targets = ("top", "../www-f", "sub/f", str(root.parent / "www-f"))
    turn = 0

    def swap() -> None:
        nonlocal turn
        os.symlink(targets[turn % 4], root / ".new")
        os.rename(root / ".new", root / "l")
        turn += 1

    return swap


def swap_folder(root: Path) -> Callable[[], None]:
    """A folder `sub` in whose place is a link outside every other time."""
    return _swap_with_link(root, "sub", root.parent / "other")


def swap_file(root: Path) -> Callable[[], None]:
    """A file `top` in whose place is a link outside every other time."""
    return _swap_with_link(root, "top", root.parent / "www-f")


def _swap_with_link(root: Path, name: str, outside: Path) -> Callable[[], None]:
    os.symlink(outside, root / ".link")

    def swap() -> None:
        os.rename(root / name, root / ".kept")
        os.rename(root / ".link", root / name)
        os.rename(root / name, root / ".link")
        os.rename(root / ".kept", root / name)

    return swap


def swap_parent(root: Path) -> Callable[[], None]:
    """A folder that moves up and down, with a link in it that goes up by two names: outside, from above."""
    os.symlink("../../www-f", root / "sub" / "deep" / "l")

    def swap() -> None:
        os.rename(root / "sub" / "deep", root / "deep")
        os.rename(root / "deep", root / "sub" / "deep")

    return swap


RACES = {"l": swap_link, "sub/f": swap_folder, "top": swap_file, "sub/deep/l": swap_parent}


@contextlib.contextmanager
def swapping(swap: Callable[[], None]) -> Iterator[Callable[[], int]]:
    """Swap in a thread all the time: how often that was."""
    count, is_over, failures = 0, False, list[BaseException]()

    def run() -> None:
        nonlocal count
        try:
            while not is_over:
                swap()
                count += 1
        except BaseException as error:
            failures.append(error)
            raise

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield lambda: -1 if failures else count
    finally:
        is_over = True
        thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("path", RACES)
async def test_swapped_while_served(
    start_client: ClientFactory, root: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never a byte from outside, nor a digest of one, however often a link is swapped between two looks."""
    monkeypatch.setattr(file_manifests, "SETTLED_S", -1e9)  # or who asks waits a second
    swap = RACES[path](root)
    swap()
    client = await start_client(directory=root.parent / "other", web_root=root, writable=False)
    wire = await Wire.to(client)
    seen: dict[int, int] = {}
    with swapping(swap) as swaps:
        while 0 <= swaps() < SWAPS:
            answer = await wire.ask(get(path))
            seen[status_of(answer)] = seen.get(status_of(answer), 0) + 1
            assert OUTSIDE not in answer
            assert status_of(answer) == 404 or body_of(answer) == INSIDE
            for target in (f"rd/{path}", f"{path}?blocks"):
                told = await wire.ask(get(target))
                assert not any(digest in told for digest in OUTSIDE_DIGESTS)
        assert swaps() >= SWAPS
    wire.transport.abort()
    assert sum(seen.values()) > 50
    if path != "sub/deep/l":  # which leads outside, whenever it is there
        assert seen.keys() == {200, 404}
