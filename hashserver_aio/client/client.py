"""The client: one class with the verbs of the hashserver face and those of the Axon's API.

A buffer that it gives was hashed here; what it says is stored, the server has said so with a 2xx.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Self, overload

from aiohttp import ClientSession

from ..checksums import Algorithm, Checksum, parse_checksum
from . import axon
from .bodies import Body, Data, Progress
from .downloads import Downloads
from .feed import Arrival, Follower
from .names import Held, Names, Sha256, by_sha256, describe, sha256_of, wants
from .nodes import Nodes
from .receiving import Reception
from .sending import Stored, Upload, promise, put_by_sha256, put_named, remove
from .sessions import Sessions
from .transport import Auth, Conduct, Transport
from .wording import unworded

MAX_GET_BYTES = 2**30
"""`get` holds a buffer in memory; who wants a longer one streams it, or says so."""


class Client:
    """A server of buffers, over HTTP.

    `auth`: a user and a password, or a key; `session`: use this one, and leave it open; `algorithm`: what
    names the buffers, asked of the server if it is not given; `mirrors`: URLs of servers that may have them,
    too, for downloads; `tls`: what certificates to believe;
    `transfers`: so many buffers go each way at a time, further ones wait; `retries`: how often in a row
    may fail what is safe to ask again; `connect_s`, `stall_s`: how long to wait for a connection, and for
    anything to move on it. Nothing bounds how long all of a transfer takes.

    In the verbs of the hashserver face a name is the server's checksum, or, with `algorithm="sha-256"`, a
    SHA-256; in those of the Axon it is always a SHA-256. Every verb raises what the server refuses with,
    as the class that the server raised; ServerUnreachable; BadAnswer.
    """

    def __init__(
        self,
        url: str,
        *,
        auth: Auth | None = None,
        session: ClientSession | None = None,
        algorithm: str | None = None,
        mirrors: Sequence[str] = (),
        tls: ssl.SSLContext | None = None,
        transfers: int = 8,
        retries: int = 5,
        connect_s: float = 10.0,
        stall_s: float = 60.0,
    ) -> None:
        """Raises: BadArgument."""
        conduct = Conduct(transfers=transfers, retries=retries, connect_s=connect_s, stall_s=stall_s)
        self._transport = Transport(url, auth, Sessions(session), tls, conduct)
        self._names = Names(self._transport, Algorithm(algorithm) if algorithm else None)
        self._downloads = Downloads(self._transport, self._names, mirrors)
        self.nodes = Nodes(self._transport)
        self.url = str(self._transport.url)

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._transport.close()

    # -- the hashserver face -----------------------------------------------------------------------

    async def algorithm(self) -> Algorithm:
        """Tell what the server names buffers by."""
        return await self._names.own()

    @overload  # a text is a sequence of texts, too: for one, the first signature counts
    async def has(  # type: ignore[overload-overlap]
        self, names: str, *, promised: bool = ..., algorithm: str | None = ...
    ) -> bool: ...

    @overload
    async def has(
        self, names: Sequence[str], *, promised: bool = ..., algorithm: str | None = ...
    ) -> list[bool]: ...

    async def has(
        self, names: str | Sequence[str], *, promised: bool = False, algorithm: str | None = None
    ) -> bool | list[bool]:
        """Tell whether a buffer is held, or which of many are; or, with `promised`, will be."""
        if isinstance(names, str):
            return (await self._names.held([names], algorithm, promised=promised))[0]
        return await self._names.held(names, algorithm, promised=promised)

    async def stat(self, name: str, *, algorithm: str | None = None) -> Held:
        """Tell size, SHA-256 and age of a buffer. Raises: BufferNotFound."""
        return await describe(self._transport, await self._names.place(name, algorithm))

    async def get(
        self, name: str, *, algorithm: str | None = None, limit_bytes: int | None = MAX_GET_BYTES
    ) -> bytes:
        """Get a buffer into memory.

        Raises: BufferNotFound; ChecksumMismatch; BufferTooLarge, beyond `limit_bytes`.
        """
        async with aclosing(self.stream(name, algorithm=algorithm, limit_bytes=limit_bytes)) as pieces:
            return b"".join([piece async for piece in pieces])

    async def stream(
        self,
        name: str,
        *,
        algorithm: str | None = None,
        limit_bytes: int | None = None,
        progress: Progress | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """Yield a buffer in pieces, the last one only if all of them hash to the name.

        After a cut it goes on where it was. Raises: as `get`.
        """
        place = await self._names.place(name, algorithm)
        reception = Reception(self._transport, place, limit_bytes, progress)
        async with aclosing(reception.pieces()) as pieces:
            async for piece in pieces:
                yield piece

    async def download(
        self,
        name: str,
        path: Path | str,
        *,
        algorithm: str | None = None,
        workers: int = 4,
        limit_bytes: int | None = None,
        progress: Progress | None = None,
    ) -> int:
        """Save a buffer, or what a URL leads to, as a file, which is there once it is whole: its size.

        It comes in `workers` parts at a time. What broke off goes on where it was, also in another process.
        A URL may end in what it hashes to, `#sha256=...`. Raises: as `get`; BadArgument, if nobody says what
        a URL hashes to; FileChanged; NoSpace; Busy, if another process saves it; OSError.
        """
        target = await self._downloads.target(name, algorithm)
        return await self._downloads.save(target, Path(path), workers, limit_bytes, progress)

    async def put(
        self,
        data: Data,
        *,
        name: str | None = None,
        algorithm: str | None = None,
        size: int | None = None,
        progress: Progress | None = None,
    ) -> Stored:
        """Store bytes, a file, or what a function gives each time it is called.

        `name` saves a pass over the data, where it is known; what does not hash to it is not stored.
        Raises: ChecksumMismatch, DigestMismatch; OSError, of a file.
        """
        body = await Body.of(data, size)
        store = put_by_sha256 if await self._names.is_sha256(algorithm) else put_named
        if name is None:
            checksum, body = await body.named(Algorithm(algorithm or await self._names.own()))
        else:
            checksum = parse_checksum(name)
        return await store(self._transport, checksum, body, progress)

    async def promise(self, name: str) -> float:
        """Announce a buffer: who asks for it waits for it, for so many seconds."""
        return await promise(self._transport, parse_checksum(name))

    async def remove(self, name: str, *, algorithm: str | None = None) -> bool:
        """Delete a buffer for good; False if there was none."""
        place = await self._names.place(name, algorithm)
        return await remove(self._transport, place.path)

    # -- the Axon's API ----------------------------------------------------------------------------

    async def size(self, sha256: Sha256) -> int | None:
        """Tell how long a buffer is; None if it is not held."""
        return await axon.size(self._transport, sha256_of(sha256))

    async def hashset(self, sha256: Sha256) -> dict[str, Any]:
        """Tell all that a buffer is called: md5, sha1, sha256, sha512, size. Raises: BufferNotFound."""
        return dict(await axon.get_result(self._transport, f"hashset/{sha256_of(sha256)}"))

    async def metrics(self) -> dict[str, int]:
        """Tell how much is held: `file:count` and `size:bytes`."""
        return dict(await axon.get_result(self._transport, "metrics"))

    async def wants(self, sha256s: Iterable[Sha256]) -> list[Checksum]:
        """Tell which of some buffers are not held."""
        return await wants(self._transport, [sha256_of(each) for each in sha256s])

    async def feed(
        self,
        offset: int = 0,
        *,
        feed_id: str = "",
        wait: bool = False,
        timeout: float | None = None,  # noqa: ASYNC109 - of nothing new, not of the call
    ) -> AsyncGenerator[Arrival, None]:
        """Yield what arrived, from a number on; with `wait` also what will, until none does for `timeout` s.

        After a cut it goes on where it was. Raises: FeedChanged, if the numbers belong to one that is gone.
        """
        follower = Follower(self._transport, offset, feed_id)
        async with aclosing(follower.arrivals(wait=wait, timeout_s=timeout)) as arrivals:
            async for arrival in arrivals:
                yield arrival

    async def hashes(
        self,
        offset: int = 0,
        feed_id: str = "",
        wait: bool = False,
        timeout: float | None = None,  # noqa: ASYNC109 - as the Axon has it
    ) -> AsyncGenerator[axon.Item, None]:
        """Yield what `feed` does as the Axon has it: (number, (SHA-256, size))."""
        async with aclosing(self.feed(offset, feed_id=feed_id, wait=wait, timeout=timeout)) as arrivals:
            async for arrival in arrivals:
                yield arrival.index, (arrival.sha256, arrival.size)

    def history(self, tick: int, tock: int | None = None) -> AsyncGenerator[axon.Item, None]:
        """Yield (ms, (SHA-256, size)) of all that came in a time, deleted or not; ms since 1970."""
        return axon.history(self._transport, tick, tock)

    async def puts(self, files: Iterable[bytes]) -> list[tuple[int, Checksum]]:
        """Store some small buffers in one request: size and SHA-256 of each."""
        return await axon.put_all(self._transport, files)

    @overload
    async def upload(self) -> Upload: ...
    @overload
    async def upload(self, path: Path | str, *, progress: Progress | None = ...) -> Stored: ...
    async def upload(
        self, path: Path | str | None = None, *, progress: Progress | None = None
    ) -> Upload | Stored:
        """Store a file; or without one, as the Axon has it, what will be written to what this gives."""
        return Upload(self._transport) if path is None else await self.put(Path(path), progress=progress)

    async def del_(self, sha256: Sha256) -> bool:
        """Delete a buffer for good; False if there was none."""
        return await remove(self._transport, by_sha256(sha256_of(sha256)))

    async def dels(self, sha256s: Iterable[Sha256]) -> list[bool]:
        """Delete buffers: tell of each whether it was held."""
        return await axon.remove_all(self._transport, [sha256_of(each) for each in sha256s])

    async def wget(self, url: str, **more: Any) -> dict[str, Any]:
        """Have the server store what a URL answers with; `more`: see "Fetching from other servers"."""
        return await axon.fetch(self._transport, "wget", {"url": url} | more)

    async def wput(self, sha256: Sha256, url: str, **more: Any) -> dict[str, Any]:
        """Have the server send a buffer to a URL."""
        return await axon.fetch(self._transport, "wput", {"sha256": sha256_of(sha256), "url": url} | more)

    async def postfiles(self, fields: list[dict[str, Any]], url: str, **more: Any) -> dict[str, Any]:
        """Have the server send buffers and values to a URL as a form."""
        return await axon.fetch(self._transport, "postfiles", {"fields": fields, "url": url} | more)

    def readlines(self, sha256: str, errors: str = "ignore") -> AsyncGenerator[str, None]:
        """Yield the lines of a text."""
        return axon.read(self._transport, "readlines", sha256_of(sha256), errors=errors)

    def csvrows(
        self, sha256: Sha256, dialect: str = "excel", errors: str = "ignore", **fmtparams: Any
    ) -> AsyncGenerator[list[Any], None]:
        """Yield the rows of comma-separated values; `fmtparams` are those of Python's `csv`."""
        query = {"dialect": dialect, "errors": errors} | fmtparams
        return axon.read(self._transport, "csvrows", sha256_of(sha256), **query)

    def jsonlines(self, sha256: str, errors: str = "ignore") -> AsyncGenerator[Any, None]:
        """Yield the values of lines of JSON."""
        return axon.read(self._transport, "jsonlines", sha256_of(sha256), errors=errors)

    async def iterMpkFile(self, sha256: str) -> AsyncGenerator[Any, None]:
        """Yield the values of concatenated msgpack."""
        async with aclosing(axon.read(self._transport, "iterMpkFile", sha256_of(sha256))) as values:
            async for value in values:
                yield unworded(value)

    async def unpack(self, sha256: Sha256, fmt: str, offs: int = 0) -> tuple[Any, ...]:
        """Give what Python's `struct` unpacks, at an offset."""
        query = {"fmt": fmt, "offs": str(offs)}
        found = await axon.get_result(self._transport, f"unpack/{sha256_of(sha256)}", query)
        return tuple(unworded(found))
