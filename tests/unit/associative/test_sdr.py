"""SDRs: the laws of their accuracy in exact numbers, and the filter of what was seen."""

import itertools
from typing import Any

import numpy as np
import pytest

from anamnos.associative import sdr
from anamnos.associative.arrays import digest
from anamnos.associative.sdr import SdrFilter, SdrFilterSpec
from anamnos.errors import InvalidInput
from anamnos.testing.associative_contract import AssociativeContract


def random_bits(rng: np.random.Generator, count: int, length: int, active: int) -> Any:
    order = rng.permuted(np.tile(np.arange(length), (count, 1)), axis=1)[:, :active]
    bits = np.zeros((count, length), dtype=np.uint8)
    np.put_along_axis(bits, order, np.uint8(1), axis=1)
    return bits


class TestSdrFilter(AssociativeContract):
    system = "sdr-filter"
    settings = {"length": 512, "active": 20, "error": 1e-6}
    small = {"unions": 3}

    def keys(self, rng: np.random.Generator, count: int) -> list[Any]:
        return list(random_bits(rng, count, 512, 20))

    def noisy(self, rng: np.random.Generator, key: Any) -> Any:
        cue = key.copy()
        cue[rng.choice(np.flatnonzero(key), 6, replace=False)] = 0
        cue[rng.choice(np.flatnonzero(key == 0), 6, replace=False)] = 1
        return cue


@pytest.mark.parametrize(
    ("n", "a", "s", "theta", "expected"),
    [
        (10_000, 300, 24, 12, "8.3758e-13"),
        (10_000, 64, 24, 12, "4.0416e-21"),
        (2_000, 40, 20, 10, "4.9436e-13"),
        (2_048, 40, 20, 12, "5.7728e-17"),
        (2_048, 40, 40, 20, "2.4913e-26"),
        (100_000, 2_000, 6, 6, "6.3531e-11"),
        (100_000, 2_000, 8, 8, "2.5251e-14"),
        (100_000, 2_000, 10, 10, "1.0016e-17"),
        (100_000, 2_000, 12, 6, "5.2939e-08"),
        (100_000, 2_000, 16, 8, "2.8172e-10"),
        (100_000, 2_000, 20, 10, "1.5419e-12"),
        (100_000, 2_000, 24, 12, "8.5869e-15"),
        (100_000, 2_000, 40, 10, "4.9154e-09"),  # two patterns of 20 synapses each on one segment
        (100_000, 2_000, 80, 10, "4.6257e-06"),  # four
    ],
)
def test_published_false_positives(n: int, a: int, s: int, theta: int, expected: str) -> None:
    assert f"{sdr.false_positive(n, a, s, theta):.4e}" == expected


def test_a_segment_of_several_patterns_has_all_their_synapses() -> None:
    assert f"{sdr.union_false_positive(100_000, 2_000, 20, 10, 2):.4e}" == "4.9154e-09"
    assert sdr.any_false_positive(1e-12, 1_000) == pytest.approx(1e-9)
    assert sdr.any_false_positive(1.0, 2) == 1


@pytest.mark.parametrize(
    ("items", "expected"), [(10, "1.30e-30"), (20, "3.37e-20"), (40, "3.01e-11"), (100, "2.50e-03")]
)
def test_published_unions(items: int, expected: str) -> None:
    assert f"{sdr.union_contains(2_048, 40, items):.2e}" == expected


def test_logarithms_agree_with_whole_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [(10_000, 300, 24, 12), (2_048, 40, 40, 20), (200, 20, 10, 3), (30, 20, 15, 9)]
    exact = [sdr.false_positive(*case) for case in cases]
    monkeypatch.setattr(sdr, "_EXACT_BELOW", 0)
    assert [sdr.false_positive(*case) for case in cases] == pytest.approx(exact, rel=1e-9)


def test_every_sdr_of_a_small_field_counts() -> None:
    matches = [len({0, 1, 2, 3} & set(on)) >= 2 for on in itertools.combinations(range(9), 3)]
    assert sdr.false_positive(9, 3, 4, 2) == pytest.approx(np.mean(matches))


def test_random_sdrs_match_as_often_as_the_law_says() -> None:
    draws = 100_000
    shared = np.random.default_rng(0).permuted(np.tile(np.arange(200), (draws, 1)), axis=1)[:, :20] < 10
    expected = sdr.false_positive(200, 20, 10, 3)
    error = np.sqrt(expected * (1 - expected) / draws)
    assert (shared.sum(axis=1) >= 3).mean() == pytest.approx(expected, abs=3 * error)


