"""Files sent by the kernel, in slices for which no client can take for ever."""

from __future__ import annotations

import asyncio
import io

SLICE_BYTES = 8 * 1024 * 1024
SLICE_S = 300.0
"""Who takes longer than this for a slice (28 kB/s), or for a write, is hung up on."""


async def send_slice(
    transport: asyncio.Transport, file: io.FileIO, offset: int, end: int, *, fallback: bool = False
) -> int:
    """Send the next bytes of a file up to `end`, as many as a slice has: where the next slice begins.

    `fallback`: copy the bytes where the file system has no sendfile.
    Raises: ConnectionError, TimeoutError; RuntimeError, if the transport is closing;
    NotImplementedError or SendfileNotAvailableError, for TLS or an event loop without sendfile.
    """
    if transport.get_extra_info("sslcontext") is not None and not fallback:
        raise asyncio.SendfileNotAvailableError("TLS")  # asyncio itself raises a mere RuntimeError
    count = min(SLICE_BYTES, end - offset)
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(SLICE_S):
        sent = await loop.sendfile(transport, file, offset, count, fallback=fallback)
    check_sent(sent, count)
    return offset + sent


def check_sent(sent: int, wanted: int) -> None:
    """Hang up rather than pass off a file that was cut short as the buffer."""
    if sent != wanted:
        raise ConnectionResetError("the file became shorter while it was sent")
