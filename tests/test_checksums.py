"""Names of buffers: which texts are one, what is said of the others, and how they are computed."""

from __future__ import annotations

import hashlib
import string
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashserver_aio.checksums import Algorithm, Digester, is_checksum, parse_checksum, parse_checksums
from hashserver_aio.errors import BadChecksum

GOOD = "0123456789abcdef" * 4
WRONG_LENGTH = "Value error, Wrong length"
NON_HEX = "Value error, non-hexadecimal number found in fromhex() arg at position "
NO_STRING = "Input should be a valid string"

HASHES: dict[Algorithm, Callable[[bytes], hashlib._Hash]] = {
    Algorithm.SHA3_256: hashlib.sha3_256,
    Algorithm.SHA_256: hashlib.sha256,
}


def refusal(text: object) -> BadChecksum:
    """Give the error that a text is refused with."""
    with pytest.raises(BadChecksum) as caught:
        parse_checksum(text)
    return caught.value


@given(st.text(string.hexdigits, min_size=64, max_size=64))
def test_64_digits_are_a_checksum(text: str) -> None:
    """64 hexadecimal digits of either case are a checksum, and it is in lower case."""
    assert parse_checksum(text) == text.lower()


@given(st.text(string.hexdigits + "gG -_./\0é\n", max_size=130))
def test_nothing_else_is_a_checksum(text: str) -> None:
    """Whatever is not 64 hexadecimal digits is refused, and never passed on."""
    if len(text) == 64 and set(text) <= set(string.hexdigits):
        assert parse_checksum(text) == text.lower()
    else:
        assert refusal(text).text == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", WRONG_LENGTH),
        ("ab", WRONG_LENGTH),
        ("a" * 63, WRONG_LENGTH),
        ("a" * 65, WRONG_LENGTH),
        ("a" * 128, WRONG_LENGTH),
        ("g" + "a" * 62, WRONG_LENGTH),
        ("g" + "a" * 63, NON_HEX + "0"),
        ("a" * 63 + "g", NON_HEX + "63"),
        ("a" * 63 + "\n", NON_HEX + "63"),
        ("aa" * 31 + "é" + "a", NON_HEX + "62"),
        ("xyz!", NON_HEX + "0"),
        ("abcdeG", NON_HEX + "5"),
        ("\u0660" * 64, NON_HEX + "0"),  # a digit, but no hexadecimal one
    ],
)
def test_reason_of_a_bad_text(text: str, reason: str) -> None:
    """A bad name is refused in the words of hashserver 1.1.0: its length, or where it goes wrong."""
    assert refusal(text).reason == reason


@pytest.mark.parametrize("value", [None, 1, 1.5, True, [], {}, b"a" * 64, [GOOD]])
def test_what_is_no_text(value: object) -> None:
    """What is no text at all is refused as such."""
    assert refusal(value).reason == NO_STRING


def test_long_text_is_not_repeated() -> None:
    """The message does not grow with what a client sends."""
    assert len(str(refusal("x" * 1_000_000))) < 250


@pytest.mark.parametrize("index", [0, 1, 4])
def test_index_of_the_bad_one(index: int) -> None:
    """In a list, the first bad name is told by its index."""
    names: list[object] = [GOOD] * index + ["bad", 17, GOOD]
    with pytest.raises(BadChecksum) as caught:
        parse_checksums(names)
    assert (caught.value.index, caught.value.text) == (index, "bad")


def test_single_name_has_no_index() -> None:
    """A name that is no list's has no index."""
    assert refusal("bad").index is None


def test_list_of_names() -> None:
    """A list is taken in its order, repeated names and all."""
    assert parse_checksums([]) == []
    names = [GOOD.upper(), "f" * 64, GOOD]
    assert parse_checksums(names) == [GOOD, "f" * 64, GOOD]


@pytest.mark.parametrize(
    ("name", "expected"),
    [(GOOD, True), (GOOD.upper(), False), (GOOD + ".zst", False), (GOOD[1:], False), (GOOD + "\n", False)],
)
def test_file_names(name: str, expected: bool) -> None:
    """A file is a buffer's by the very name that the store writes, in lower case."""
    assert is_checksum(name) is expected


@pytest.mark.parametrize("algorithm", Algorithm)
@given(pieces=st.lists(st.binary(max_size=100), max_size=10))
def test_digester(algorithm: Algorithm, pieces: list[bytes]) -> None:
    """However bytes are cut, one pass yields the checksum, the SHA-256 and the size of the whole."""
    whole, digester = b"".join(pieces), Digester(algorithm)
    for number, piece in enumerate(pieces):
        digester.update(memoryview(piece) if number % 2 else piece)
    assert digester.checksum == HASHES[algorithm](whole).hexdigest()
    assert digester.sha256 == hashlib.sha256(whole).digest()
    assert digester.size == len(whole)


@pytest.mark.parametrize("algorithm", Algorithm)
def test_digester_can_go_on(algorithm: Algorithm) -> None:
    """Asking for the checksum does not end the pass."""
    digester = Digester(algorithm)
    digester.update(b"a")
    assert digester.checksum == HASHES[algorithm](b"a").hexdigest()
    digester.update(b"b")
    assert digester.checksum == HASHES[algorithm](b"ab").hexdigest()
