"""The downloads of a client: names and URLs, and which servers may have what they stand for.

Credentials go to the client's own server; to others, those that stand in their URL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from yarl import URL

from ..checksums import Algorithm, Checksum, parse_checksum
from ..errors import BadAnswer, BadArgument, BufferNotFound, ServerTrouble
from .bodies import Progress
from .download import Address, Download, Source, Target, Whole, of_name, parse_address
from .names import Names, by_sha256
from .transport import Transport

_BY_SHA256 = by_sha256(Checksum(""))


def is_url(text: str) -> bool:
    """Tell URLs from names."""
    return "://" in text


def filename_of(text: str) -> str:
    """Tell what a file is called that a name or a URL stands for. Raises: BadArgument, BadChecksum."""
    return parse_address(text).filename if is_url(text) else parse_checksum(text)


class Downloads:
    """What is downloaded from a server and its mirrors."""

    def __init__(self, transport: Transport, names: Names, mirrors: Sequence[str]) -> None:
        """Raises: BadArgument, of a mirror."""
        self._transport = transport
        self._names = names
        self._slots = asyncio.Semaphore(transport.conduct.transfers)
        others = [(transport.to(mirror), mirror) for mirror in mirrors]
        self._mirrors = [(URL(mirror), other) for other, mirror in others]

    async def target(self, wanted: str, algorithm: str | None) -> Target:
        """Find out what a name or a URL stands for. Raises: BadChecksum, BadArgument, ServerUnreachable."""
        return await (self._of_url(wanted) if is_url(wanted) else self._of_name(wanted, algorithm))

    async def save(
        self, target: Target, path: Path, workers: int, limit_bytes: int | None, progress: Progress | None
    ) -> int:
        """Save it: its size. Raises: as `Download.run`."""
        download = Download(target, path, workers=workers, slots=self._slots, progress=progress)
        async with self._transport.downloads:
            return await download.run(limit_bytes)

    async def _of_name(self, name: str, algorithm: str | None) -> Target:
        named = [self._names, *(Names(mirror, None) for _, mirror in self._mirrors)]
        for names in named:
            try:
                place = await names.place(name, algorithm)
                break
            except ServerTrouble:
                if names is named[-1]:
                    raise
        transports = [self._transport, *(mirror for _, mirror in self._mirrors)]
        return of_name(place.checksum, place.algorithm, place.path, transports)

    async def _of_url(self, text: str) -> Target:
        address = parse_address(text)
        whole = address.whole or await self._named(address)
        query = f"?{address.query}" if address.query else ""
        source = Source(self._transport.to(address.server), address.path + query)
        mirrors = (self._mirrored(url, mirror, address) for url, mirror in self._mirrors)
        what = str(whole) if whole is not None else address.shown
        return Target(what, address.filename, whole, (source, *mirrors))

    async def _named(self, address: Address) -> Whole | None:
        """Find out what the URL of a buffer says. Raises: BadArgument, if the server is of another kind."""
        if address.checksum is None:
            return None
        above = address.path.rpartition("/")[0]
        if f"{above}/".endswith(_BY_SHA256):
            return Whole(Algorithm.SHA_256, address.checksum)
        try:
            algorithm = await Names(self._transport.to(f"{address.server}{above}"), None).own()
        except (BadAnswer, BufferNotFound):
            raise BadArgument(
                f"nobody says which hash the name of {address.shown} is: "
                "end the URL in #sha3-256=..., or #sha256=..."
            ) from None
        return Whole(algorithm, address.checksum)

    def _mirrored(self, url: URL, mirror: Transport, address: Address) -> Source:
        """Say where a mirror has a file: there as here, unless the URL of the mirror is the file's.

        The query of a URL is for its own server: it may be a secret.
        """
        if url.raw_path.rpartition("/")[2] == address.path.rpartition("/")[2]:
            return Source(self._transport.to(str(url.with_path("/"))), url.raw_path)
        return Source(mirror, address.path)
