"""The key that nodes know a server by."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from hashserver_aio.catalogue.nodes import Announcement
from hashserver_aio.server.keys import NODES
from hashserver_aio.settings import NodeRules

from .conftest import ClientFactory


async def test_another_key(
    start_client: ClientFactory, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that comes back with another key says so, where nodes know it by the old one, and only
    then.
    """
    key = directory / ".hashserver-aio" / "server-key.pem"
    first = await start_client(nodes=NodeRules())
    await first.close()
    await asyncio.to_thread(key.unlink)
    second = await start_client(nodes=NodeRules())
    assert second.app is not None
    await second.app[NODES].register(Announcement(b"k" * 32, "http://h:1", "", 1, 1, 1))
    old = (await (await second.get("/api/nodes/server")).json())["key"]
    await second.close()
    await (await start_client(nodes=NodeRules())).close()
    assert "key" not in caplog.text
    await asyncio.to_thread(key.unlink)
    await (await start_client(nodes=NodeRules())).close()
    assert f"; 1 nodes know it by the old one, {old}" in caplog.text
