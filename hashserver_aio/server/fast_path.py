"""The fast path: whole buffers, asked for in the plainest way, answered before aiohttp parses.

It decides nothing. What it does not recognise, and what is not at hand and known to be good, takes
the ordinary way; and an answer from memory is never more than a second away from a look at its file.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple

from ..access import AccessFile, Permission
from ..blobs import Blob
from ..buffers import Buffers
from ..checksums import CHECKSUM_DIGITS, Checksum, is_checksum
from ..counting import BYTES_OUT, HITS, MISSES, Counts
from ..errors import HashserverError
from ..store import Form, StoredFile
from .activity import Activity
from .codings import accepted_forms
from .columns import GET_OK
from .dates import http_date
from .headers import whole_head

SMALL_BYTES = 64 * 1024
"""Up to here a read from the page cache and one write cost less than setting up a sendfile."""

MAX_BYTES = 32 * 1024 * 1024
"""All answers that are kept, together."""

FRESH_S = 1.0

MAX_HEAD_BYTES = 2048
MAX_HEADS = 256
"""A client sends the same headers with every request; so many different ones are remembered."""

_START, _VERSION, _END = b"GET /", b" HTTP/1.1\r\n", b"\r\n\r\n"
_NAME_BEGINS, _NAME_ENDS = len(_START), len(_START) + CHECKSUM_DIGITS

_HARMLESS = frozenset("accept accept-encoding accept-language connection host origin user-agent".split())
"""Headers that change nothing about a whole GET, but for Accept-Encoding and `Connection: close`."""


class _Audience(NamedTuple):
    """Clients that are sent the same form of a buffer; `key` tells them from the others."""

    forms: tuple[Form, ...]
    key: bytes


@dataclass(slots=True)
class _Answer:
    """An answer as it is sent, and its head without the date; `size`: bytes of the body.

    `stored`: the file that it comes from, closed. It `is_apart` if the body is sent from there.
    """

    head: bytes
    rendered: bytes
    size: int
    is_apart: bool
    stored: StoredFile
    fresh_until_s: float

    def is_still_the_best(self, audience: _Audience) -> bool:
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
        self, buffers: Buffers, access: AccessFile | None, activity: Activity, counts: Counts
    ) -> None:
        self._buffers = buffers
        self._access = access
        self.activity = activity
        self.counts = counts
        self._row = counts.row
        self._answers: OrderedDict[bytes, _Answer] = OrderedDict()
        self._bytes = 0
        self._heads: dict[bytes, _Audience | None] = {}

    def find(self, head: bytes) -> _Answer | None:
        """Find the answer to a request; None for one that takes the ordinary way.

        What is found whole counts as answered: it always is.
        """
        if len(head) > MAX_HEAD_BYTES or not head.startswith(_START):
            return None
        if self._access is not None and not self._access.everybody_may(Permission.READ):
            return None
        rest = head[_NAME_ENDS:]
        try:
            audience = self._heads[rest]
        except KeyError:
            audience = self._judge(rest)
        if audience is None:
            return None
        name, now_s = head[_NAME_BEGINS:_NAME_ENDS], time.monotonic()
        key = name + audience.key
        answer = self._answers.get(key)
        if answer is None:
            return self._found(key, name, audience)
        if now_s >= answer.fresh_until_s:
            if not answer.is_still_the_best(audience):
                self._drop(key)
                return self._found(key, name, audience)
            answer.refresh(now_s)
        self._answers.move_to_end(key)
        if not answer.is_apart:
            self._row[HITS] += 1
            self._row[BYTES_OUT] += answer.size
        return answer

    def forget(self, checksum: Checksum) -> None:
        """Keep no answer with a buffer that was removed."""
        name = checksum.encode()
        for key in {name + audience.key for audience in self._heads.values() if audience is not None}:
            if key in self._answers:
                self._drop(key)

    def _judge(self, rest: bytes) -> _Audience | None:
        """Tell, once for all requests with these headers, whether they may take the fast path."""
        audience = _audience_of(rest)
        if len(self._heads) >= MAX_HEADS:
            self._heads.clear()
        self._heads[rest] = audience
        return audience

    def _found(self, key: bytes, name: bytes, audience: _Audience) -> _Answer | None:
        """Read a buffer, if it is at hand, and keep the answer for the next one who asks."""
        text = name.decode("latin-1")
        if not is_checksum(text):
            return None
        try:
            blob = self._buffers.open_at_once(Checksum(text), audience.forms)
            if blob is None:
                return None
            with closing(blob):
                answer = _worded(blob)
        except (HashserverError, OSError):
            return None
        if answer is not None:
            self._keep(key, answer)
            self._count_found(answer)
        return answer

    def _count_found(self, answer: _Answer) -> None:
        if not answer.is_apart:
            self._row[MISSES] += 1
            self._row[GET_OK] += 1
            self._row[BYTES_OUT] += answer.size

    def _keep(self, key: bytes, answer: _Answer) -> None:
        self._answers[key] = answer
        self._bytes += _size(answer)
        while self._bytes > MAX_BYTES:
            _, oldest = self._answers.popitem(last=False)
            self._bytes -= _size(oldest)

    def _drop(self, key: bytes) -> None:
        self._bytes -= _size(self._answers.pop(key))


def _size(answer: _Answer) -> int:
    """Reckon what an answer takes, with all that hangs on it."""
    return len(answer.head) + len(answer.rendered) + 1500


def _dated(head: bytes, body: bytes) -> bytes:
    return b"%bDate: %b\r\n\r\n%b" % (head, http_date(time.time()).encode(), body)


def _audience_of(rest: bytes) -> _Audience | None:
    """Read what follows the name in the head of a request; None where it is not of the plainest."""
    if not rest.startswith(_VERSION) or rest.find(_END) != len(rest) - len(_END):
        return None
    accepted, seen = "", set()
    for line in rest[len(_VERSION) : -len(_END)].decode("latin-1").split("\r\n"):
        name, colon, value = line.partition(":")
        name, value = name.lower(), value.strip(" \t")
        if not colon or not value.isascii() or not value.isprintable():
            return None
        if name in seen or name not in _HARMLESS:
            return None
        if name == "connection" and value.lower() != "keep-alive":
            return None
        if name == "accept-encoding":
            accepted = value
        seen.add(name)
    if "host" not in seen:  # which is an error, as repeating one is
        return None
    forms = accepted_forms(accepted)
    return _Audience(forms, "".join(forms).encode())


def _worded(blob: Blob) -> _Answer | None:
    """Word the answer that the ordinary way gives, with the body if that is small."""
    assert blob.file is not None
    is_apart, body = blob.size > SMALL_BYTES, b""
    if not is_apart:
        body = os.pread(blob.file.fileno(), blob.size, 0)
        if len(body) != blob.size:
            return None
    head = whole_head(blob)
    return _Answer(head, _dated(head, body), blob.size, is_apart, blob.stored, time.monotonic() + FRESH_S)
