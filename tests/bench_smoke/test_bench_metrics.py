"""Each metric against numbers worked out by hand."""

import math

import pytest

from anamnos.bench import metrics
from anamnos.bench.limits import Limit
from anamnos.bench.timing import Durations, PairedEmbedder, TimedEmbedder
from anamnos.testing import FakeEmbedder

RANKED = ["x", "b", "y", "a", "z"]
GOLD = {"a", "b", "c"}


@pytest.mark.parametrize(("k", "expected"), [(1, 0.0), (2, 1 / 3), (4, 2 / 3), (50, 2 / 3)])
def test_recall_frac_is_the_share_of_the_gold_found(k: int, expected: float) -> None:
    assert metrics.recall_frac(RANKED, GOLD, k) == pytest.approx(expected)


@pytest.mark.parametrize(("k", "some", "every"), [(1, 0.0, 0.0), (2, 1.0, 0.0), (4, 1.0, 1.0)])
def test_recall_any_and_recall_all(k: int, some: float, every: float) -> None:
    assert metrics.recall_any(RANKED, {"a", "b"}, k) == some
    assert metrics.recall_all(RANKED, {"a", "b"}, k) == every


def test_reciprocal_rank_is_that_of_the_first_right_answer() -> None:
    assert metrics.reciprocal_rank(RANKED, GOLD) == 0.5
    assert metrics.reciprocal_rank(RANKED, {"q"}) == 0.0


def test_ndcg_is_the_standard_form() -> None:
    gain = 1 / math.log2(3) + 1 / math.log2(5)
    ideal = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    assert metrics.ndcg(RANKED, GOLD, 10) == pytest.approx(gain / ideal)
    assert metrics.ndcg(["x", "a"], {"a"}, 10) == pytest.approx(0.631, abs=1e-3)
    assert metrics.ndcg(["a", "b"], {"a", "b", "c"}, 2) == 1.0  # no more than k can be right


def test_hit_looks_at_the_first_only() -> None:
    assert metrics.hit(["a"], GOLD) == 1.0
    assert metrics.hit(["x", "a"], GOLD) == 0.0
    assert metrics.hit([], GOLD) == 0.0


def test_percentiles_are_interpolated_and_in_ms() -> None:
    durations = Durations([0.001 * i for i in range(1, 101)])
    assert durations.summary("add_") == {"add_p50_ms": 50.5, "add_p95_ms": 95.05}


@pytest.mark.parametrize(("rule", "measured", "kept"), [("at least", 2.0, True), ("at most", 2.1, False)])
def test_a_limit_is_kept_or_not(rule: str, measured: float, kept: bool) -> None:
    assert Limit("it", rule, 2.0, measured).kept is kept  # type: ignore[arg-type]


def test_watched_embedders_give_what_the_embedder_gives() -> None:
    inner = FakeEmbedder()
    expected = inner.embed(["one", "two"])
    timed, paired = TimedEmbedder(inner), PairedEmbedder(inner)
    assert (timed.embed(["one", "two"]) == expected).all()
    assert (paired.embed(["one", "two"]) == expected).all()
    assert (timed.id, timed.dim, timed.texts) == (inner.id, inner.dim, 2)
    assert timed.seconds > 0
    assert min(paired.inside_s, paired.bare_s) > 0
