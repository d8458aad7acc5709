"""Dense and multitasking Hebbian memories: the laws, archetypes from examples, composite cues."""

from typing import Any

import numpy as np
import pytest

from anamnos.associative.arrays import digest
from anamnos.associative.hebbian.dense import DenseHebbian, DenseHebbianSpec
from anamnos.associative.hebbian.multitask import MultitaskMemory, MultitaskSpec
from anamnos.errors import InvalidInput
from anamnos.testing.associative_contract import AssociativeContract


def spins(rng: np.random.Generator, *shape: int) -> Any:
    return rng.choice(np.array([-1, 1], dtype=np.int8), size=shape)


def diluted(rng: np.random.Generator, count: int, length: int, dilution: float) -> Any:
    return (spins(rng, count, length) * (rng.random((count, length)) >= dilution)).astype(np.int8)


def turned(rng: np.random.Generator, key: Any, share: float = 0.1) -> Any:
    return np.where(rng.random(len(key)) < share, -key, key).astype(np.int8)


class TestDense(AssociativeContract):
    system = "dense-hebbian"
    settings = {"length": 64}
    small = {"length": 300, "order": 2}

    def make(self, **changed: Any) -> Any:
        self.length = changed.get("length", 64)
        return super().make(**changed)

    def keys(self, rng: np.random.Generator, count: int) -> list[Any]:
        return list(spins(rng, count, self.length))

    def noisy(self, rng: np.random.Generator, key: Any) -> Any:
        return turned(rng, key)


class TestDenseOfSixWithoutTeacher(TestDense):
    settings = {"length": 64, "order": 6, "teacher": False, "diagonal": True}


class TestMultitask(AssociativeContract):
    system = "multitasking"
    settings = {"length": 2_048, "dilution": 0.2}
    small: dict[str, Any] = {}

    def keys(self, rng: np.random.Generator, count: int) -> list[Any]:
        return list(diluted(rng, count, 2_048, 0.2))

    def noisy(self, rng: np.random.Generator, key: Any) -> Any:
        return turned(rng, key)


def examples(seed: int, archetypes: int, count: int, quality: float = 0.3, length: int = 100) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    true = spins(rng, archetypes, length)
    right = rng.random((archetypes, count, length)) < (1 + quality) / 2
    return true, np.where(right, true[:, None], -true[:, None]).astype(np.int8)


def test_noisy_examples_of_one_value_become_an_archetype() -> None:
    true, noisy = examples(0, archetypes=12, count=60)
    memory = DenseHebbian(DenseHebbianSpec(length=100))
    for number in range(60):
        for archetype in range(12):
            report = memory.write(noisy[archetype, number], f"archetype {archetype}")
    assert report.reason == "one more example of an archetype"
    assert memory.load().items == 12
    rng = np.random.default_rng(1)
    for archetype in range(12):
        found = memory.read(turned(rng, true[archetype]))[0]
        assert found.value == f"archetype {archetype}"
        assert (found.code == true[archetype]).mean() > 0.97
        assert found.score > 0.9
    data = memory.dataset()
    assert data.quality == pytest.approx(0.3, abs=0.02)
    assert data.examples == 60
    assert data.entropy == pytest.approx((1 - 0.09) / (60 * 0.09), abs=0.03)


def test_without_a_teacher_examples_still_lead_to_their_archetype() -> None:
    true, noisy = examples(2, archetypes=4, count=40, quality=0.8)  # M r^8 = 7 > 1
    memory = DenseHebbian(DenseHebbianSpec(length=100, teacher=False))
    for number in range(40):
        for archetype in range(4):
            memory.write(noisy[archetype, number], archetype)
    assert memory.load().items == 160
    found = memory.read(noisy[2, 7])[0]
    assert found.value == 2
    assert (found.code == true[2]).mean() > 0.95


def test_forgetting_an_example_is_as_if_it_had_never_been() -> None:
    _, noisy = examples(3, archetypes=2, count=5, length=40)
    memory, other = (DenseHebbian(DenseHebbianSpec(length=40)) for _ in range(2))
    for number in range(5):
        memory.write(noisy[0, number], "a", strength=1 + number)
        memory.write(noisy[1, number], "b")
        if number:
            other.write(noisy[0, number], "a", strength=1 + number)
        other.write(noisy[1, number], "b")
    assert memory.forget(key=noisy[0, 0]).exact
    assert digest(memory.state_dict()) == digest(other.state_dict())
    assert memory.energy(noisy[0, 1]) == other.energy(noisy[0, 1])


