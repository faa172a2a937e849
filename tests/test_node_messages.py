"""Signed messages: what is signed is what RFC 9421 says, and a good one is heeded once."""

from __future__ import annotations

import base64
import hashlib
import re
from types import SimpleNamespace

import pytest
from http_message_signatures import HTTPMessageVerifier, MappingKeyResolver, algorithms
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from hashserver_aio.errors import BadArgument, BadSignature, Busy
from hashserver_aio.nodes import messages
from hashserver_aio.nodes.keys import KeyPair, is_signed, public_key
from hashserver_aio.nodes.messages import (
    GOOD_FOR_S,
    Message,
    Numbers,
    Replays,
    Signed,
    check,
    headers_for,
)

from .signing import COVERED, NOW_S, NUMBER, Request, base_of, message_of, parameters_of

SERVER, NODE = KeyPair.make(), KeyPair.make()
BODY = hashlib.sha256(b"body").digest()
DIGEST = f"sha-256=:{base64.b64encode(BODY).decode()}:"
SIGNED = Signed(SERVER.public, NUMBER, int(NOW_S))

RFC_PARAMETERS = (
    '("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473'
    ';keyid="test-key-ed25519"'
)
RFC_KEY = base64.b64decode("JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=")
RFC_SIGNATURE = "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw=="


def sent(path: str = "/a", query: str = "", digest: bytes | None = None) -> Message:
    """Sign a request of the server's for the node."""
    headers = headers_for(SERVER, NODE.public, "GET", path, query, NUMBER, NOW_S, digest)
    return Message("GET", path, query, CIMultiDict(headers))


def test_vector_of_the_rfc() -> None:
    """The signature of RFC 9421 B.2.6 is good for the library, and for our own check."""
    headers = {
        "Date": "Tue, 20 Apr 2021 02:07:55 GMT",
        "Content-Type": "application/json",
        "Content-Length": "18",
        "Signature-Input": f"sig-b26={RFC_PARAMETERS}",
        "Signature": f"sig-b26=:{RFC_SIGNATURE}:",
    }
    base = (
        '"date": Tue, 20 Apr 2021 02:07:55 GMT\n"@method": POST\n"@path": /foo\n"@authority": example.com\n'
        f'"content-type": application/json\n"content-length": 18\n"@signature-params": {RFC_PARAMETERS}'
    )
    assert is_signed(RFC_KEY, base64.b64decode(RFC_SIGNATURE), base.encode())
    url = "https://example.com/foo?param=Value&Pet=dog"
    request = SimpleNamespace(method="POST", url=url, headers=headers)
    keys = {"test-key-ed25519": public_key(RFC_KEY)}
    resolver = MappingKeyResolver(public_keys=keys, private_keys={})  # type: ignore[arg-type]
    verifier = HTTPMessageVerifier(signature_algorithm=algorithms.ED25519, key_resolver=resolver)
    verifier.validate_created_and_expires = lambda *_, **__: None  # type: ignore[method-assign]  # of 2021
    (result,) = verifier.verify(request, max_age=None)
    assert result.parameters["keyid"] == "test-key-ed25519"


@pytest.mark.parametrize("query", ["", "nonce=0f", "a=%C3%A4&b=+%20", "?"])
@pytest.mark.parametrize("digest", [None, BODY])
def test_signed_as_the_rfc_says(query: str, digest: bytes | None) -> None:
    """What is signed is, to the letter, what RFC 9421 makes of the request; an empty query is a `?`."""
    headers = headers_for(SERVER, NODE.public, "PUT", "/a/%62", query, NUMBER, NOW_S, digest)
    assert headers.get("Content-Digest") == (None if digest is None else DIGEST)
    covered = COVERED if digest is None else (*COVERED, "content-digest")
    request = Request("PUT", "/a/%62", query, DIGEST)
    base = base_of(request, NODE.public, covered, parameters_of(SERVER.id))
    signature = re.fullmatch(r"node=:(.*):", headers["Signature"])
    assert signature is not None
    assert is_signed(SERVER.public, base64.b64decode(signature[1]), base)
    assert set(headers) - {"Content-Digest"} == {"Signature-Input", "Signature", "Hashserver-To"}


