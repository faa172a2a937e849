"""Messages that are signed wrongly, or by whoever means ill: each is refused, and nothing else happens."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from hashserver_aio.errors import BadSignature
from hashserver_aio.nodes.keys import KeyPair
from hashserver_aio.nodes.messages import Message, check

from .signing import COVERED, NOW_S, Request, message_of, parameters_of

SERVER, NODE, OTHER = KeyPair.make(), KeyPair.make(), KeyPair.make()
DIGEST = f"sha-256=:{base64.b64encode(hashlib.sha256(b'body').digest()).decode()}:"
WITH_BODY = (*COVERED, "content-digest")
HEADERS = ("Signature", "Signature-Input", "Hashserver-To")


def refuse(message: Message, match: str | None = None, *, has_body: bool = False) -> None:
    """See a message refused; any other error is one of the test's, too."""
    with pytest.raises(BadSignature, match=match) as caught:
        check(message, NODE.public, NOW_S, has_body=has_body)
    assert 10 < len(str(caught.value)) < 600


def good(request: Request = Request()) -> Message:  # noqa: B008  # it is a tuple
    """Sign a request by hand, as it is to be."""
    return message_of(SERVER, NODE.public, request, WITH_BODY if request.digest else COVERED)


def saying(**parameters: str) -> Message:
    """Sign a request by hand, with other parameters."""
    return message_of(SERVER, NODE.public, parameters=parameters_of(SERVER.id, **parameters))


def with_headers(**values: str) -> Message:
    """Take a good message with other headers; "" leaves one out."""
    message = good()
    headers = CIMultiDict(message.headers)
    for name, value in values.items():
        del headers[name.replace("_", "-")]
        if value:
            headers[name.replace("_", "-")] = value
    return message._replace(headers=headers)


@pytest.mark.parametrize(
    "change",
    [
        lambda message: message._replace(method="PUT"),
        lambda message: message._replace(path="/api/node/buffers/ac"),
        lambda message: message._replace(path="/api/node/buffers/%61b"),
        lambda message: message._replace(query="leaves=1"),
    ],
)
def test_changed_on_the_way(change: Callable[[Message], Message]) -> None:
    """Nobody between both can change what is asked."""
    check(good(), NODE.public, NOW_S, has_body=False)
    refuse(change(good()), "wrong")


def test_for_another() -> None:
    """A message to one node is good for no other one, whatever the header says later."""
    refuse(message_of(SERVER, OTHER.public), OTHER.id)
    stolen = message_of(SERVER, OTHER.public)
    headers = CIMultiDict(stolen.headers)
    headers["Hashserver-To"] = NODE.id
    refuse(stolen._replace(headers=headers), "wrong")


def test_by_another() -> None:
    """Who says to be somebody else is not."""
    refuse(message_of(OTHER, NODE.public, parameters=parameters_of(SERVER.id)), "wrong")


@pytest.mark.parametrize("name", HEADERS)
def test_missing_headers(name: str) -> None:
    """Who did not sign is told which header is missing."""
    refuse(with_headers(**{name.replace("-", "_"): ""}), name)


@pytest.mark.parametrize("covered", [(), *(tuple(c for c in COVERED if c != out) for out in COVERED)])
def test_covers_too_little(covered: tuple[str, ...]) -> None:
    """A signature that leaves out something of a message leaves it to whoever is between."""
    refuse(message_of(SERVER, NODE.public, covered=covered), "covers")


@pytest.mark.parametrize(
    "name",
    ["@authority", "@scheme", "@target-uri", "@status", "@unknown", "date", "signature",
     "@path", "hashserver-to",
     "Date", '@query-param";name="a', 'hashserver-to";bs;x="', '@method";req;x="'],
)  # fmt: skip
def test_covers_something_else(name: str) -> None:
    """A signature over what is unknown, twice there, or none of ours, is refused."""
    refuse(message_of(SERVER, NODE.public, covered=(*COVERED, name)))


