"""What tests of the axon face share: its paths, and how its answers are read."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from aiohttp import ClientResponse

from .conftest import Client

API = "/api/v1/axon"
ABSENT = "ab" * 32


def sha256(body: bytes) -> str:
    """Name a buffer as the axon does."""
    return hashlib.sha256(body).hexdigest()


def by(body: bytes) -> str:
    """Say where the axon has a buffer."""
    return f"{API}/files/by/sha256/{sha256(body)}"


def hashset(body: bytes) -> dict[str, object]:
    """Name a buffer in every way."""
    names = ("md5", "sha1", "sha256", "sha512")
    return {name: hashlib.new(name, body).hexdigest() for name in names} | {"size": len(body)}


async def result(answer: ClientResponse) -> Any:
    """Take the result of an answer that must be good."""
    envelope = await answer.json()
    assert (answer.status, envelope["status"]) == (200, "ok"), envelope
    return envelope["result"]


async def refusal(answer: ClientResponse) -> tuple[int, str, str]:
    """Take status, code and message of an answer that must be an error."""
    envelope = await answer.json()
    assert envelope.keys() == {"status", "code", "mesg"} and envelope["status"] == "err"
    return answer.status, envelope["code"], envelope["mesg"]


async def put(client: Client, body: bytes) -> Any:
    """Store a buffer: all its names."""
    return await result(await client.put(f"{API}/files/put", data=body))


async def lines(client: Client, path: str, **query: Any) -> list[tuple[str, Any]]:
    """Read a stream to its end: the kind and the value of each line."""
    params = {name.replace("_", "-"): str(value) for name, value in query.items()}
    async with client.get(f"{API}/{path}", params=params) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.headers["Content-Type"] == "application/x-ndjson"
        records = [json.loads(line) for line in (await answer.read()).splitlines()]
    return [next(iter(record.items())) for record in records]


async def items(client: Client, path: str, **query: Any) -> list[Any]:
    """Read the items of a stream that must come to a good end."""
    found = await lines(client, path, **query)
    assert found[-1][0] == "end"
    return [value for kind, value in found if kind == "item"]
