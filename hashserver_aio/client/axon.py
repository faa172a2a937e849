"""What the Axon's API asks of its server, one function a question."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from secrets import token_hex
from typing import Any

from ..checksums import Checksum, parse_checksum
from ..errors import BadAnswer, BadChecksum
from .names import as_json
from .records import Query, items, records
from .retries import Again
from .sending import AXON, multipart
from .transport import Transport

FETCH_S = 24 * 3600.0
"""The server may fetch for so long without a word, unless it is told to be faster."""

GRACE_S = 60.0

Item = tuple[int, tuple[Checksum, int]]
"""A number, a SHA-256 and a size, as the Axon nests them."""


async def get_result(transport: Transport, what: str, query: Query | None = None) -> Any:
    """Ask a question that is answered at once."""
    return (await transport.call("GET", f"{AXON}/{what}", params=query)).result()


async def size(transport: Transport, sha256: Checksum) -> int | None:
    """Tell how long a buffer is; None if it is not held."""
    found = await get_result(transport, f"size/{sha256}")
    return None if found is None else int(found)


async def history(transport: Transport, tick: int, tock: int | None) -> AsyncGenerator[Item, None]:
    """Yield what came in a time. After a cut nobody can tell where to go on, so that is an error then."""
    query = {"tick": str(tick)} | ({} if tock is None else {"tock": str(tock)})
    patience, has_begun = transport.patience(), False
    while True:
        try:
            async with aclosing(records(transport, f"{AXON}/history", query)) as found:
                async for kind, value in found:
                    if kind == "item":
                        has_begun = True
                        yield _item(value)
            return
        except Again as again:
            if has_begun:
                raise again.error from None
            await patience.wait(again)


async def read(transport: Transport, what: str, sha256: Checksum, **query: Any) -> AsyncGenerator[Any, None]:
    """Yield what a reader finds inside a buffer."""
    texts = {name: _text(value) for name, value in query.items() if value is not None}
    async with aclosing(items(transport, f"{AXON}/{what}/{sha256}", texts)) as found:
        async for item in found:
            yield item


async def put_all(transport: Transport, files: Iterable[bytes]) -> list[tuple[int, Checksum]]:
    """Store buffers in one request: size and SHA-256 of each."""
    bodies, boundary = list(files), token_hex(32)
    body, headers = multipart(bodies, boundary), {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    async with transport.uploads:
        stored = (await transport.call("POST", f"{AXON}/puts", body=body, headers=headers)).result()
    try:
        told = [(int(size), parse_checksum(sha256)) for size, sha256 in stored]
    except (TypeError, ValueError, BadChecksum):
        told = []
    if [size for size, _ in told] != [len(each) for each in bodies]:
        raise BadAnswer("the server stored something else than it was sent")
    return told


async def remove_all(transport: Transport, sha256s: list[Checksum]) -> list[bool]:
    """Delete buffers: tell of each whether it was held. Not asked twice: the answers would be others."""
    body = as_json({"sha256s": sha256s})
    found = (await transport.call("POST", f"{AXON}/files/del", body=body, is_safe=False)).result()
    if not isinstance(found, list) or len(found) != len(sha256s):
        raise BadAnswer("the server did not answer for each name")
    return [bool(is_deleted) for _, is_deleted in found]


async def fetch(transport: Transport, what: str, given: dict[str, Any]) -> dict[str, Any]:
    """Have the server fetch or send: not twice, as nobody knows what that would do elsewhere."""
    stall_s = float(given.get("timeout") or FETCH_S) + GRACE_S
    reply = await transport.call(
        "POST", f"{AXON}/{what}", body=as_json(given), is_safe=False, stall_s=stall_s
    )
    info = reply.result()
    if not isinstance(info, dict):
        raise BadAnswer("the server does not tell what came of it")
    if what == "postfiles" and isinstance(info.get("body"), str):
        info["body"] = b64decode(info["body"])
    return info


def _item(value: Any) -> Item:
    try:
        number, (sha256, size) = value
        return int(number), (parse_checksum(sha256), int(size))
    except (TypeError, ValueError, BadChecksum):
        raise BadAnswer("the server told of an arrival that makes no sense") from None


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)