@pytest.mark.parametrize("query", ["", "leaves=1,2", "a=%C3%A4&b=+%20", "?"])
@pytest.mark.parametrize("digest", ["", DIGEST])
def test_read_as_the_rfc_says(query: str, digest: str) -> None:
    """A message that another program signed as RFC 9421 says is taken, in whatever order it lists things."""
    covered = COVERED if not digest else ("content-digest", *reversed(COVERED))
    request = Request("PUT", "//a/b", query, digest)
    message = message_of(SERVER, NODE.public, request, covered)
    assert check(message, NODE.public, NOW_S, has_body=bool(digest)) == SIGNED


@settings(deadline=None)
@given(
    st.sampled_from(["GET", "PUT", "DELETE"]), st.text("ab/%2F", max_size=9), st.text("ab=&?/%20", max_size=9)
)
def test_both_ways(method: str, path: str, query: str) -> None:
    """Whatever can be signed is found to be signed; what can't is refused at once."""
    path = f"/{path}"
    try:
        headers = headers_for(SERVER, NODE.public, method, path, query, NUMBER, NOW_S, None)
    except BadArgument:
        assert re.search("%(?![0-9A-F]{2})", path + " " + query)
        return
    message = Message(method, path, query, CIMultiDict(headers))
    assert check(message, NODE.public, NOW_S, has_body=False) == SIGNED


@pytest.mark.parametrize("path", ["", "a", "http://host/a", "/a?b", "/a#b", "/ä", "/a b", "/a\n"])
def test_paths(path: str) -> None:
    """What is no path is neither signed nor found to be signed."""
    with pytest.raises(BadArgument):
        headers_for(SERVER, NODE.public, "GET", path, "", NUMBER, NOW_S, None)
    with pytest.raises(BadSignature):
        check(sent()._replace(path=path), NODE.public, NOW_S, has_body=False)


@pytest.mark.parametrize("off_s", [-GOOD_FOR_S, 0, GOOD_FOR_S])
def test_times(off_s: int) -> None:
    """A message is good around the time that it was signed, and who comes too late is told by how much."""
    now_s = int(NOW_S) + off_s
    assert check(sent(), NODE.public, now_s, has_body=False) == SIGNED
    beyond_s = now_s + (40 if off_s > 0 else -40)
    if off_s:
        how = "100 s behind" if off_s > 0 else "100 s ahead of"
        with pytest.raises(BadSignature, match=how):
            check(sent(), NODE.public, beyond_s, has_body=False)


def test_numbers_rise() -> None:
    """Numbers are the time, and rise where it stands still, or was set back a little."""
    now = [1.0]
    numbers = Numbers(lambda: now[0])
    assert [numbers.next() for _ in range(3)] == [1_000_000, 1_000_001, 1_000_002]
    now[0] = 100.0
    assert numbers.next() == 100_000_000
    now[0] = 50.0
    assert numbers.next() == 100_000_001


def test_numbers_follow_a_clock_that_was_wrong() -> None:
    """After a clock was far ahead and is set right, messages count from the time again."""
    now = [1e9 + GOOD_FOR_S + 1]
    numbers = Numbers(lambda: now[0])
    numbers.next()
    now[0] = 1e9
    assert numbers.next() == 10**15


def test_replays() -> None:
    """A message is heeded once, for as long as it is good, and none from before the start."""
    replays = Replays(NOW_S - 1)
    replays.take(SIGNED, NOW_S)
    replays.take(SIGNED._replace(number=NUMBER + 1), NOW_S)
    replays.take(SIGNED._replace(key=NODE.public), NOW_S)
    for late_s in (0, 2 * GOOD_FOR_S):
        with pytest.raises(BadSignature, match="before"):
            replays.take(SIGNED, NOW_S + late_s)
    with pytest.raises(BadSignature, match="started"):
        replays.take(SIGNED._replace(number=NUMBER - 1_000_001), NOW_S)


def test_replays_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many are remembered and no more; when those are too old to be good, there is room again."""
    monkeypatch.setattr(messages, "MAX_REMEMBERED", 2)
    replays = Replays(0)
    for number in (1, 2):
        replays.take(SIGNED._replace(number=number), NOW_S)
    with pytest.raises(Busy):
        replays.take(SIGNED, NOW_S)
    later_s = NOW_S + 2 * GOOD_FOR_S + 1
    replays.take(SIGNED, later_s)
    replays.take(SIGNED._replace(number=3), later_s)
    with pytest.raises(Busy):
        replays.take(SIGNED._replace(number=4), later_s)
