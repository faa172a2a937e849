"""Whom the fast path may answer, read from what follows the name in the head of a request.

It is read once for all requests that say the same. A head that may hold a secret is remembered by a
keyed hash, and one with credentials only as long as these are known to be right.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from typing import NamedTuple, TypeVar

from ..access import AccessFile, Permission
from ..errors import NotAuthenticated
from ..store import Form
from .codings import accepted_forms
from .credentials import API_KEY, credentials_in

_T = TypeVar("_T")

MAX_HEADS = 256
"""A client sends the same headers with every request; so many are remembered, and as many that are sealed."""

_VERSION, _END = b" HTTP/1.1\r\n", b"\r\n\r\n"

_API_KEY, _AUTHORIZATION = API_KEY.lower(), "authorization"
_SECRET = {_API_KEY, _AUTHORIZATION}

_HARMLESS = _SECRET.union("accept accept-encoding accept-language connection host origin user-agent".split())
"""Headers that change nothing about a whole GET, but for these, Accept-Encoding and `Connection: close`."""


class Audience(NamedTuple):
    """Clients that are sent the same answers; `key` tells these from other answers.

    `is_public`, if everybody may read them.
    """

    forms: tuple[Form, ...]
    is_public: bool
    key: bytes

    @classmethod
    def of(cls, forms: tuple[Form, ...], *, is_public: bool) -> Audience:
        """Make one."""
        return cls(forms, is_public, b"".join([form.encode() for form in forms]) + _KEYS[is_public])


_KEYS = b" private", b" public"
PLAIN_ONLY = tuple(Audience.of((Form.PLAIN,), is_public=is_public) for is_public in (False, True))
"""Who is sent the plain form: those who may read, and everybody."""


class Audiences:
    """The audiences of the heads that came lately."""

    def __init__(self, access: AccessFile | None) -> None:
        self._access = access
        self._version = 0
        self._open: dict[bytes, Audience | None] = {}
        self._sealed: dict[bytes, tuple[Audience | None, float]] = {}
        self._key = secrets.token_bytes(32)

    def find(self, rest: bytes, now_s: float) -> Audience | None:
        """Tell which audience a request belongs to; None for one that takes the ordinary way."""
        if self._access is not None and (version := self._access.version) != self._version:
            self._open.clear()
            self._sealed.clear()
            self._version = version
        try:
            return self._open[rest]
        except KeyError:
            pass
        seal = hashlib.blake2b(rest, key=self._key, digest_size=32).digest()
        audience, until_s = self._sealed.get(seal, (None, 0.0))
        return audience if now_s < until_s else self._judge(rest, seal)

    def _judge(self, rest: bytes, seal: bytes) -> Audience | None:
        headers = _headers_in(rest)
        if headers is None:
            _remember(self._sealed, seal, (None, math.inf))
            return None
        is_public = self._access is None or self._access.everybody_may(Permission.READ)
        audience = Audience.of(accepted_forms(headers.get("accept-encoding", "")), is_public=is_public)
        if _SECRET.isdisjoint(headers):
            return _remember(self._open, rest, audience if is_public else None)
        until_s = self._may_read_until_s(headers)
        if not until_s:  # not remembered: it may become right, or be one of many guesses
            return None
        return _remember(self._sealed, seal, (audience, until_s))[0]

    def _may_read_until_s(self, headers: dict[str, str]) -> float:
        """Tell until when credentials are known to be of somebody who may read; 0 if they are not."""
        if self._access is None:
            return math.inf
        try:
            given = credentials_in(headers.get(_API_KEY), headers.get(_AUTHORIZATION, ""))
        except NotAuthenticated:
            return 0.0
        if given is None:
            return math.inf if self._access.everybody_may(Permission.READ) else 0.0
        known = self._access.recall(given)
        return known.until_s if known and known.principal.may(Permission.READ) else 0.0


def _remember(known: dict[bytes, _T], key: bytes, value: _T) -> _T:
    if len(known) >= MAX_HEADS:
        known.clear()
    known[key] = value
    return value


def _headers_in(rest: bytes) -> dict[str, str] | None:
    """Read the headers of a request, by names in lower case; None where it is not of the plainest."""
    if not rest.startswith(_VERSION) or rest.find(_END) != len(rest) - len(_END):
        return None
    headers = dict[str, str]()
    for line in rest[len(_VERSION) : -len(_END)].decode("latin-1").split("\r\n"):
        name, colon, value = line.partition(":")
        name, value = name.lower(), value.strip(" \t")
        if not colon or not value.isascii() or not value.isprintable():
            return None
        if name in headers or name not in _HARMLESS:
            return None
        if name == "connection" and value.lower() != "keep-alive":
            return None
        headers[name] = value
    return headers if "host" in headers else None  # which is an error, as repeating one is
