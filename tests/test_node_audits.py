"""Audits: only the bytes that were asked for pass, and whoever makes up an answer is found out."""

from __future__ import annotations

from typing import Any

import msgpack  # type: ignore[import-untyped]  # it has no types
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashserver_aio.blocks import LEAF_BYTES, BlockDigester, Manifest, Proof, prove
from hashserver_aio.checksums import Algorithm, Checksum, new_hash
from hashserver_aio.nodes.audits import (
    LEAVES,
    Challenge,
    is_passed,
    make_challenge,
    max_answer_bytes,
    packed,
)

SHA3 = Algorithm.SHA3_256
BLOCK = 4 * LEAF_BYTES
SIZES = st.integers(0, 40 * LEAF_BYTES) | st.sampled_from(
    [LEAF_BYTES * n + d for n in (1, 2, 8, 9) for d in (-1, 0, 1)]
)


def buffer_of(size: int, seed: int = 0) -> bytes:
    """Make a buffer in which no two leaves are alike."""
    return bytes([seed % 256]) * 7 + b"".join(n.to_bytes(8, "big") for n in range(-(-size // 8)))[: size - 7]


def told(content: bytes, algorithm: Algorithm = SHA3) -> Manifest:
    """Compute the manifest of a buffer."""
    digester = BlockDigester(algorithm, BLOCK)
    digester.update(content)
    return digester.finish()


def proofs_of(content: bytes, leaves: tuple[int, ...], algorithm: Algorithm = SHA3) -> list[Proof]:
    """Prove leaves of a buffer, as an honest node does."""
    manifest = told(content, algorithm)
    proofs = []
    for leaf in leaves:
        first, length = manifest.block_of(leaf)
        proof = prove(manifest, leaf, content[first : first + length])
        assert proof is not None
        proofs.append(proof)
    return proofs


def challenge_of(content: bytes) -> Challenge:
    """Challenge a node to prove a buffer."""
    return make_challenge(Checksum("ab" * 32), len(content))


CONTENT = buffer_of(20 * LEAF_BYTES - 100)
ROOT = told(CONTENT).root
CHALLENGE = Challenge(Checksum("ab" * 32), len(CONTENT), (0, 2, 7, 19))
PROOFS = proofs_of(CONTENT, CHALLENGE.leaves)
ANSWER = packed(PROOFS)


def passes(answer: bytes, challenge: Challenge = CHALLENGE, root: bytes = ROOT) -> bool:
    """Tell whether an answer passes, for the buffer of these tests."""
    return is_passed(challenge, SHA3, root, answer)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(Algorithm), SIZES)
def test_honest_nodes_pass(algorithm: Algorithm, size: int) -> None:
    """Who has a buffer passes, of whatever size, and its answer is no longer than it may be."""
    content = buffer_of(size) if size > 7 else b"x" * size
    challenge = challenge_of(content)
    answer = packed(proofs_of(content, challenge.leaves, algorithm))
    assert is_passed(challenge, algorithm, told(content, algorithm).root, answer)
    assert len(answer) <= max_answer_bytes(challenge)
    other = Algorithm.SHA_256 if algorithm is SHA3 else SHA3
    assert not is_passed(challenge, other, told(content, algorithm).root, answer)


@settings(deadline=None)
@given(st.integers(0, 2**50))
def test_challenges(size: int) -> None:
    """Leaves are asked for once each, as many as there are up to LEAVES, and each is one of the buffer's."""
    challenge = make_challenge(Checksum("ab" * 32), size)
    assert len(set(challenge.leaves)) == len(challenge.leaves) == min(LEAVES, challenge.leaf_count)
    assert list(challenge.leaves) == sorted(challenge.leaves)
    assert all(0 <= leaf * LEAF_BYTES < size for leaf in challenge.leaves)


def test_every_leaf_is_asked_for() -> None:
    """No leaf is safe from being asked for, the last one neither."""
    asked = {leaf for _ in range(200) for leaf in challenge_of(CONTENT).leaves}
    assert asked == set(range(20))


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(ANSWER) * 8 - 1))
def test_any_bit(bit: int) -> None:
    """An answer with a bit flipped, wherever, is wrong."""
    flipped = bytearray(ANSWER)
    flipped[bit // 8] ^= 1 << bit % 8
    assert not passes(bytes(flipped))


def test_every_bit_around_the_leaves() -> None:
    """So is one with a bit flipped in what frames the leaves, and in the paths."""
    assert passes(ANSWER)
    leaf, small = b"x" * 100, buffer_of(100)
    challenge, root = Challenge(Checksum("ab" * 32), 100, (0,)), told(small).root
    answer = packed(proofs_of(small, (0,)))
    assert len(leaf) < len(answer) < 110 and is_passed(challenge, SHA3, root, answer)
    at = ANSWER.index(CONTENT[-1000:]) + 1000  # the path behind the last leaf
    for whole, begin, against, of in ((answer, 0, challenge, root), (ANSWER, at, CHALLENGE, ROOT)):
        for bit in range(begin * 8, len(whole) * 8):
            flipped = bytearray(whole)
            flipped[bit // 8] ^= 1 << bit % 8
            assert not is_passed(against, SHA3, of, bytes(flipped))


@settings(deadline=None)
@given(st.integers(0, len(ANSWER)))
def test_cut(length: int) -> None:
    """An answer that is cut short, or has something behind it, is wrong."""
    assert passes(ANSWER[:length]) is (length == len(ANSWER))
    assert not passes(ANSWER + ANSWER[: length + 1])


def test_of_another_buffer() -> None:
    """The leaves of another buffer are good for nothing, whoever's they are."""
    other = buffer_of(len(CONTENT), seed=1)
    assert not passes(packed(proofs_of(other, CHALLENGE.leaves)))
    shorter = CONTENT[:-1]
    assert not passes(packed(proofs_of(shorter, CHALLENGE.leaves)))
    assert not passes(ANSWER, root=told(other).root)


def test_old_answers() -> None:
    """An answer to another challenge is none, even if some leaves are the same."""
    for leaves in ((0, 2, 7), (0, 2, 7, 18), (0, 2, 7, 7), (2, 0, 7, 19), (0, 2, 7, 8, 19), ()):
        assert not passes(packed(proofs_of(CONTENT, leaves)))
        assert not leaves or not passes(ANSWER, challenge=CHALLENGE._replace(leaves=leaves))


def test_nodes_of_the_tree() -> None:
    """No part of the tree passes as a leaf, and no path may be longer or shorter than it is."""
    first, *rest = PROOFS
    for path in (first.path[:-1], [*first.path, first.path[0]], [], [first.path[0] + b"\0", *first.path[1:]],
                 [p[:31] for p in first.path], first.path[::-1]):  # fmt: skip
        assert not passes(packed([Proof(first.index, first.leaf, path), *rest]))
    for leaf in (b"", first.leaf[:-1], first.leaf + b"\0", first.path[0] * 2):
        assert not passes(packed([Proof(first.index, leaf, first.path), *rest]))


JSONS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.binary()
    | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=3) | st.integers(0, 9), inner, max_size=3)
    ),
)


