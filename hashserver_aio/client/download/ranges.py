"""Parts of a file from one server: asked for by Range, and what kind of a server it turns out to be."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from aiohttp import ClientResponse, hdrs
from yarl import URL

from ...blocks import LEAF_BYTES
from ...errors import BadAnswer, FileChanged, HashserverError, StoreFailed
from ..retries import BASE_S, MAX_PAUSE_S, MAX_RETRY_AFTER_S, Again
from ..transport import Transport
from .digests import BlockDigests, most_bytes, parse_digests

FIRST_BYTES = 2**20
"""What is asked for before anything is known of a file: a shorter one takes one request."""

BEGIN_S = 5.0
"""Who takes longer for that much may be slow; what came until then is taken."""

UNKNOWN_RATE = 2.0**40
"""Who has not been tried yet is tried first."""

CHANGED = "the file was changed on its server while it was downloaded; run the same command again"

MAX_LIES = 8
"""Further blocks that came wrong end it with a server, once they are more than those that came right."""

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")
_EMPTY = re.compile(r"bytes \*/0")


@dataclass(frozen=True, slots=True)
class Beginning:
    """The first bytes of a file, its size, and where more is told of it."""

    source: Source
    size: int
    data: bytearray
    describedby: str | None


class Source:
    """One server that has the file; `path` is where, as it stands in a URL.

    `error`: why it is asked no more. `rate`: bytes a second, lately, of one request. `other_size`: what it
    said last, if that is not what the file was taken for.
    """

    def __init__(self, transport: Transport, path: str) -> None:
        self.transport = transport
        self.path = path
        self.error: HashserverError | None = None
        self.other_size: int | None = None
        self.in_flight = 0
        self.rate = UNKNOWN_RATE
        self.rests_until_s = 0.0
        self._failures = self._moved = 0
        self._failed_s = -1.0
        self._good = self._bad = 0

    def __repr__(self) -> str:
        return f"Source({str(self)!r}, {self.path!r})"

    def __str__(self) -> str:
        return str(self.transport.url)

    # -- how it does -----------------------------------------------------------------------------

    def came(self, count: int, took_s: float) -> None:
        """Take note of a block that came whole, and right."""
        rate = count / max(took_s, 1e-6)
        self.rate = rate if self.rate == UNKNOWN_RATE else 0.7 * self.rate + 0.3 * rate
        self._good += 1
        self._failures = 0

    def crawled(self) -> None:
        """Take note of a block that took too long: others are asked rather."""
        self.rate = 1.0 if self.rate == UNKNOWN_RATE else self.rate / 4

    def lied(self) -> None:
        """Take note of a block that came wrong; who sends many of them is asked no more."""
        self._bad += 1
        if self._bad > MAX_LIES and self._bad > self._good:
            self.error = BadAnswer(
                f"{self} sends other blocks than it says: was the file changed? Then run it again"
            )

    def forgive(self) -> None:
        """What it was held against was wrong."""
        self._good = self._bad = self._failures = 0
        self.error = self.other_size = None

    def moved(self, count: int) -> None:
        """Take note that so many bytes came; a few don't count: that would go on for ever."""
        self._moved += count
        if self._moved >= LEAF_BYTES:
            self._failures = 0

    def failed(self, again: Again, began_s: float) -> None:
        """Let it rest after a failure; after too many in a row it is asked no more.

        `began_s`: when the request was made. Those that were under way when it failed don't count again.
        """
        now_s = asyncio.get_running_loop().time()
        if began_s < self._failed_s:
            return
        self._failed_s = now_s
        self._moved = 0
        self._failures += 1
        retries = self.transport.conduct.retries * (1 + bool(self._good))  # it may be starting anew
        if self._failures > retries or again.after_s > MAX_RETRY_AFTER_S:
            self.error = again.error
        most_s = min(MAX_PAUSE_S, BASE_S * 2 ** (self._failures - 1))
        self.rests_until_s = now_s + again.after_s + random.uniform(0, most_s)

    def refused(self, error: HashserverError, began_s: float) -> None:
        """Take note of a refusal: the last word, unless it worked before, or the server's disk failed."""
        if isinstance(error, StoreFailed) or self._good:
            self.failed(Again(error), began_s)
        else:
            self.error = error

    # -- what it says ----------------------------------------------------------------------------

    async def begin(self) -> Beginning:
        """Ask for the first bytes, of which there may be fewer if it takes long.

        Raises: Again; what the server refuses with; BadAnswer.
        """
        beginning = None
        try:
            async with asyncio.timeout(BEGIN_S), self._ask(0, FIRST_BYTES) as response:
                beginning = self._begun(response)
                async for piece in response.content.iter_any():
                    beginning.data.extend(piece)
                    if len(beginning.data) >= min(beginning.size, FIRST_BYTES):
                        break
        except TimeoutError:
            if beginning is None:
                raise self._again(f"did not answer in {BEGIN_S:g} s") from None
        else:
            if len(beginning.data) < min(beginning.size, FIRST_BYTES):
                raise self._again("sent less than it announced")
        del beginning.data[min(beginning.size, FIRST_BYTES) :]
        return beginning

    def _begun(self, response: ClientResponse) -> Beginning:
        if response.status == 416 and _EMPTY.fullmatch(response.headers.get(hdrs.CONTENT_RANGE, "")):
            return Beginning(self, 0, bytearray(), None)
        return Beginning(self, self._size(response), bytearray(), self._described_by(response))

    async def digests(self, size: int) -> BlockDigests | None:
        """Ask what the blocks hash to; None if it can't say. Raises: BadAnswer, ServerUnreachable, ..."""
        if "?" in self.path:
            return None
        path, most = f"/rd{self.path}", most_bytes(size)
        reply = await self.transport.call(hdrs.METH_GET, path, accepts=(404, 405), limit_bytes=most)
        return await asyncio.to_thread(parse_digests, reply.body) if reply.status == 200 else None

    @asynccontextmanager
    async def read(self, first: int, end: int, size: int) -> AsyncGenerator[AsyncIterator[bytes]]:
        """Ask for the bytes from `first` to before `end` of a file of a size.

        Raises: Again, also where they end too early; what the server refuses with.
        """
        async with self._ask(first, end) as response:
            # Some answer 200 to a range that is all of the file.
            told = _range(response)
            self.other_size = told[2] if told is not None and told[2] != size else None
            is_all = (first, end) == (0, size) and response.status == 200 and response.content_length == size
            if self.other_size is not None:
                raise FileChanged(CHANGED)
            if not is_all and told != (first, end - 1, size):
                raise self._again("does not send parts of files (Range)")
            yield response.content.iter_any()

    def _ask(self, first: int, end: int) -> AbstractAsyncContextManager[ClientResponse]:
        """Ask for a range. The body of a 416 is never to be read: some announce one and send none."""
        headers = {hdrs.RANGE: f"bytes={first}-{end - 1}"}
        return self.transport.ask(hdrs.METH_GET, self.path, headers=headers, accepts=(416,))

    def _size(self, response: ClientResponse) -> int:
        """Find the size of a file in the answer to its first bytes. Raises: Again."""
        whole = _range(response)
        if whole is not None and whole[0] == 0 and whole[1] == min(whole[2], FIRST_BYTES) - 1:
            return whole[2]
        if response.status == 200 and response.content_length is not None and _is_plain(response):
            return response.content_length
        raise self._again("does not say how long the file is")

    def _described_by(self, response: ClientResponse) -> str | None:
        """Find the path of what describes a file; None if that is on another server, or said by one."""
        links: Mapping[str, Mapping[str, object]] = response.links
        url, here = links.get("describedby", {}).get("url"), self.transport.url.origin()
        if isinstance(url, URL) and url.origin() == response.url.origin() == here:
            return url.raw_path_qs
        return None

    def _again(self, what: str) -> Again:
        return Again(BadAnswer(f"{self.transport.url} {what}"))


def _range(response: ClientResponse) -> tuple[int, int, int] | None:
    """Read first byte, last byte and size of a partial answer; None if it is none."""
    match = _CONTENT_RANGE.fullmatch(response.headers.get(hdrs.CONTENT_RANGE, ""))
    if response.status != 206 or match is None or not _is_plain(response):
        return None
    return int(match[1]), int(match[2]), int(match[3])


def _is_plain(response: ClientResponse) -> bool:
    return response.headers.get(hdrs.CONTENT_ENCODING, "identity") == "identity"
