"""The nodes of a server, as its operator asks about them, and what they are to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..checksums import Checksum, parse_checksums
from ..errors import BadAnswer, BadArgument, NodeNotFound
from .names import as_json
from .refusals import refusal
from .transport import Transport

_PATH = "/api/nodes"

PLACED_AT_ONCE = 1_000
"""Names in a request: 67 kB of the 128 that a server takes."""

_MIN_DIGITS, _DIGITS = 8, 64


class Placing(NamedTuple):
    """How many buffers are to be placed now, and which are not, as the server does not hold them."""

    placed: int
    absent: list[Checksum]


class Nodes:
    """The nodes of one server. An id may be cut after eight digits or more, as long as no other begins so.

    What is told of a node is a dictionary, as `GET /api/nodes` has it. Every verb raises what the server
    refuses with; ServerUnreachable; BadAnswer.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def list(self) -> dict[str, Any]:
        """Tell of all `nodes`, and how much is placed on them, `placements`."""
        told = await self._ask("GET", _PATH)
        if not isinstance(told.get("nodes"), list) or not isinstance(told.get("placements"), dict):
            raise BadAnswer("the server does not list its nodes: is this a hashserver?")
        return told

    async def show(self, node: str) -> dict[str, Any]:
        """Tell of one node. Raises: NodeNotFound, BadArgument."""
        return await self._ask("GET", _of(node))

    async def pause(self, node: str) -> dict[str, Any]:
        """Have nothing more placed on a node."""
        return await self._ask("POST", f"{_of(node)}/pause")

    async def resume(self, node: str) -> dict[str, Any]:
        """Let a node do all that nodes do, whatever it was kept from."""
        return await self._ask("POST", f"{_of(node)}/resume")

    async def drain(self, node: str) -> dict[str, Any]:
        """Have all that is on a node placed elsewhere."""
        return await self._ask("POST", f"{_of(node)}/drain")

    async def remove(self, node: str) -> dict[str, Any]:
        """Have nothing to do with a node any more, and keep it out."""
        return await self._ask("DELETE", _of(node))

    async def place(self, names: Sequence[str], replicas: int) -> Placing:
        """Have buffers on so many nodes each; with 0 on none. Raises: BadChecksum."""
        checksums, placed, absent = parse_checksums(names), 0, []
        for begin in range(0, len(checksums), PLACED_AT_ONCE):
            wish = {"checksums": checksums[begin : begin + PLACED_AT_ONCE], "replicas": replicas}
            told = await self._ask("POST", f"{_PATH}/place", body=as_json(wish))
            if not isinstance(told.get("placed"), int) or not isinstance(told.get("absent"), list):
                raise BadAnswer("the server does not tell what it placed")
            placed += told["placed"]
            absent += parse_checksums(told["absent"])
        return Placing(placed, absent)

    async def _ask(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        reply = await self._transport.call(method, path, accepts=(404,), **more)
        if reply.status == 404:
            error = refusal(404, reply.body, path)
            if isinstance(error, NodeNotFound):
                raise error
            raise BadAnswer(f"{self._transport.url} has no nodes: is it a server started with --replicas?")
        told = reply.json()
        if not isinstance(told, dict):
            raise BadAnswer("the server answered what makes no sense: is this a hashserver?")
        return told


def _of(node: str) -> str:
    """Say where a node is. Raises: BadArgument."""
    if not _MIN_DIGITS <= len(node) <= _DIGITS or not set(node.lower()) <= set("0123456789abcdef"):
        raise BadArgument(
            f"{node[:100]!r} is no id of a node: give its first {_MIN_DIGITS} hexadecimal digits or more"
        )
    return f"{_PATH}/{node.lower()}"