def test_half_of_a_pattern_brings_back_the_rest() -> None:
    rng = np.random.default_rng(4)
    patterns = spins(rng, 500, 64)
    memory = DenseHebbian(DenseHebbianSpec(length=64))
    for number, pattern in enumerate(patterns):
        memory.write(pattern, number)
    known = np.arange(64) < 32
    cue = np.where(known, patterns[77], spins(rng, 64))
    best = memory.read(cue, mask=known, k=3)
    assert best[0].value == 77
    assert np.array_equal(best[0].code, patterns[77])
    assert len(best) == 3
    assert best[0].score == 1
    assert best[0].converged


def test_a_little_heat_does_not_lose_a_pattern() -> None:
    rng = np.random.default_rng(7)
    patterns = spins(rng, 200, 64)
    memory = DenseHebbian(DenseHebbianSpec(length=64))
    for number, pattern in enumerate(patterns):
        memory.write(pattern, number)
    warm = memory.read(patterns[3], temperature=0.3, rng=rng, steps=20)[0]
    assert warm.value == 3
    assert not warm.converged
    assert warm.steps == 20
    hot = memory.read(patterns[3], temperature=30.0, rng=rng)[0]
    assert hot.score < 0.6


def test_the_load_is_that_of_the_theory() -> None:
    memory = DenseHebbian(DenseHebbianSpec(length=32))
    capacity = memory.load().capacity
    assert capacity == pytest.approx(0.03298 * 31 * 30 * 29, rel=1e-3)
    rng = np.random.default_rng(5)
    for pattern in spins(rng, int(capacity / 2), 32):
        memory.write(pattern)
    load = memory.load()
    assert load.used == pytest.approx(0.5, abs=0.01)
    assert load.expected_error == pytest.approx(0.0008, abs=0.0003)
    diagonal = DenseHebbian(DenseHebbianSpec(length=32, diagonal=True))
    assert diagonal.load().capacity == pytest.approx(0.01319 * 32**3, rel=1e-3)


def test_a_composite_cue_lists_all_that_is_in_it() -> None:
    rng = np.random.default_rng(6)
    patterns = diluted(rng, 5, 8_000, 0.4)
    memory = MultitaskMemory(MultitaskSpec(length=8_000, dilution=0.4))
    for number, pattern in enumerate(patterns):
        memory.write(pattern, number)
    cue = patterns[1].copy()
    for number in (3, 0):  # where the first is blank
        cue = np.where(cue == 0, patterns[number], cue)
    found = memory.read(cue, k=5)
    assert [recall.value for recall in found][:3] == [1, 3, 0]
    assert np.allclose([recall.score for recall in found][:3], [0.6, 0.24, 0.096], atol=0.03)
    assert all(recall.score > 3 / np.sqrt(8_000) for recall in found)
    mirrored = memory.read(-patterns[1], k=1)[0]
    assert mirrored.value == 1
    assert np.array_equal(mirrored.code, -patterns[1])


@pytest.mark.parametrize(
    "make",
    [
        lambda: DenseHebbianSpec(length=64, order=3),
        lambda: DenseHebbianSpec(length=4),
        lambda: DenseHebbianSpec(length=64, patterns=0),
        lambda: DenseHebbianSpec(length=64, teacher=1),  # type: ignore[arg-type]
        lambda: MultitaskSpec(length=64, dilution=1.0),
        lambda: MultitaskSpec(length=64, dilution=-0.1),
        lambda: MultitaskSpec(length=0),
    ],
)
def test_bad_specs_are_refused(make: Any) -> None:
    with pytest.raises(InvalidInput):
        make()


def test_bad_keys_are_refused() -> None:
    memory = MultitaskMemory(MultitaskSpec(length=8))
    for key in (np.zeros(8), np.full(8, 2), np.full(8, 0.5)):
        with pytest.raises(InvalidInput, match="not all 0"):
            memory.write(key)
    with pytest.raises(InvalidInput, match="-1 or"):
        DenseHebbian(DenseHebbianSpec(length=8)).write(np.zeros(8))
