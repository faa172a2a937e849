"""Addresses of names, asked of the system.

The system may wait long for a name server, and can't be called back. So each question has a thread of its
own, which nobody waits for: neither a fetch beyond its time, nor the process at its end.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

MAX_LOOKUPS = 64
"""As many as there may be fetches. Where so many wait for name servers, the next ones wait for them."""

_Found = list[tuple[Any, Any, Any, Any, tuple[Any, ...]]]


class Lookups(AbstractResolver):
    """Asks the system for addresses."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(MAX_LOOKUPS)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Give the addresses of a name. Raises: OSError."""
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[_Found] = loop.create_future()

        def settle(outcome: _Found | Exception) -> None:
            self._free.release()
            if answer.done():  # nobody wants it any more
                return
            if isinstance(outcome, Exception):
                answer.set_exception(outcome)
            else:
                answer.set_result(outcome)

        def ask() -> None:
            outcome = _look_up(host, port, family)
            try:
                loop.call_soon_threadsafe(settle, outcome)
            except RuntimeError:  # the loop is closed
                pass

        try:
            threading.Thread(target=ask, name="lookup", daemon=True).start()
        except RuntimeError:  # no more threads are to be had
            self._free.release()
            raise OSError("no thread could be started") from None
        return [
            ResolveResult(hostname=host, host=str(address[0]), port=port, family=family, proto=proto, flags=0)
            for family, _, proto, _, address in await answer
        ]

    async def close(self) -> None:
        """Keep what is under way: the resolver is its owner's, and serves one fetch after the other."""


def _look_up(host: str, port: int, family: int) -> _Found | Exception:
    try:
        return socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    except UnicodeError:  # a name that the DNS has no form for
        return socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    except Exception as error:
        return error
