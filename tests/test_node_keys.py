"""Keys of servers and nodes: made once, kept whole, and proof of who one is."""

from __future__ import annotations

import errno
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from hashserver_aio.errors import BadArgument, CannotStart
from hashserver_aio.nodes.keys import KEY_BYTES, KeyPair, identity_text, is_signed, parse_id

SECRET = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PEM = b"""-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
"""
"""Of RFC 8032 section 7.1, TEST 1."""


def test_made_once(tmp_path: Path) -> None:
    """A key that was made is there at the next start, and only its owner may read it."""
    path = tmp_path / "node.pem"
    made = KeyPair.load_or_make(path)
    assert KeyPair.load_or_make(path).id == made.id == made.public.hex()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["node.pem"]


@pytest.mark.parametrize(("mode", "is_told"), [(0o600, False), (0o640, False), (0o644, True)])
def test_open_to_all(tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, is_told: bool) -> None:
    """A key that everybody may read is taken as it is, and its owner is warned."""
    path = tmp_path / "node.pem"
    path.write_bytes(PEM)
    path.chmod(mode)
    assert KeyPair.load_or_make(path).private.private_bytes_raw() == SECRET
    assert (str(path) in caplog.text) is is_told


@pytest.mark.parametrize("has_links", [True, False])
def test_made_by_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool) -> None:
    """Who finds another's key in the place of the one it made takes that one."""
    path = tmp_path / "node.pem"
    theirs = KeyPair.make()

    def link(scratch: str, to: Path) -> None:
        if has_links:
            to.write_bytes(theirs.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            raise FileExistsError(errno.EEXIST, "exists")
        raise PermissionError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", link)
    assert (KeyPair.load_or_make(path).id == theirs.id) is has_links
    assert [each.name for each in tmp_path.iterdir()] == ["node.pem"]


def test_made_at_once(tmp_path: Path) -> None:
    """All who start at once have the same key."""
    with ThreadPoolExecutor(8) as threads:
        for number in range(20):
            pairs = list(threads.map(KeyPair.load_or_make, [tmp_path / f"{number}.pem"] * 8))
            assert len({pair.id for pair in pairs}) == 1
    assert len(list(tmp_path.iterdir())) == 20


def test_read(tmp_path: Path) -> None:
    """A key that another program wrote is read, and signs as RFC 8032 says."""
    path = tmp_path / "node.pem"
    path.write_bytes(PEM)
    pair = KeyPair.load_or_make(path)
    assert pair.private.private_bytes_raw() == SECRET
    assert pair.id == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert pair.sign(b"").hex().startswith("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155")
    assert SECRET.hex() not in repr(pair) and pair.id in repr(pair)


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", PEM[:70], PEM.replace(b"MC4", b"MC5"), b"\xff" * 100_000]
)
def test_no_key(tmp_path: Path, content: bytes) -> None:
    """What is no key is left alone, and whoever starts is told which file it is."""
    path = tmp_path / "node.pem"
    path.write_bytes(content)
    with pytest.raises(CannotStart, match=r"node\.pem"):
        KeyPair.load_or_make(path)
    assert path.read_bytes() == content


def test_other_keys(tmp_path: Path) -> None:
    """A key of another kind, or with a password, is refused as such."""
    path = tmp_path / "node.pem"
    other = generate_private_key(SECP256R1())
    path.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(CannotStart, match="no Ed25519 key"):
        KeyPair.load_or_make(path)
    locked = BestAvailableEncryption(b"password")
    path.write_bytes(KeyPair.make().private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))
    with pytest.raises(CannotStart, match="without a password"):
        KeyPair.load_or_make(path)


def test_no_place(tmp_path: Path) -> None:
    """Where no key can be made or read, it is said where that is."""
    with pytest.raises(CannotStart, match="absent"):
        KeyPair.load_or_make(tmp_path / "absent" / "node.pem")
    with pytest.raises(CannotStart, match="directory"):
        KeyPair.load_or_make(tmp_path)


def test_nothing_is_left_of_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fails leaves no half of a key behind, under whatever name."""

    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(CannotStart, match="no space"):
        KeyPair.load_or_make(tmp_path / "node.pem")
    assert list(tmp_path.iterdir()) == []


def test_signed() -> None:
    """A signature is of one key and of these bytes."""
    pair, other = KeyPair.make(), KeyPair.make()
    signature = pair.sign(b"content")
    assert is_signed(pair.public, signature, b"content")
    assert not is_signed(other.public, signature, b"content")
    assert not is_signed(pair.public, signature, b"Content")
    assert not is_signed(pair.public, signature[:-1], b"content")
    assert not is_signed(pair.public, b"", b"content")
    for key in (b"", pair.public[:-1], pair.public + b"\0", bytes(KEY_BYTES), b"\xff" * KEY_BYTES):
        assert not is_signed(key, signature, b"content")


def test_ids() -> None:
    """An id is 64 hexadecimal digits, and nothing that looks like them."""
    pair = KeyPair.make()
    assert parse_id(pair.id) == parse_id(pair.id.upper()) == pair.public
    for text in (
        "",
        pair.id[:-1],
        pair.id + "0",
        " " + pair.id[1:],
        pair.id[:-1] + "g",
        pair.id[:-1] + "\n",
        "\u0660" * 64,
    ):
        with pytest.raises(BadArgument):
            parse_id(text)


def test_identity() -> None:
    """What proves who a node is holds for one server and one nonce."""
    assert identity_text(b"s" * 32, b"n" * 16) == b"hashserver-aio identity\n" + b"s" * 32 + b"n" * 16


def test_secret() -> None:
    """A secret is the same for a purpose each time, and for no other key or purpose."""
    pair, other = KeyPair.make(), KeyPair.make()
    assert pair.secret(b"a") == KeyPair(pair.private).secret(b"a") and len(pair.secret(b"a")) == 32
    assert len({pair.secret(b"a"), pair.secret(b"b"), other.secret(b"a"), pair.sign(b"a")}) == 4
