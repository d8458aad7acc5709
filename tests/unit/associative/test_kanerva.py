"""Sparse distributed memory: its counters, its theory, and the laws of an associative memory."""

from typing import Any

import numpy as np
import pytest

from anamnos.associative.kanerva import (
    KanervaMemory,
    KanervaSpec,
    pack,
    radius,
    read_error,
    sdm_capacity,
    settled_error,
    shared_circle,
    unpack,
)
from anamnos.errors import InvalidInput
from anamnos.testing.associative_contract import AssociativeContract


def words(rng: np.random.Generator, count: int, length: int = 256) -> Any:
    return rng.integers(0, 2, (count, length), dtype=np.uint8)


def flipped(rng: np.random.Generator, word: Any, share: float) -> Any:
    cue = word.copy()
    cue[rng.choice(len(word), int(share * len(word)), replace=False)] ^= 1
    return cue


class TestKanerva(AssociativeContract):
    system = "sdm"
    settings = {"length": 256, "locations": 2_000, "fraction": 0.02}
    small = {"locations": 1_000}

    def keys(self, rng: np.random.Generator, count: int) -> list[Any]:
        return list(words(rng, count))

    def noisy(self, rng: np.random.Generator, key: Any) -> Any:
        return flipped(rng, key, 0.15)


def filled(count: int, **settings: Any) -> tuple[KanervaMemory, Any]:
    spec = KanervaSpec(**{"locations": 2_000, "fraction": 0.02, "on_full": "grow", **settings})
    memory, keys = KanervaMemory(spec), words(np.random.default_rng(0), count, spec.length)
    for number, key in enumerate(keys):
        memory.write(key, number)
    return memory, keys


@pytest.mark.parametrize(("length", "fraction", "expected"), [(256, 0.01, 109), (1_000, 0.001, 451)])
def test_the_radius_of_the_classic_sizes(length: int, fraction: float, expected: int) -> None:
    assert radius(length, fraction) == expected


@pytest.mark.parametrize("length", [8, 64, 100, 256])
def test_bits_in_words_come_back(length: int) -> None:
    bits = words(np.random.default_rng(0), 3, length)
    assert pack(bits).shape == (3, -(-length // 64))
    assert np.array_equal(unpack(pack(bits), length), bits)


def test_a_read_weighs_items_by_the_locations_they_share_with_the_cue() -> None:
    memory, keys = filled(12, length=64)
    cue = flipped(np.random.default_rng(1), keys[4], 0.1)
    reached = set(memory._reached(cue).tolist())
    weights = np.array([len(reached & set(memory._reached(key).tolist())) for key in keys])
    sums = weights @ (2 * keys.astype(np.int64) - 1)
    expected = np.where(sums == 0, cue, sums > 0)
    assert np.array_equal(memory.read(cue, steps=1)[0].code, expected)


def test_shared_circles_are_what_is_counted() -> None:
    rng = np.random.default_rng(0)
    addresses = words(rng, 100_000, 32)
    first, limit = np.zeros(32, dtype=np.uint8), radius(32, 0.1)
    near = (addresses != first).sum(axis=1) <= limit
    for apart in (0, 5, 12, 20):
        second = np.where(np.arange(32) < apart, 1, 0)
        both = near & ((addresses != second).sum(axis=1) <= limit)
        assert shared_circle(32, 0.1)[apart] == pytest.approx(both.mean(), abs=0.004)


def test_a_fifth_of_wrong_bits_is_corrected_in_three_reads() -> None:
    memory, keys = filled(40, locations=20_000, fraction=0.01)
    rng = np.random.default_rng(2)
    assert all(np.array_equal(memory.read(flipped(rng, key, 0.2), steps=3)[0].code, key) for key in keys)


def test_overfull_all_is_lost() -> None:
    memory, keys = filled(400)
    rng = np.random.default_rng(2)
    ends = [memory.read(flipped(rng, key, 0.2))[0].code for key in keys[:30]]
    assert np.mean([np.array_equal(end, key) for end, key in zip(ends, keys, strict=False)]) == 0
    assert memory.load().expected_error > 0.4


def test_one_read_leaves_the_errors_that_the_theory_says() -> None:
    memory, keys = filled(20)
    rng = np.random.default_rng(3)
    cues = [flipped(rng, key, 0.2) for key in np.tile(keys, (5, 1))]
    wrong = [
        (memory.read(cue, steps=1)[0].code != key).mean() for cue, key in zip(cues, np.tile(keys, (5, 1)), strict=True)
    ]
    assert np.mean(wrong) == pytest.approx(read_error(256, 2_000, 0.02, 20, 0.2), abs=0.02)


def test_the_capacity_is_where_a_read_halves_the_wrong_bits() -> None:
    items = sdm_capacity(256, 20_000, 0.01, 0.2)
    assert read_error(256, 20_000, 0.01, items, 0.2) <= 0.1 < read_error(256, 20_000, 0.01, items + 2, 0.2)
    assert settled_error(256, 20_000, 0.01, items, 0.2) < 1e-3
    assert settled_error(256, 20_000, 0.01, 4 * items, 0.2) > 0.4


def test_clean_cues_reach_nearly_a_tenth_of_the_locations() -> None:
    """Kanerva's law: 0.1 M at most, with circles so small that those of two items share no location."""
    assert 0.06 < sdm_capacity(1_000, 200_000, 0.0003, 0.001) / 200_000 < 0.1


@pytest.mark.parametrize(("strength", "again"), [(1.0, False), (100.0, True)])
def test_forgetting_leaves_the_counters_as_if_never_written(strength: float, again: bool) -> None:
    keys = words(np.random.default_rng(0), 6, 64)
    spec = KanervaSpec(length=64, locations=200, fraction=0.3, counters=8, on_full="grow")
    memory, other = KanervaMemory(spec), KanervaMemory(spec)
    for number, key in enumerate(keys):
        memory.write(key, strength=strength)
        if number != 1:
            other.write(key, strength=strength)
    forgotten = memory.forget(key=keys[1])
    assert forgotten.exact
    assert ("counted again" in forgotten.how) == again
    assert np.array_equal(memory._counters, other._counters)


def test_strength_counts_as_so_many_writes() -> None:
    once, often = (KanervaMemory(KanervaSpec(length=64, locations=500, fraction=0.05)) for _ in "12")
    key = words(np.random.default_rng(0), 1, 64)[0]
    once.write(key, strength=3)
    for _ in range(3):
        often.write(key)
    assert np.array_equal(once._counters, often._counters)


def test_half_of_a_word_brings_back_the_rest() -> None:
    memory, keys = filled(10)
    known = np.arange(256) < 128
    assert all(np.array_equal(memory.read(key, mask=known)[0].code, key) for key in keys)


@pytest.mark.parametrize("changed", [{"fraction": 0.5}, {"noise": 0}, {"counters": 4}, {"length": 4}, {"locations": 0}])
def test_impossible_sizes_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        KanervaSpec(**changed)
