"""Signed messages between a server and its nodes: requests, signed over what they ask, of whom, and when.

What is checked is what the library finds to be signed (RFC 9421), and then that nothing is missing there: who
signs chooses what it covers, and so what could be changed on the way.
"""

from __future__ import annotations

import base64
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from http_message_signatures import (
    HTTPMessageSignaturesException,
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    VerifyResult,
    algorithms,
)

from ..errors import BadArgument, BadSignature, Busy
from .keys import KeyPair, parse_id, public_key

GOOD_FOR_S = 60
"""Around the time that it was signed."""

TAG = "hashserver-aio"

TO = "Hashserver-To"

_LABEL = "node"

_COVERED = ("@method", "@path", "@query", "hashserver-to")

_DIGEST = "content-digest"

_MAX_LENGTHS = {"Signature-Input": 512, "Signature": 256, TO: 64, "Content-Digest": 64}
"""Ours are half as long. Who checks them reads no more than this before he knows who signed."""

_SHA256 = re.compile(r"sha-256=:[A-Za-z0-9+/]{43}=:")

_NUMBER = re.compile(r"[1-9][0-9]{0,17}")
"""So it is less than 2**63."""

MAX_REMEMBERED = 100_000
"""Some 15 MB: 800 messages a second for as long as they are good."""


class Message(NamedTuple):
    """A request. `path` and `query` as they are sent, `query` without its `?`.

    `headers` finds a name in whatever case; `items` gives every line.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]


class Signed(NamedTuple):
    """Who signed a message, with which number of his, and when, in whole seconds since 1970."""

    key: bytes
    number: int
    created_s: int


class _Request:
    """A message as the library asks for it. No host is signed: who is spoken to is, in a header."""

    def __init__(self, method: str, path: str, query: str, headers: dict[str, str]) -> None:
        self.method = method
        self.url = f"http://node{path}{'?' if query else ''}{query}"
        self.headers = headers


class _Own(HTTPSignatureKeyResolver):
    """Signs with one key."""

    def __init__(self, pair: KeyPair) -> None:
        self._pair = pair

    def resolve_private_key(self, key_id: str) -> Any:
        """Give the key, whatever it is called."""
        return self._pair.private


class _Named(HTTPSignatureKeyResolver):
    """Takes a key from its id: any may sign, and who may do what is judged by others."""

    def resolve_public_key(self, key_id: str) -> Any:
        """Read the key in its id."""
        return public_key(parse_id(key_id))


class _Verifier(HTTPMessageVerifier):
    """Leaves the time to `check`, which has a clock of its caller's."""

    def validate_created_and_expires(self, sig_input: Any, max_age: Any = None) -> None:
        """Take any time."""


_VERIFIER = _Verifier(signature_algorithm=algorithms.ED25519, key_resolver=_Named())


def headers_for(
    pair: KeyPair,
    to: bytes,
    method: str,
    path: str,
    query: str,
    number: int,
    now_s: float,
    digest: bytes | None,
) -> dict[str, str]:
    """Sign a request: all headers that it needs for that.

    `to`: the key of who is spoken to. `digest`: SHA-256 of the body, None where there is none.
    Raises: BadArgument, where path or query are not what can be sent.
    """
    headers = {TO: to.hex()}
    covered: tuple[str, ...] = _COVERED
    if digest is not None:
        headers["Content-Digest"] = f"sha-256=:{base64.b64encode(digest).decode()}:"
        covered = (*_COVERED, _DIGEST)
    try:
        _check_target(path, query)
        HTTPMessageSigner(signature_algorithm=algorithms.ED25519, key_resolver=_Own(pair)).sign(
            _Request(method, path, query, headers),
            key_id=pair.id,
            created=datetime.fromtimestamp(int(now_s), UTC),
            nonce=str(number),
            label=_LABEL,
            tag=TAG,
            covered_component_ids=covered,
            use_existing_digest=digest is not None,
        )
    except (HTTPMessageSignaturesException, BadSignature) as error:
        raise BadArgument(f"{method} {path[:100]!r} can't be signed: {error}") from None
    return headers