@pytest.mark.parametrize("name", ["created", "keyid", "alg", "nonce", "tag"])
def test_missing_parameters(name: str) -> None:
    """Whatever a signature leaves out of who, when and which is missed."""
    refuse(saying(**{name: ""}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("created", '"1800000000"'), ("created", "1800000000.5"), ("created", "-1"), ("created", "9" * 15),
        ("created", "9" * 16), ("created", "?1"), ("created", "@1800000000"),
        ("keyid", '""'), ("keyid", '"x"'), ("keyid", f'"{"0" * 63}"'), ("keyid", f'"{"g" * 64}"'),
        ("keyid", "1"), ("keyid", f'"{"f" * 64}"'), ("keyid", ":AAAA:"),
        ("alg", '"hmac-sha256"'), ("alg", '"rsa-v1_5-sha256"'), ("alg", '"ecdsa-p256-sha256"'),
        ("alg", "ed25519"),
        ("nonce", '"0"'), ("nonce", '""'), ("nonce", '"-1"'), ("nonce", '"01"'), ("nonce", '"1e9"'),
        ("nonce", '"1 "'), ("nonce", f'"{"9" * 19}"'), ("nonce", "1800000000500000"),
        ("tag", '"hashserver"'), ("tag", '""'), ("tag", "hashserver-aio"),
        ("expires", "1800000100"), ("other", "1"),
    ],
)  # fmt: skip
def test_bad_parameters(name: str, value: str) -> None:
    """Whatever is no time, key, number or name of an algorithm is none, even if it is signed."""
    refuse(saying(**{name: value}))


def test_two_signatures() -> None:
    """A message is signed once: of two signatures nobody knows which is meant."""
    mine, theirs = good().headers, message_of(OTHER, NODE.public).headers
    second = {name: theirs[name].replace("by-hand", "second") for name in HEADERS}
    refuse(with_headers(**{n.replace("-", "_"): f"{mine[n]}, {second[n]}" for n in HEADERS[:2]}))
    for name in HEADERS:
        headers = CIMultiDict(mine)
        headers.add(name, second[name])
        refuse(good()._replace(headers=headers), "twice")
    same = {name: f"{mine[name]}, {mine[name]}" for name in HEADERS[:2]}
    refuse(with_headers(Signature=same["Signature"], Signature_Input=same["Signature-Input"]))


@pytest.mark.parametrize("digest", ["", "sha-512=:AAAA:", "sha-256=:AAAA:", "x", DIGEST.upper()])
def test_bodies(digest: str) -> None:
    """A body without a signed SHA-256 is nobody's."""
    refuse(good(Request("POST", digest=digest)), "Content-Digest", has_body=True)


def test_digests_are_signed() -> None:
    """A digest that is not covered, or that was changed, is none."""
    request = Request("POST", digest=DIGEST)
    check(good(request), NODE.public, NOW_S, has_body=True)
    refuse(message_of(SERVER, NODE.public, request, COVERED), "covers", has_body=True)
    message = good(request)
    headers = CIMultiDict(message.headers)
    headers["Content-Digest"] = DIGEST.replace(DIGEST[10], "A" if DIGEST[10] != "A" else "B", 1)
    refuse(message._replace(headers=headers), has_body=True)


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize(
    "value",
    ["x", "=", "()", "a=()", "a=:AAAA:", "a=:!:", "a=1", "by-hand", "by-hand=()", "by-hand=::", '"',
     "a=(" * 60, "ä", "\udcff", "\x00", "a\nb", "x" * 100_000, "a=1," * 30, f"by-hand={'9' * 200}",
     "((((((((((", "by-hand=:" + "A" * 88 + ":"],
)  # fmt: skip
def test_garbage(name: str, value: str) -> None:
    """What can't be read is a wrong signature, and no other error."""
    refuse(with_headers(**{name.replace("-", "_"): value}))


@pytest.mark.parametrize(("blanks", "is_read"), [(1, True), (200, True), (400, False)])
def test_long_headers(blanks: int, is_read: bool) -> None:
    """What is longer than any of ours is refused before it is parsed, even if it means the same."""
    message = with_headers(Signature_Input=good().headers["Signature-Input"].replace(" ", " " * blanks, 1))
    if is_read:
        check(message, NODE.public, NOW_S, has_body=False)
    else:
        refuse(message, "belongs")


@settings(deadline=None)
@given(st.sampled_from(HEADERS), st.text(st.characters(codec=None), min_size=1, max_size=300))
def test_any_garbage(name: str, value: str) -> None:
    """Whatever is sent in the place of a signature is refused as one."""
    refuse(with_headers(**{name.replace("-", "_"): value}))


@settings(deadline=None)
@given(st.sampled_from(HEADERS[:2]), st.data())
def test_changed_headers(name: str, data: st.DataObject) -> None:
    """A good signature with a character changed is good for nothing, or says the same as before."""
    message = good()
    value = message.headers[name]
    at = data.draw(st.integers(0, len(value) - 1))
    other = data.draw(st.sampled_from('azAZ09+/=:;,"() -') | st.characters(codec="latin-1"))
    changed = value[:at] + other + value[at + 1 :]
    headers = CIMultiDict(message.headers)
    headers[name] = changed
    try:
        signed = check(message._replace(headers=headers), NODE.public, NOW_S, has_body=False)
    except BadSignature:
        return
    assert signed == check(message, NODE.public, NOW_S, has_body=False)
