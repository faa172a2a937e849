"""The examples in the documents do what they say."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import textwrap
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from .conftest import ServerFactory
from .peers import lay
from .trees import LEAF, leaves_of, mth

BODY = random.Random(4).randbytes(11 * LEAF + 7)
NAME = hashlib.sha3_256(BODY).hexdigest()
DOCUMENT = Path(__file__).parents[1] / "docs" / "reliable-download.rst"


@pytest.fixture
def examples() -> dict[str, Any]:
    """What the Python in the document defines."""
    defined: dict[str, Any] = {}
    _, *blocks = DOCUMENT.read_text().split(".. code-block:: python\n\n")
    assert len(blocks) == 2
    for block in blocks:
        lines = block.splitlines()
        end = next(n for n, line in enumerate(lines) if line and not line.startswith(" "))
        exec(textwrap.dedent("\n".join(lines[:end])), defined)
    return defined


def collected(examples: dict[str, Any], *given: Any) -> bytes:
    """Download by the example."""
    return b"".join(examples["checked_blocks"](*given))


async def test_blocks(start_server: ServerFactory, tmp_path: Path, examples: dict[str, Any]) -> None:
    """Blocks are taken from whichever mirror has them right: one is absent, one has nothing, one lies."""
    folders = [tmp_path / kind for kind in ("good", "empty", "other")]
    for folder in folders:
        folder.mkdir()
    lay(folders[0], BODY)
    good, empty = (start_server(folder, "--block-size", "128K").url for folder in folders[:2])
    other = BODY[: 4 * LEAF] + b"x" * LEAF + BODY[5 * LEAF :]
    liar, port = await _lying(other)
    try:
        mirrors = ["http://127.0.0.1:1", empty, f"http://127.0.0.1:{port}"]
        assert await asyncio.to_thread(collected, examples, good, [*mirrors, good], NAME) == BODY
        with pytest.raises(OSError, match="no mirror has block 2 right"):
            await asyncio.to_thread(collected, examples, good, mirrors, NAME)
    finally:
        await liar.cleanup()


async def _lying(body: bytes) -> tuple[Any, int]:
    """Serve something else under any name."""
    from aiohttp import web

    async def lie(request: web.Request) -> web.Response:
        return web.Response(body=body[request.http_range], status=206)

    app = web.Application()
    app.router.add_get("/{name}", lie)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port: int = runner.addresses[0][1]
    return runner, port


async def test_proofs(start_server: ServerFactory, directory: Path, examples: dict[str, Any]) -> None:
    """Leaves are taken if they lead to the root, and not if anything about them is wrong."""
    lay(directory, BODY)
    url, root = start_server(directory).url, mth(leaves_of(BODY)).hex()
    for index, leaf in enumerate(leaves_of(BODY)):
        proof = await asyncio.to_thread(_proof, url, index)
        assert examples["checked_leaf"](proof, root) == leaf
        wrong = {"leaf": "AAAA", "leaf_index": index ^ 1, "path": proof["path"][1:]}
        for key, value in wrong.items():
            with pytest.raises(ValueError, match="no leaf"):
                examples["checked_leaf"](proof | {key: value}, root)


def _proof(url: str, index: int) -> Any:
    with urlopen(f"{url}/{NAME}/proof?leaf={index}") as answer:
        return json.load(answer)
