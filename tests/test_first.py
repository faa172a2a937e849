"""Put, then get."""

from __future__ import annotations

import hashlib
import io

import pytest

from .conftest import Client


@pytest.mark.parametrize("body", [b"", b"x", b"x" * 65_536, b"x" * 65_537, b"y" * 3_000_001])
async def test_put_then_get(client: Client, body: bytes) -> None:
    """A buffer comes back as it went in, whole and in part."""
    path = "/" + hashlib.sha3_256(body).hexdigest()
    assert (await client.get(path)).status == 404
    assert (await client.put(path, data=io.BytesIO(body))).status == 200
    assert (await client.put(path, data=io.BytesIO(body))).status == 201
    assert await (await client.get(path)).read() == body
    part = await client.get(path, headers={"Range": "bytes=0-0"})
    assert (part.status, await part.read()) == ((206, body[:1]) if body else (416, b""))