@settings(deadline=None)
@given(JSONS)
def test_other_things(value: Any) -> None:
    """Whatever else somebody packs is wrong, and no error."""
    assert not passes(msgpack.packb(value))
    for place in range(3):
        wire = [[proof.index, proof.leaf, proof.path] for proof in PROOFS]
        if value != wire[1][place]:
            wire[1][place] = value
            assert not passes(msgpack.packb(wire))


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes(answer: bytes) -> None:
    """Whatever bytes come are wrong, and no error."""
    assert not passes(answer)


@pytest.mark.parametrize(
    "answer",
    [b"\x91" * 100_000, b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff" * 100,
     b"\x94\xc1",
     msgpack.packb([[True, proof.leaf, proof.path] for proof in PROOFS]),
     msgpack.packb([[float(proof.index), proof.leaf, proof.path] for proof in PROOFS]), b"\xc0" * 10_000_000],
    ids=["deep", "long", "large", "map", "never-used", "true", "floats", "huge"],
)  # fmt: skip
def test_bombs(answer: bytes) -> None:
    """What is deep, or says to be large, is refused before it takes memory."""
    assert not passes(answer)


def test_long_answers() -> None:
    """An answer is as long as it has to be, even if more could be read: no length or number is blown up."""

    def wide(items: list[bytes]) -> bytes:
        return b"\xdd" + len(items).to_bytes(4, "big") + b"".join(items)

    def binary(content: bytes) -> bytes:
        return b"\xc6" + len(content).to_bytes(4, "big") + content

    proofs = PROOFS[:3]
    items = [
        [b"\xcf" + p.index.to_bytes(8, "big"), binary(p.leaf), wide([binary(s) for s in p.path])]
        for p in proofs
    ]
    answer = wide([wide(item) for item in items])
    challenge = CHALLENGE._replace(leaves=CHALLENGE.leaves[:3])
    assert msgpack.unpackb(answer) == msgpack.unpackb(packed(proofs))
    assert passes(packed(proofs), challenge) and not passes(answer, challenge)


def test_true_is_no_number() -> None:
    """A leaf has a number, and what merely equals it is none."""
    content = buffer_of(2 * LEAF_BYTES)
    challenge = Challenge(Checksum("ab" * 32), len(content), (1,))
    (proof,) = proofs_of(content, (1,))
    root = told(content).root
    assert is_passed(challenge, SHA3, root, msgpack.packb([[1, proof.leaf, proof.path]]))
    for one in (True, 1.0):
        assert not is_passed(challenge, SHA3, root, msgpack.packb([[one, proof.leaf, proof.path]]))


def test_empty_buffers() -> None:
    """Of an empty buffer nothing can be asked, and only nothing answers that."""
    challenge = make_challenge(Checksum("ab" * 32), 0)
    nothing = new_hash(SHA3)(b"").digest()
    assert challenge.leaves == () and told(b"").root == nothing
    assert is_passed(challenge, SHA3, nothing, packed([]))
    assert not is_passed(challenge, SHA3, ROOT, packed([]))
    assert not is_passed(challenge, SHA3, nothing, b"") and not is_passed(
        challenge, SHA3, nothing, b"\x91\x90"
    )


def test_large_buffers() -> None:
    """The answer for a buffer of a tebibyte is bounded, too, by a path of 24 hashes."""
    challenge = make_challenge(Checksum("ab" * 32), 2**40)
    proofs = [Proof(leaf, bytes(LEAF_BYTES), [bytes(32)] * 24) for leaf in challenge.leaves]
    answer = packed(proofs)
    assert max_answer_bytes(challenge) - 100 < len(answer) <= max_answer_bytes(challenge) < 2**20
    assert not is_passed(challenge, SHA3, bytes(32), answer)
