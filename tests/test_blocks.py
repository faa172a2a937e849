"""Blocks and trees: as the definitions have them, however the bytes come."""

from __future__ import annotations

import hashlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashserver_aio.blocks import LEAF_BYTES, BlockDigester, Manifest, is_block_size, prove
from hashserver_aio.blocks.merkle import Root, leaf_hash, levels_of, path_in, root_of_path
from hashserver_aio.checksums import Algorithm, new_hash

from .trees import leads, leaves_of, mth, path

NEW = {Algorithm.SHA3_256: hashlib.sha3_256, Algorithm.SHA_256: hashlib.sha256}

SMALL = LEAF_BYTES * 4
"""A size of blocks that lets a test have many of them."""

EDGES = sorted({max(0, n * SMALL + by) for n in range(4) for by in (-LEAF_BYTES, -1, 0, 1, LEAF_BYTES)})


def body_of(size: int) -> bytes:
    """Make bytes that do not repeat."""
    return random.Random(size).randbytes(size)


def digested(body: bytes, block_size: int, algorithm: Algorithm, cuts: list[int]) -> Manifest:
    """Digest bytes that come in pieces."""
    digester = BlockDigester(algorithm, block_size)
    for begin, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
        digester.update(body[begin:end])
    assert digester.checksum == NEW[algorithm](body).hexdigest()
    return digester.finish()


def blocks_of(body: bytes, block_size: int) -> list[bytes]:
    """Cut a buffer into blocks."""
    return [body[at : at + block_size] for at in range(0, len(body), block_size)]


@pytest.mark.parametrize("algorithm", Algorithm)
@pytest.mark.parametrize("size", EDGES)
def test_manifest(size: int, algorithm: Algorithm) -> None:
    """Digests are those of the blocks, the root is that of the recursive definition, at every edge."""
    body, new = body_of(size), NEW[algorithm]
    manifest = digested(body, SMALL, algorithm, [])
    blocks = blocks_of(body, SMALL)
    assert (manifest.algorithm, manifest.size, manifest.block_size) == (algorithm, size, SMALL)
    assert manifest.sha1s == b"".join(hashlib.sha1(block).digest() for block in blocks)
    assert manifest.digests == b"".join(new(block).digest() for block in blocks)
    assert manifest.roots == b"".join(mth(leaves_of(block), new) for block in blocks)
    assert manifest.root == mth(leaves_of(body), new)
    assert manifest.leaf_count == len(leaves_of(body))


def test_known_answers() -> None:
    """The roots of nothing, of one zero and of three leaves of zeros are those that openssl computed."""
    known = {
        0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        1: "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        2 * LEAF_BYTES + 1: "361da7afbb282ca2079866e0beac66a7d19c20aa35849c95966f15c82b552b6b",
    }
    for size, root in known.items():
        assert digested(b"\0" * size, SMALL, Algorithm.SHA_256, []).root.hex() == root


def test_empty() -> None:
    """A buffer of nothing has no blocks and no leaves; its root is the hash of nothing."""
    nothing = digested(b"", SMALL, Algorithm.SHA3_256, [])
    assert (nothing.sha1s, nothing.digests, nothing.roots, nothing.leaf_count) == (b"", b"", b"", 0)
    assert nothing.root == hashlib.sha3_256().digest()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 5 * SMALL), st.lists(st.integers(0, 5 * SMALL), max_size=8), st.sampled_from([1, 2, 4]))
def test_pieces(size: int, cuts: list[int], leaves: int) -> None:
    """Wherever the pieces end in which bytes come, the manifest is the same; the root whatever the blocks."""
    body, block_size = body_of(size), leaves * LEAF_BYTES
    whole = digested(body, block_size, Algorithm.SHA3_256, [])
    assert digested(body, block_size, Algorithm.SHA3_256, sorted(min(cut, size) for cut in cuts)) == whole
    assert digested(body, SMALL, Algorithm.SHA3_256, []).root == whole.root


@pytest.mark.parametrize("size", [size for size in EDGES if size])
def test_proofs(size: int) -> None:
    """Of every leaf the path is that of the definition, and leads to the root as the definition has it."""
    body = body_of(size)
    manifest, leaves = digested(body, SMALL, Algorithm.SHA3_256, []), leaves_of(body)
    for index, leaf in enumerate(leaves):
        first, length = manifest.block_of(index)
        proof = prove(manifest, index, body[first : first + length])
        assert proof is not None and (proof.index, proof.leaf) == (index, leaf)
        assert proof.path == path(index, leaves)
        assert leads(index, len(leaves), leaf, proof.path) == manifest.root


def test_no_proof_of_other_bytes() -> None:
    """Of bytes that are not the buffer's nothing is proved, be it one bit or one byte too few."""
    body = bytearray(body_of(3 * LEAF_BYTES + 5))
    manifest = digested(bytes(body), SMALL, Algorithm.SHA3_256, [])
    body[-1] ^= 1
    assert prove(manifest, 0, bytes(body)) is None
    body[-1] ^= 1
    assert prove(manifest, 0, bytes(body)) is not None
    assert prove(manifest, 0, bytes(body[:-1])) is None


hashes = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=70)


@given(hashes, st.data())
def test_paths(leaves: list[bytes], data: st.DataObject) -> None:
    """For every size of a tree and every leaf, root and path are those of the definitions."""
    new, index = new_hash(Algorithm.SHA3_256), data.draw(st.integers(0, len(leaves) - 1))
    root, hashed = Root(new), [leaf_hash(new, leaf) for leaf in leaves]
    for each in hashed:
        root.add(each)
    found = path_in(levels_of(new, b"".join(hashed)), index)
    assert (root.digest(), found) == (mth(leaves), path(index, leaves))
    assert root_of_path(new, hashed[index], index, len(leaves), found) == mth(leaves)


@given(hashes, st.data())
def test_wrong_paths(leaves: list[bytes], data: st.DataObject) -> None:
    """Of another leaf, index, count or path the root is another one, or none."""
    new, count = new_hash(Algorithm.SHA3_256), len(leaves)
    index = data.draw(st.integers(0, count - 1))
    leaf, right, root = leaf_hash(new, leaves[index]), path(index, leaves), mth(leaves)

    def leads_there(leaf: bytes, index: int, count: int, path: list[bytes]) -> bool:
        return root_of_path(new, leaf, index, count, path) == root

    assert leads_there(leaf, index, count, right)
    assert not leads_there(b"x" * 32, index, count, right)
    assert not leads_there(leaf, index, count, [*right, b"x" * 32])
    assert not leads_there(leaf, -1, count, right) and not leads_there(leaf, count, count, right)
    if right:
        at = data.draw(st.integers(0, len(right) - 1))
        assert not leads_there(leaf, index, count, right[:at] + right[at + 1 :])
        assert not leads_there(leaf, index, count, [*right[:at], b"x" * 32, *right[at + 1 :]])
        assert not leads_there(leaf, index, count, [*right[:at], right[at][:31], *right[at + 1 :]])
        assert not leads_there(leaf, index ^ 1, count, right) or leaves[index] == leaves[index ^ 1]


@pytest.mark.parametrize(
    ("size", "is_one"),
    [
        (2**16, True),
        (2**21, True),
        (2**26, True),
        (2**15, False),
        (2**27, False),
        (3 * 2**16, False),
        (0, False),
    ],
)
def test_block_sizes(size: int, is_one: bool) -> None:
    """Blocks are whole trees: their size is a power of two, from one leaf to 64 MiB."""
    assert is_block_size(size) == is_one