def check(message: Message, own: bytes, now_s: float, *, has_body: bool) -> Signed:
    """Check that a request is signed, by whomever, for who has the key `own`, and now.

    With a body, its Content-Digest (SHA-256) is signed, and nobody has compared it with the body yet.
    Raises: BadSignature.
    """
    headers = _headers_of(message)
    if headers[TO] != own.hex():
        raise BadSignature(f"the message is signed for {headers[TO]}, and this is {own.hex()}")
    if has_body and not _SHA256.fullmatch(headers.get("Content-Digest", "")):
        raise BadSignature("a message with a body needs a signed header Content-Digest: sha-256=:<base64>:")
    _check_target(message.path, message.query)
    signature = _verified(_Request(message.method, message.path, message.query, headers))
    covered = [name.strip('"') for name in signature.covered_components][:-1]  # the last is what covers
    wanted = {*_COVERED, _DIGEST} if "Content-Digest" in headers else {*_COVERED}
    if set(covered) != wanted:
        raise BadSignature(f"the signature covers {' '.join(covered)}, not just {' '.join(sorted(wanted))}")
    return _signed(signature.parameters, now_s)


def _check_target(path: str, query: str) -> None:
    """Keep a path from being read as a host, and either of both from being cut short."""
    if not path.startswith("/") or "?" in path or "#" in path + query:
        raise BadSignature("the path or the query of the message can't be signed")


def _headers_of(message: Message) -> dict[str, str]:
    """Take the headers that matter, each once and not too long."""
    names = {name.lower(): name for name in _MAX_LENGTHS}
    found: dict[str, str] = {}
    for line, value in message.headers.items():
        name = names.get(line.lower())
        if name is None:
            continue
        if name in found or len(value) > _MAX_LENGTHS[name] or not (value.isascii() and value.isprintable()):
            raise BadSignature(f"the header {name} comes twice, or is not what belongs there")
        found[name] = value
    missing = [name for name in ("Signature-Input", "Signature", TO) if name not in found]
    if missing:
        raise BadSignature(f"the message is not signed: it has no header {' and no '.join(missing)}")
    return found


def _verified(request: _Request) -> VerifyResult:
    """Have the library check a signature; whatever it stumbles over is a wrong one."""
    try:
        (signature,) = _VERIFIER.verify(request, max_age=None, expect_tag=TAG)
    except Exception as error:  # what others wrote is read there: nothing that it raises is known to be all
        reason = str(error)[:200] or "it is not of this message"
        raise BadSignature(f"the signature is wrong: {reason}") from None
    return signature


def _signed(parameters: Mapping[str, int | str], now_s: float) -> Signed:
    if set(parameters) != {"created", "keyid", "alg", "nonce", "tag"}:
        raise BadSignature("the signature needs created, keyid, alg, nonce and tag, and nothing else")
    created_s, number = int(parameters["created"]), str(parameters["nonce"])
    off_s = round(now_s - created_s)
    if abs(off_s) > GOOD_FOR_S:
        how = "behind" if off_s > 0 else "ahead of"
        raise BadSignature(f"the clock of the message is {abs(off_s)} s {how} the clock here; set them right")
    if not _NUMBER.fullmatch(number):
        raise BadSignature("the nonce of the signature is not a decimal number")
    return Signed(parse_id(str(parameters["keyid"])), int(number), created_s)


class Numbers:
    """Numbers for messages: microseconds since 1970, each higher than the one before, in one process."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """`clock`: seconds since 1970."""
        self._clock = clock
        self._last = 0

    def next(self) -> int:
        """Give the next number.

        After a clock was set back by more than messages are good for, they begin again there: nobody
        heeds one from before any more, and who remembers it gets as far.
        """
        now = int(self._clock() * 1_000_000)
        is_set_back = self._last - now > GOOD_FOR_S * 1_000_000
        self._last = now if is_set_back else max(now, self._last + 1)
        return self._last


class Replays:
    """What messages came to this process; each is heeded once."""

    def __init__(self, started_s: float) -> None:
        """`started_s`: what was signed before, by the sender's clock, may have been heeded."""
        self._started = int(started_s * 1_000_000)
        self._until_s: OrderedDict[tuple[bytes, int], float] = OrderedDict()

    def take(self, signed: Signed, now_s: float, *, is_reading: bool = False) -> None:
        """Heed a message that was checked; what only reads may have been heeded before the start.

        Raises: BadSignature, if it came before; Busy.
        """
        if signed.number < self._started and not is_reading:
            raise BadSignature("the message was signed before this node started; sign it anew")
        while self._until_s and next(iter(self._until_s.values())) < now_s:
            self._until_s.popitem(last=False)
        message = (signed.key, signed.number)
        if message in self._until_s:
            raise BadSignature("the message came before; sign each one anew")
        if len(self._until_s) >= MAX_REMEMBERED:
            raise Busy("too many messages come; try again in a minute")
        self._until_s[message] = now_s + 2 * GOOD_FOR_S  # then it is too old, however far ahead it was
