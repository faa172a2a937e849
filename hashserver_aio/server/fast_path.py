"""The fast path: whole buffers, asked for in the plainest way, answered before aiohttp parses.

It decides nothing. What it does not recognise, and what is not at hand and known to be good, takes
the ordinary way; and an answer from memory is never more than a second away from a look at its file.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple

from ..blobs import Blob
from ..buffers import Buffers
from ..checksums import CHECKSUM_DIGITS, Checksum, is_checksum
from ..counting import BYTES_OUT, HITS, MISSES, Counts
from ..errors import HashserverError
from ..store import StoredFile
from .activity import Activity
from .audiences import PLAIN_ONLY, Audience, Audiences
from .dates import http_date

SMALL_BYTES = 64 * 1024
"""Up to here a read from the page cache and one write cost less than setting up a sendfile."""

MAX_BYTES = 32 * 1024 * 1024
"""All answers that are kept, together."""

FRESH_S = 1.0

MAX_HEAD_BYTES = 2048


class Wording(NamedTuple):
    """The head of an answer without its date, and its body; None for the blob itself."""

    head: bytes
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Door:
    """A kind of request that may be answered here: 64 digits follow its `start`.

    `key` tells its answers from those of other doors; `column` is where they are counted. `found`
    tells what the store calls that name, `worded` what is said of the blob, and whether all may read it; it
    `negotiates` if compressed forms may be sent.
    """

    start: bytes
    key: bytes
    column: int
    found: Callable[[Buffers, str], Checksum | None]
    worded: Callable[[Blob, bool], Wording]
    negotiates: bool


@dataclass(slots=True)
class _Answer:
    """An answer as it is sent, and its head without the date; `size`: bytes of the body.

    `stored`: the file that it comes from, closed. It `is_apart` if the body is sent from there.
    `column`: where it is counted.
    """

    head: bytes
    rendered: bytes
    size: int
    is_apart: bool
    stored: StoredFile
    column: int
    fresh_until_s: float

    def is_still_the_best(self, audience: Audience) -> bool:
        """Tell whether the file is in place, and none can have come that goes before it."""
        is_first = not self.stored.place and self.stored.form is audience.forms[0]
        return is_first and self.stored.is_in_place()

    def refresh(self, now_s: float) -> None:
        body_size = 0 if self.is_apart else self.size
        self.rendered = _dated(self.head, self.rendered[len(self.rendered) - body_size :])
        self.fresh_until_s = now_s + FRESH_S


class FastPath:
    """Answers kept in memory, and the heads of requests that may be given them."""

    def __init__(
        self,
        doors: Sequence[Door],
        buffers: Buffers,
        audiences: Audiences,
        activity: Activity,
        counts: Counts,
    ) -> None:
        """`doors`: the one that is asked for most goes last, as it is found by being none of the others."""
        self._doors = doors
        self._buffers = buffers
        self._audiences = audiences
        self.activity = activity
        self.counts = counts
        self._row = counts.row
        self._answers: OrderedDict[bytes, _Answer] = OrderedDict()
        self._keys: defaultdict[Checksum, set[bytes]] = defaultdict(set)
        self._bytes = 0

    def find(self, head: bytes) -> _Answer | None:
        """Find the answer to a request; None for one that takes the ordinary way.

        What is found whole counts as answered: it always is.
        """
        door = self._door_to(head)
        if door is None:
            return None
        begin = len(door.start)
        end = begin + CHECKSUM_DIGITS
        name, rest = head[begin:end], head[end:]
        if b"/" in name:  # a longer path: what follows is none of a name's
            return None
        now_s = time.monotonic()
        audience = self._audiences.find(rest, now_s)
        if audience is None:
            return None
        if not door.negotiates:
            audience = PLAIN_ONLY[audience.is_public]
        key = name + door.key + audience.key
        answer = self._answers.get(key)
        if answer is None:
            return self._found(key, name, door, audience)
        if now_s >= answer.fresh_until_s:
            if not answer.is_still_the_best(audience):
                self._drop(key)
                return self._found(key, name, door, audience)
            answer.refresh(now_s)
        self._answers.move_to_end(key)
        if not answer.is_apart:
            self._row[HITS] += 1
            self._count(answer)
        return answer

    def _door_to(self, head: bytes) -> Door | None:
        if len(head) <= MAX_HEAD_BYTES:
            for door in self._doors:
                if head.startswith(door.start):
                    return door
        return None

    def forget(self, checksum: Checksum) -> None:
        """Keep no answer with a buffer that was removed."""
        for key in list(self._keys.get(checksum, ())):
            self._drop(key)

    def _found(self, key: bytes, name: bytes, door: Door, audience: Audience) -> _Answer | None:
        """Read a buffer, if it is at hand, and keep the answer for the next one who asks."""
        text = name.decode("latin-1")
        if not is_checksum(text):
            return None
        try:
            checksum = door.found(self._buffers, text)
            blob = checksum and self._buffers.open_at_once(checksum, audience.forms)
            if not blob:
                return None
            with closing(blob):
                answer = _answer(blob, door, audience)
        except (HashserverError, OSError):
            return None
        if answer is not None:
            self._keep(key, answer)
            if not answer.is_apart:
                self._row[MISSES] += 1
                self._count(answer)
        return answer

    def _count(self, answer: _Answer) -> None:
        self._row[answer.column] += 1
        self._row[BYTES_OUT] += answer.size

    def _keep(self, key: bytes, answer: _Answer) -> None:
        self._answers[key] = answer
        self._keys[answer.stored.checksum].add(key)
        self._bytes += _size(answer)
        while self._bytes > MAX_BYTES:
            self._drop(next(iter(self._answers)))

    def _drop(self, key: bytes) -> None:
        answer = self._answers.pop(key)
        self._bytes -= _size(answer)
        keys = self._keys[answer.stored.checksum]
        keys.discard(key)
        if not keys:
            del self._keys[answer.stored.checksum]


def _size(answer: _Answer) -> int:
    """Reckon what an answer takes, with all that hangs on it."""
    return len(answer.head) + len(answer.rendered) + 2000


def _dated(head: bytes, body: bytes) -> bytes:
    return b"%bDate: %b\r\n\r\n%b" % (head, http_date(time.time()).encode(), body)


def _answer(blob: Blob, door: Door, audience: Audience) -> _Answer | None:
    """Word the answer that the ordinary way gives, with the body if that is small."""
    assert blob.file is not None
    head, body = door.worded(blob, audience.is_public)
    is_apart = body is None and blob.size > SMALL_BYTES
    if body is None:
        body = b"" if is_apart else os.pread(blob.file.fileno(), blob.size, 0)
        size = blob.size
        if not is_apart and len(body) != size:
            return None
    else:
        size = len(body)
    fresh_until_s = time.monotonic() + FRESH_S
    return _Answer(head, _dated(head, body), size, is_apart, blob.stored, door.column, fresh_until_s)
