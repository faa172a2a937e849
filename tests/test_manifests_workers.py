"""What blocks hash to, of a server of several workers."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import random
from typing import Any

import aiohttp

from .crews import Crew
from .manifests import manifest_of
from .scrapes import numbers_in, without_prefix

BODY = random.Random(5).randbytes(48 * 2**20 + 1)
NAME = hashlib.sha3_256(BODY).hexdigest()
PATH = f"/{NAME}/blocks"


async def test_computed_once(crew: Crew) -> None:
    """Both workers are asked, and then a thousand times: it is computed once, and all are told the same."""
    url, connector = f"http://127.0.0.1:{crew.port}", aiohttp.TCPConnector(limit=200)
    pinned = [await asyncio.to_thread(crew.connect, worker) for worker in crew.workers]
    async with aiohttp.ClientSession(url, connector=connector) as session:
        async with session.put(f"/{NAME}", data=io.BytesIO(BODY)) as answer:
            assert answer.status == 200

        async def asked() -> Any:
            async with session.get(PATH) as answer:
                assert answer.status == 200
                return await answer.json()

        for connection in pinned:
            connection.request("GET", PATH)
        found = await asyncio.gather(*(asked() for _ in range(1000)))
        for connection in pinned:
            found.append(json.loads(connection.getresponse().read()))
        async with session.get("/metrics") as answer:
            numbers = without_prefix(numbers_in(await answer.text()))
    assert found == [manifest_of(BODY)] * 1002
    assert numbers["hashed_bytes_total", "sha1"] == len(BODY)
