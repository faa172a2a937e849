"""A registry whose clock stands, and what is asked of it."""

from __future__ import annotations

from typing import Any

from yarl import URL

from hashserver_aio.farmers import Registry
from hashserver_aio.server.keys import REGISTRY
from hashserver_aio.settings import FarmerRules

from .conftest import Client, ClientFactory
from .farmer_keys import NodeKey

NOW_S = 1_795_309_200.0
ONE, OTHER = NodeKey(1), NodeKey(2)
HTML = "text/html; charset=utf-8"


async def still(start_client: ClientFactory, **settings: Any) -> Client:
    """Start a server with a registry whose clock stands: a client of it."""
    client = await start_client(**{"farmers": FarmerRules()} | settings)
    registry_of(client).clock = lambda: NOW_S
    return client


def registry_of(client: Client) -> Registry:
    """Get hold of the registry behind a client."""
    assert client.app is not None
    return client.app[REGISTRY]


async def ask(client: Client, path: str, key: NodeKey | None = None, **headers: str) -> tuple[int, str]:
    """Ask, signed or not: status and text."""
    signed = key.headers(registry_of(client).clock()) if key is not None else {}
    async with client.get(URL(path, encoded=True), headers=signed | headers) as answer:
        assert answer.headers["Cache-Control"] == "no-store"
        text = await answer.text()
        if not path.startswith(("/api/online/json", "/api/total", "/api/address")):
            assert answer.headers["Content-Type"] == HTML
        return answer.status, text
