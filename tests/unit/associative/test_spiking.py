"""CA3: a spiking network that learns, recalls and forgets; and the laws of an associative memory."""

from typing import Any

import numpy as np
import pytest

from anamnos.associative.arrays import digest
from anamnos.associative.spiking import CA3Memory, CA3Network, CA3Spec, Operation, ca3_capacity, settled, wrong_cells
from anamnos.errors import InvalidInput
from anamnos.testing.associative_contract import AssociativeContract


def pattern(*cells: int, of: int = 200) -> Any:
    bits = np.zeros(of, dtype=np.uint8)
    bits[list(cells)] = 1
    return bits


def patterns(rng: np.random.Generator, count: int, cells: int = 200, active: int = 8) -> list[Any]:
    return [pattern(*rng.choice(cells, active, replace=False), of=cells) for _ in range(count)]


def fragment(rng: np.random.Generator, whole: Any, count: int = 4) -> Any:
    return pattern(*rng.choice(np.flatnonzero(whole), count, replace=False), of=len(whole))


class TestCA3(AssociativeContract):
    system = "ca3"
    settings = {"cells": 200, "active": 8}
    small = {"active": 12}

    def keys(self, rng: np.random.Generator, count: int) -> list[Any]:
        return patterns(rng, count)

    def noisy(self, rng: np.random.Generator, key: Any) -> Any:
        return fragment(rng, key, 5)


def filled(written: list[Any], **settings: Any) -> CA3Memory:
    memory = CA3Memory(CA3Spec(**{"cells": len(written[0]), **settings}))
    for number, bits in enumerate(written):
        memory.write(bits, number)
    return memory


def test_orthogonal_patterns_come_back_from_any_half() -> None:
    written = [pattern(*range(8 * n, 8 * n + 8)) for n in range(10)]
    memory, rng = filled(written), np.random.default_rng(0)
    for number, bits in enumerate(written):
        for _ in range(10):
            (recall,) = memory.read(fragment(rng, bits))
            assert (recall.value, recall.score, recall.converged) == (number, 1.0, True)
            assert np.array_equal(recall.code, bits)


def test_fifty_patterns_that_share_cells_come_back_from_half() -> None:
    rng = np.random.default_rng(0)
    written = patterns(rng, 50)
    memory = filled(written)
    assert all(np.array_equal(memory.read(fragment(rng, bits))[0].code, bits) for bits in written)


def test_learning_recalling_and_forgetting_go_round() -> None:
    rng = np.random.default_rng(1)
    written = patterns(rng, 30)
    memory = CA3Memory(CA3Spec())
    empty = digest(memory.state_dict())
    for _ in range(3):
        for number, bits in enumerate(written):
            memory.write(bits, number)
        for gone, bits in enumerate(written):
            assert all(
                memory.read(fragment(rng, other))[0].value == at for at, other in enumerate(written) if at >= gone
            )
            assert memory.forget(key=bits).exact
            assert not any(np.array_equal(recall.code, bits) for recall in memory.read(fragment(rng, bits)))
        assert digest(memory.state_dict()) == empty


def test_a_fragment_of_two_patterns_brings_both_unmixed() -> None:
    first, second = pattern(1, 2, 3, 10, 11, 12, 13, 14), pattern(1, 2, 3, 20, 21, 22, 23, 24)
    memory = filled([first, second, pattern(30, 31, 32, 33)])
    found = memory.read(pattern(1, 2, 3))
    assert sorted(recall.value for recall in found) == [0, 1]
    assert found[0].score == found[1].score == 1.0
    assert {recall.code.tobytes() for recall in found} == {first.tobytes(), second.tobytes()}
    (alone,) = memory.read(pattern(1, 2, 3, 10))
    assert alone.value == 0


def test_the_spikes_of_a_recall() -> None:
    network = CA3Network(CA3Spec(cells=5, active=4))
    shown = np.array([1, 1, 1, 1, 0], dtype=np.bool_)
    assert network.run(Operation.LEARN, shown).astype(int).tolist() == [[1, 1, 1, 1, 0], [0] * 5, [0] * 5]
    assert network.weights.sum() == 12
    spikes = network.run(Operation.RECALL, np.array([1, 1, 0, 0, 0], dtype=np.bool_))
    assert spikes.astype(int).tolist() == [[1, 1, 0, 0, 0], [0, 0, 1, 1, 0], [1, 1, 0, 0, 0], [0, 0, 1, 1, 0]]
    assert np.array_equal(settled(spikes), shown)
    network.run(Operation.FORGET, np.array([1, 1, 0, 0, 0], dtype=np.bool_))
    assert network.weights.sum() == 0


def test_forgetting_leaves_the_links_that_others_need() -> None:
    memory = filled([pattern(1, 2, 3, 4), pattern(1, 2, 8, 9)])
    memory.forget(key=pattern(1, 2, 3, 4))
    other = CA3Memory(memory.spec)
    other.write(pattern(1, 2, 8, 9), 1)
    assert np.array_equal(memory.network.weights, other.network.weights)


def test_what_is_overlapped_fades_until_it_is_learnt_again() -> None:
    old = pattern(1, 2, 3, 4)
    memory = filled([old], depression=0.3)
    for n in range(4):
        memory.write(pattern(1, 2, 3, 10 + 3 * n, 11 + 3 * n, 12 + 3 * n))
    assert memory.familiarity(old) < 1
    assert not any(np.array_equal(recall.code, old) for recall in memory.read(pattern(1, 4)))
    assert not memory.forget(key=pattern(1, 2, 3, 10, 11, 12)).exact
    memory.consolidate()
    assert memory.familiarity(old) == 1
    assert any(np.array_equal(recall.code, old) for recall in memory.read(pattern(1, 4)))


def test_the_law_of_capacity() -> None:
    assert ca3_capacity(200, 8) == pytest.approx(140, rel=0.1)
    assert wrong_cells(200, 8, ca3_capacity(200, 8), 4) <= 1 / 3 < wrong_cells(200, 8, ca3_capacity(200, 8) + 1, 4)
    rng, count, wrong = np.random.default_rng(0), 140, []
    for _ in range(5):
        written = patterns(rng, count)
        memory = filled(written, on_full="grow")
        for bits in written:
            spikes = memory.network.run(Operation.RECALL, fragment(rng, bits).astype(np.bool_))
            wrong.append((spikes[1] & (bits == 0)).sum())
    assert np.mean(wrong) == pytest.approx(wrong_cells(200, 8, count, 4), rel=0.25)


def test_the_same_seed_gives_the_same_spikes_with_noise() -> None:
    memory = filled(patterns(np.random.default_rng(0), 20))
    cue = pattern(*range(4)).astype(np.bool_)
    runs = [
        memory.network.run(Operation.RECALL, cue, noise=2.0, rng=np.random.default_rng(seed)).tobytes()
        for seed in (1, 1, 2)
    ]
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize("changed", [{"ratio": 0}, {"ratio": 1.2}, {"leak": 1.0}, {"active": 201}, {"depression": -1}])
def test_impossible_networks_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        CA3Spec(**changed)


def test_patterns_need_two_cells_and_cues_one() -> None:
    memory = filled([pattern(1, 2, 3)])
    with pytest.raises(InvalidInput, match="at least 2"):
        memory.write(pattern(5))
    with pytest.raises(InvalidInput, match="at least 1"):
        memory.read(pattern())
    assert memory.familiarity(pattern(1)) == 1
    assert memory.read(pattern(50)) == []
