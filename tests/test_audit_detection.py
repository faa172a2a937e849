"""How surely audits find a loss, with seeded chance; and the simulation that `docs/audits.rst` quotes."""

from __future__ import annotations

import importlib.util
import math
import random
import sys
from pathlib import Path
from types import ModuleType

import pytest

from hashserver_aio.blocks import LEAF_BYTES, BlockDigester, Proof, prove
from hashserver_aio.checksums import Algorithm, Checksum
from hashserver_aio.nodes import audits
from hashserver_aio.nodes.audits import is_passed, make_challenge, packed

SCRIPT = Path(__file__).parent.parent / "scripts" / "simulate_audits.py"
NAME = Checksum("ab" * 32)


@pytest.fixture(autouse=True)
def seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have challenges drawn by chance that is the same each time."""
    monkeypatch.setattr(audits, "_RANDOM", random.Random(1))


def exact(lost: int, leaves: int, k: int) -> float:
    """Tell how likely k leaves, none of them twice, meet one that is lost."""
    return 1 - math.comb(leaves - lost, k) / math.comb(leaves, k)


@pytest.mark.parametrize("k", [1, 4, 8, 16])
@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5])
def test_formula(k: int, fraction: float) -> None:
    """k leaves find that a fraction f is lost with a probability of 1-(1-f)^k, as good as."""
    leaves, trials = 1600, 10_000
    lost = set(range(int(leaves * fraction)))
    found = sum(
        not lost.isdisjoint(make_challenge(NAME, leaves * LEAF_BYTES, k).leaves) for _ in range(trials)
    )
    formula = 1 - (1 - fraction) ** k
    deviation = math.sqrt(formula * (1 - formula) / trials)
    assert abs(found / trials - formula) < 4 * deviation
    assert formula <= exact(len(lost), leaves, k) + 1e-12 < formula + 0.01  # never less than promised


def test_no_leaf_twice() -> None:
    """Where few are lost of few, audits find it sooner than the formula says, as none is asked for twice."""
    assert exact(1, 16, 8) == 0.5 > 1 - (1 - 1 / 16) ** 8
    lost = sum(3 in make_challenge(NAME, 16 * LEAF_BYTES, 8).leaves for _ in range(4000))
    assert abs(lost - 2000) < 4 * math.sqrt(1000)


def test_with_bytes() -> None:
    """Who lost a tenth, and sends zeros for it, fails as often as it is asked for that, and only then."""
    leaves, trials = 40, 500
    content = random.Random(2).randbytes(leaves * LEAF_BYTES)
    digester = BlockDigester(Algorithm.SHA_256, 64 * LEAF_BYTES)
    digester.update(content)
    manifest = digester.finish()
    proofs = [prove(manifest, leaf, content) for leaf in range(leaves)]
    lost = set(random.Random(3).sample(range(leaves), leaves // 10))
    failed = 0
    for _ in range(trials):
        challenge = make_challenge(NAME, len(content))
        told = [proof for leaf in challenge.leaves if (proof := proofs[leaf]) is not None]
        told = [Proof(p.index, bytes(LEAF_BYTES), p.path) if p.index in lost else p for p in told]
        passed = is_passed(challenge, Algorithm.SHA_256, manifest.root, packed(told))
        assert passed is lost.isdisjoint(challenge.leaves)
        failed += not passed
    expected = exact(len(lost), leaves, audits.LEAVES)
    assert abs(failed / trials - expected) < 4 * math.sqrt(expected * (1 - expected) / trials)


@pytest.fixture
def simulation() -> ModuleType:
    """Load the simulation."""
    spec = importlib.util.spec_from_file_location("simulate_audits", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_simulation(simulation: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """The simulation tells all that the documentation quotes, and no placement misses its round."""
    rng, day_s = random.Random(4), 86_400.0
    nodes = simulation.fleet(20, 1000, day_s, rng)
    audited = simulation.rounds(nodes, day_s, rng)
    assert 1000 <= audited <= 1500
    assert all(node.due[0][0] >= simulation.ROUNDS * day_s for node in nodes)
    simulation.detections(nodes[:5], day_s, rng)
    told = capsys.readouterr().out
    assert told.count("1 % of the leaves of each") == len(simulation.SIZES) * len(simulation.KS)
    simulation.Told("t", ("a",), [("b",)]).print()
    assert simulation.cost(2**17, 1, 100.0)[3] == "64"


def test_times_to_detection(simulation: ModuleType) -> None:
    """What is gone is noticed within the interval, and dead within an eighth of another one."""
    rng, day_s = random.Random(5), 86_400.0
    nodes = simulation.fleet(40, 4000, day_s, rng)
    simulation.rounds(nodes, day_s, rng)
    for loss in ("placements", "all"):
        for node in nodes:
            lossy = simulation.damaged(node, 2**20, loss, rng)
            found = simulation.found(lossy, 2**20, audits.LEAVES, day_s, rng)
            assert found.first_s is not None and found.first_s <= day_s
            assert found.all_s is not None and found.all_s <= day_s * 9 / 8
            assert found.dead == 1.0
