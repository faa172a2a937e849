"""Nodes that cheat: `python -m tests.cheat KIND node --dir ...`, which is a node but for one thing."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, web

from hashserver_aio.blocks import LEAF_BYTES, Proof, leaf_hash
from hashserver_aio.blocks.merkle import levels_of, path_in
from hashserver_aio.catalogue import Catalogue
from hashserver_aio.checksums import new_hash
from hashserver_aio.cli import main
from hashserver_aio.manifests import Manifests
from hashserver_aio.nodes.audits import packed
from hashserver_aio.server.holding import calls, leaves, life
from hashserver_aio.server.keys import BUFFERS, MANIFESTS, SETTINGS
from hashserver_aio.settings import Settings

LATE_S = 60.0

Handler = Callable[[web.Request], Coroutine[Any, Any, web.Response]]


async def others(request: web.Request) -> web.Response:
    """Answer a challenge with leaves of another buffer, which the node does have."""
    checksum, numbers = calls.name_in(request), leaves._numbers(request)
    held = request.app[BUFFERS].catalogue.feed(1).held
    other = max((each for each in held if each.checksum != checksum), key=lambda each: each.size)
    manifests = request.app[MANIFESTS]
    count = max(1, (await manifests.get(other.checksum)).leaf_count)
    found = [(await manifests.prove(other.checksum, number % count))[1] for number in numbers]
    return _answer(
        [Proof(number, proof.leaf, proof.path) for number, proof in zip(numbers, found, strict=True)]
    )


async def late(request: web.Request) -> web.Response:
    """Answer rightly, long after the deadline."""
    await asyncio.sleep(LATE_S)
    return await _honest(request)


_said: dict[str, web.Response] = {}


async def replays(request: web.Request) -> web.Response:
    """Answer every challenge of a buffer with what was right for the first one."""
    checksum = calls.name_in(request)
    if checksum not in _said:
        _said[checksum] = await _honest(request)
    return web.Response(body=_said[checksum].body)


async def helped(request: web.Request) -> web.Response:
    """Keep nothing, and answer with what another node has, whose operator is in league."""
    checksum, partner = calls.name_in(request), Path(os.environ["CHEAT_PARTNER"])
    (request.app[SETTINGS].directory / checksum[:2] / checksum).unlink(missing_ok=True)
    content = (partner / checksum[:2] / checksum).read_bytes()
    parts = [content[at : at + LEAF_BYTES] for at in range(0, len(content), LEAF_BYTES)]
    new = new_hash(request.app[BUFFERS].store.format.algorithm)
    levels = levels_of(new, b"".join(leaf_hash(new, part) for part in parts))
    numbers = leaves._numbers(request)
    return _answer([Proof(number, parts[number], path_in(levels, number)) for number in numbers])


async def alone(request: web.Request) -> web.Response:
    """Pass the challenge on to another node, as it is signed, and answer what that one does."""
    async with (
        ClientSession() as session,
        session.get(os.environ["CHEAT_PARTNER"] + request.raw_path, headers=request.headers) as answer,
    ):
        return web.Response(status=answer.status, body=await answer.read())


async def boasts(settings: Settings, catalogue: Catalogue) -> int:
    """Tell the server of a terabyte that is not there."""
    return 2**40


async def _honest(request: web.Request) -> web.Response:
    numbers, manifests = leaves._numbers(request), request.app[MANIFESTS]
    return _answer([(await Manifests.prove(manifests, calls.name_in(request), each))[1] for each in numbers])


def _answer(proofs: list[Proof]) -> web.Response:
    return web.Response(body=packed(proofs))


CHEATS: dict[str, Handler] = {
    "others": others,
    "late": late,
    "replays": replays,
    "helped": helped,
    "alone": alone,
}


if __name__ == "__main__":
    kind = sys.argv.pop(1)
    if kind == "boasts":
        life._capacity = boasts
    else:
        leaves.proofs = CHEATS[kind]  # type: ignore[assignment]  # of a node that does not cheat
    main()
