"""A buffer on its way to a server: under its name, or without one."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncGenerator
from contextlib import suppress
from http import HTTPStatus
from typing import NamedTuple, Self

from ..checksums import Checksum, parse_checksum
from ..errors import BadAnswer, BufferNotFound, ChecksumMismatch, UploadCut
from .bodies import Body, Progress
from .retries import Again
from .transport import Reply, Transport, read_whole

AXON = "/api/v1/axon"
FILES_PUT = f"{AXON}/files/put"

MAX_REPLY_BYTES = 2**16


class Stored(NamedTuple):
    """What became of a buffer that was put: it is held now; `is_new` if it was not before."""

    name: Checksum
    is_new: bool


async def send(
    transport: Transport,
    path: str,
    body: Body,
    headers: dict[str, str] | None = None,
    progress: Progress | None = None,
) -> Reply:
    """Send a body that may be sent again, until it has arrived.

    Raises: what the server refuses with; what the body raises; ServerUnreachable, BadAnswer.
    """
    patience = transport.patience()
    while True:
        try:
            async with (
                transport.uploads,
                transport.ask("PUT", path, body=body, headers=headers, progress=progress) as response,
            ):
                content = await read_whole(response, MAX_REPLY_BYTES)
                return Reply(response.status, response.headers, content)
        except Again as again:
            await patience.wait(again)


async def put_named(transport: Transport, name: Checksum, body: Body, progress: Progress | None) -> Stored:
    """Store a body under its own name."""
    reply = await send(transport, f"/{name}", body, progress=progress)
    return Stored(name, reply.status != HTTPStatus.CREATED)


async def put_by_sha256(
    transport: Transport, sha256: Checksum, body: Body, progress: Progress | None
) -> Stored:
    """Store a body whose SHA-256 is known, on a server that may name it otherwise.

    Raises: DigestMismatch, before it is stored; as `send`.
    """
    held = await transport.call("GET", f"{AXON}/files/has/sha256/{sha256}")
    if held.result() is True:
        return Stored(sha256, is_new=False)
    stated = {"Content-Digest": f"sha-256=:{b64encode(bytes.fromhex(sha256)).decode()}:"}
    found = (await send(transport, FILES_PUT, body, stated, progress)).result()
    if not isinstance(found, dict) or found.get("sha256") != sha256:
        raise ChecksumMismatch(f"the server stored something else than {sha256}")
    return Stored(sha256, is_new=True)


class Upload:
    """Buffers written piece by piece, of which nothing need to be known before: `write`, then `save`.

    It can be used again after `save`. What was written is not kept, so after a cut nobody can send it
    again: that is told by the error, and the upload has to begin anew.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue(1)
        self._sending: asyncio.Task[Reply] | None = None
        self._size = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._cancel()

    async def write(self, piece: bytes) -> None:
        """Send some more bytes. Raises: what the server refuses with, ServerUnreachable."""
        if not piece:
            return
        self._begin()
        await self._give(piece)
        self._size += len(piece)

    async def save(self) -> tuple[int, str]:
        """Store what was written: its size and SHA-256.

        Raises: what the server refuses with; ServerUnreachable, BadAnswer.
        """
        sending = self._begin()
        await self._give(b"")
        try:
            found = (await sending).result()
        finally:
            size, self._size, self._sending = self._size, 0, None
        if not isinstance(found, dict) or found.get("size") != size:
            raise BadAnswer("the server stored something else than what was written")
        return size, parse_checksum(found.get("sha256"))

    def _begin(self) -> asyncio.Task[Reply]:
        if self._sending is None:
            self._pieces = asyncio.Queue(1)
            self._sending = asyncio.create_task(self._send())
        return self._sending

    async def _give(self, piece: bytes) -> None:
        """Pass a piece on, or find out why nobody takes it."""
        assert self._sending is not None
        giving = asyncio.create_task(self._pieces.put(piece))
        try:
            await asyncio.wait((giving, self._sending), return_when=asyncio.FIRST_COMPLETED)
        finally:
            is_given = giving.done()
            giving.cancel()
        if not is_given:
            sending, self._sending, self._size = self._sending, None, 0
            await sending
            raise UploadCut("the server answered before the upload had ended")

    async def _send(self) -> Reply:
        body = Body(self._written, None)
        try:
            # Not PUT: over a connection that turns out to be dead aiohttp sends that twice.
            async with self._transport.uploads, self._transport.ask("POST", FILES_PUT, body=body) as response:
                content = await read_whole(response, MAX_REPLY_BYTES)
                return Reply(response.status, response.headers, content)
        except Again as again:
            raise again.error from None

    async def _written(self) -> AsyncGenerator[bytes, None]:
        while piece := await self._pieces.get():
            yield piece

    async def _cancel(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._sending
            self._sending = None


async def promise(transport: Transport, checksum: Checksum) -> float:
    """Announce a buffer: for how many seconds it is waited for. Raises: BadAnswer."""
    reply = await transport.call("PUT", f"/promise/{checksum}")
    try:
        return float(reply.json()["expires_in"])
    except (TypeError, KeyError, ValueError):
        raise BadAnswer("the server does not say for how long it takes a promise") from None


async def remove(transport: Transport, path: str) -> bool:
    """Delete a buffer; False if there was none. Not asked twice: the second answer would be another."""
    with suppress(BufferNotFound):
        await transport.call("DELETE", path, is_safe=False)
        return True
    return False


def multipart(bodies: list[bytes], boundary: str) -> Body:
    """Make a form of buffers."""

    async def pieces() -> AsyncGenerator[bytes, None]:
        for body in bodies:
            yield f"--{boundary}\r\nContent-Type: application/octet-stream\r\n\r\n".encode()
            if body:
                yield body
            yield b"\r\n"
        yield f"--{boundary}--\r\n".encode()

    return Body(pieces, None)