def test_thresholds_at_the_ends() -> None:
    assert sdr.false_positive(100, 10, 5, 0) == 1
    assert sdr.false_positive(100, 10, 5, 6) == 0
    assert sdr.false_positive(10, 10, 5, 5) == 1
    assert (sdr.missed(5, 0, 0.5), sdr.missed(5, 6, 0.0), sdr.missed(5, 5, 0.0)) == (0, 1, 0)
    assert (sdr.missed_of(20, 10, 3, 20), sdr.missed_of(20, 10, 0, 20), sdr.missed_of(20, 10, 10, 0)) == (1, 0, 0)


def test_missed_matches_by_hand() -> None:
    assert sdr.missed(3, 2, 0.5) == pytest.approx(0.5)  # none or one of three kept
    assert sdr.missed_of(4, 2, 2, 1) == pytest.approx(0.5)  # the lost one is among two of four
    lost = np.random.default_rng(1).random((20_000, 20)) < 0.3
    assert sdr.missed(20, 14, 0.3) == pytest.approx(((~lost).sum(axis=1) < 14).mean(), abs=0.01)


def test_the_best_threshold_has_the_fewest_errors() -> None:
    theta = sdr.best_theta(2_048, 40, 20, 0.3)
    errors = {t: sdr.false_positive(2_048, 40, 20, t) + sdr.missed(20, t, 0.3) for t in range(1, 21)}
    assert errors[theta] == min(errors.values())
    assert sdr.best_theta(2_048, 40, 20, 0.3, patterns=20) > theta  # more chance matches: be stricter


@pytest.mark.parametrize(("n", "a", "s", "theta"), [(10, 11, 5, 2), (10, 5, 11, 2), (10, 5, 5, -1), (0, 1, 1, 1)])
def test_impossible_segments_are_refused(n: int, a: int, s: int, theta: int) -> None:
    with pytest.raises(InvalidInput):
        sdr.false_positive(n, a, s, theta)


@pytest.mark.parametrize("changed", [{"error": 1.0}, {"error": 0}, {"active": 512}, {"unions": 0}])
def test_impossible_filters_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        SdrFilterSpec(**{"length": 512, "active": 20, **changed})


def filled(count: int, **settings: Any) -> tuple[SdrFilter, Any]:
    memory, keys = SdrFilter(SdrFilterSpec(**settings)), random_bits(np.random.default_rng(0), count, 512, 20)
    for number, key in enumerate(keys):
        memory.write(key, number)
    return memory, keys


def test_unions_keep_the_stated_bound() -> None:
    bound = 0.01
    memory, keys = filled(200, length=512, active=20, error=bound)
    assert all(memory.contains(key) for key in keys)
    unions = len(memory.state_dict()["starts"])
    assert unions == pytest.approx(200 / sdr.union_capacity(512, 20, bound), abs=1)
    wrong = np.mean([memory.contains(new) for new in random_bits(np.random.default_rng(9), 3_000, 512, 20)])
    assert wrong <= memory.load().expected_error + 3 * np.sqrt(unions * bound / 3_000)
    assert memory.load().expected_error <= unions * bound


def test_similarity_is_graded() -> None:
    memory, keys = filled(10, length=512, active=20)
    cue, on = keys[3].copy(), np.flatnonzero(keys[3])
    cue[on[:5]] = 0
    cue[np.flatnonzero(keys.sum(axis=0) == 0)[:5]] = 1
    assert memory.familiarity(cue) == 0.75
    assert not memory.contains(cue)
    assert (memory.read(cue)[0].value, memory.read(cue)[0].score) == (3, 0.75)


def test_unions_passed_over_hold_nothing_better() -> None:
    memory, keys = filled(120, length=512, active=20, error=1e-6)
    shared = keys[::7] @ keys.T
    for cue, counts in zip(keys[::7], shared, strict=True):
        best = np.sort(counts)[::-1][:5] / 20
        assert [recall.score for recall in memory.read(cue, k=5)] == pytest.approx(best)


def test_forgetting_makes_the_unions_again() -> None:
    memory, keys = filled(60, length=512, active=20, error=1e-6)
    for number in (0, 17, 40):
        assert memory.forget(key=keys[number]).exact
    fresh = SdrFilter(memory.spec)
    for number in sorted({*range(60)} - {0, 17, 40}):
        fresh.write(keys[number], number)
    assert digest(fresh.state_dict()) == digest(memory.state_dict())
    assert not memory.contains(keys[17])


def test_a_key_must_have_the_stated_bits_and_a_cue_at_least_one() -> None:
    memory, keys = filled(2, length=512, active=20)
    with pytest.raises(InvalidInput, match="20 bits on"):
        memory.write(np.eye(1, 512, dtype=np.uint8)[0])
    with pytest.raises(InvalidInput, match="no bit on"):
        memory.familiarity(np.zeros(512, dtype=np.uint8))
    assert memory.familiarity(np.where(np.cumsum(keys[0]) <= 1, keys[0], 0)) == 1  # its first bit alone
