"""`hashserver-aio get`: many files, URLs, mirrors, and a process that is killed and started again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from .clients import LONG, files_in, name, sha256
from .servers import COMMAND, environment
from .shelves import BLOCK, Shelf, serving
from .test_download import content
from .test_tools import Tool

NAME = name(LONG * 4)
BODY = LONG * 4
COUNT = -(-len(BODY) // BLOCK)


async def test_killed(tmp_path: Path) -> None:
    """Killed without a warning, the same command goes on with what is missing."""
    going, is_half = asyncio.Event(), asyncio.Event()
    shelf = Shelf(BODY, hold=going)
    going.set()

    def stops(number: int, block: bytes) -> bytes:
        if number > COUNT // 2 and not is_half.is_set():
            going.clear()
            is_half.set()
        return block

    shelf.spoil = stops
    async with serving(shelf):
        command = [*COMMAND, "get", NAME, "--url", shelf.url, "-o", str(tmp_path / "file")]
        process = await asyncio.create_subprocess_exec(*command, env=environment())
        try:
            await asyncio.wait_for(is_half.wait(), 60)
            await asyncio.sleep(0.2)
        finally:
            process.kill()
            await process.wait()
        assert files_in(tmp_path) == ["file.part", "file.part.state"]
        there = len(content(tmp_path / "file.part.state").splitlines()) - 1
        assert there > COUNT // 8
        going.set()
        shelf.ranges.clear()
        done = await asyncio.to_thread(Tool(shelf.url), "get", NAME, "-o", str(tmp_path / "file"))
    assert done.stdout == f"{NAME}  {tmp_path}/file\n"
    assert content(tmp_path / "file") == BODY and files_in(tmp_path) == ["file"]
    assert shelf.sent < len(BODY) - there * BLOCK + 2 * 2**20


async def test_many(tmp_path: Path) -> None:
    """Each of many files is a line; one that fails is told of, and the others come."""
    shelf, mirror = Shelf(LONG), Shelf(LONG)
    async with serving(shelf, mirror):
        tool, out = Tool(shelf.url), str(tmp_path)
        urls = [f"{shelf.url}/{number}.bin#sha256={sha256(LONG)}" for number in range(10)]
        urls.append(f"{shelf.url}/wrong#sha256={'0' * 64}")
        urls.append("http://127.0.0.1:1/unreachable")
        found = await asyncio.to_thread(
            tool.records, "get", *urls, "-o", out, "--workers", "3", "--mirror", mirror.url, code=1
        )
        failed = {each["name"]: each["error"] for each in found if "error" in each}
        assert failed.keys() == set(urls[-2:]) and "does not hash" in failed[urls[-2]]
        assert {each["path"] for each in found if "path" in each} == {f"{out}/{n}.bin" for n in range(10)}
        assert mirror.sent and shelf.sent
    assert files_in(tmp_path) == [f"{number}.bin" for number in range(10)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["http://host/a", "-o", "-"], "-o FILE"),
        (["http://host/a", "http://host/b", "-o", "/dev/null"], "is no folder"),
        (["http://host/a", "http://other/a", "-o", "."], "would be the same file"),
        (["12ab.."], "neither a checksum"),
        (["http://host/a#sha256=12"], "is no sha-256"),
        (["http://host/a", "--workers", "0"], "--workers"),
        (["http://host/a", "--mirror", "elsewhere"], "http://"),
    ],
)
def test_wrong_usage(arguments: list[str], said: str) -> None:
    """What makes no sense is told before anybody is asked."""
    shown = Tool("http://127.0.0.1:1")("get", *arguments, code=2)
    assert said in shown.stderr
