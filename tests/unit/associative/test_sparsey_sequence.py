"""Sparsey's memory of sequences: the checks of what it must do, and the laws of an associative memory."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anamnos.associative.sparsey.links import Links, neighbours, pixels, windows
from anamnos.associative.sparsey.sequence import SequenceMemory
from anamnos.associative.sparsey.sequence_spec import SequenceSpec, capacity_of
from anamnos.associative.sparsey.shapes import CLASSES, backwards, moving_shapes, warp
from anamnos.errors import InvalidInput
from anamnos.testing.associative_contract import AssociativeContract

PATCHES: dict[str, Any] = {
    "length": 256,
    "width": 16,
    "field": 6,
    "modules": 8,
    "units": 64,
    "choice": "edges",
    "gate": 0.8,
    "freeze": 0.25,
    "horizontal": 0.5,
    "back_off": "soft",
    "learning": "soft",
    "least": 2,
}


def random_sequences(rng: np.random.Generator, count: int, frames: int = 10) -> Any:
    length, active = 144, 20
    order = np.argsort(rng.random((count, frames, length)), axis=2)[..., :active]
    bits = np.zeros((count, frames, length), dtype=np.uint8)
    np.put_along_axis(bits, order, 1, axis=2)
    return bits


def learnt(sequences: Any, **settings: Any) -> SequenceMemory:
    memory = SequenceMemory(SequenceSpec(length=sequences[0].shape[1], **settings))
    for number, frames in enumerate(sequences):
        memory.write(frames, number)
    return memory


class SequenceContract(AssociativeContract):
    def keys(self, rng: np.random.Generator, count: int) -> list[Any]:
        return list(random_sequences(rng, count))

    def noisy(self, rng: np.random.Generator, key: Any) -> Any:
        cue = key.copy()
        for frame in cue:  # two of twenty bits elsewhere
            frame[rng.choice(np.flatnonzero(frame), size=2, replace=False)] = 0
            frame[rng.choice(np.flatnonzero(frame == 0), size=2, replace=False)] = 1
        return cue


class TestOneMac(SequenceContract):
    system = "sparsey-sequence"
    settings = {"length": 144, "active": 20}
    small = {"active": 20, "modules": 8, "frames": 30}
    count = 6


class TestPatchesWithParents(SequenceContract):
    system = "sparsey-sequence"
    settings = {"length": 144, "width": 12, "field": 6, "stride": 3, "modules": 6, "units": 20, "parents": 2}
    count = 5


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_random_sequences_are_replayed_from_their_first_frame(seed: int) -> None:
    sequences = random_sequences(np.random.default_rng(seed), 12)
    memory = learnt(sequences, active=20, seed=seed)
    assert memory.load().items / capacity_of(memory.spec) == pytest.approx(0.7, abs=0.02)
    codes = [memory.codes(number) for number in range(12)]
    right = [np.mean(memory.replay(s[:1], 9).winners == code) for s, code in zip(sequences, codes, strict=True)]
    assert np.mean(right) >= 0.99
    drawn = [memory.reconstruct(memory.replay(s[:1], 9).winners) for s in sequences]
    assert np.mean([(d & s).sum() / s.sum() for d, s in zip(drawn, sequences, strict=True)]) >= 0.99


def test_the_capacity_is_that_of_the_formula() -> None:
    spec = SequenceSpec(length=144, active=20, frames=1)
    assert capacity_of(spec) == pytest.approx(173, abs=1)
    assert capacity_of(SequenceSpec(length=144)) == np.inf


def test_a_shared_frame_has_another_code_in_another_context() -> None:
    sequences = random_sequences(np.random.default_rng(3), 6)
    sequences[1:, 5] = sequences[0, 5]
    agreement = {}
    for horizontal in (1.0, 0.0):
        memory = learnt(sequences, active=20, horizontal=horizontal)
        middle = [memory.observe(frames).winners[5] for frames in sequences]
        agreement[horizontal] = np.mean([np.mean(middle[0] == other) for other in middle[1:]])
    assert agreement[1.0] < 0.6
    assert agreement[0.0] == 1.0
    follows = learnt(sequences, active=20)
    assert [follows.read(frames[:7])[0].value for frames in sequences] == list(range(6))


@pytest.mark.parametrize("speed", [2, 0.5])
def test_a_sequence_at_another_speed_gets_its_own_codes_with_back_off(speed: float) -> None:
    sequences = random_sequences(np.random.default_rng(4), 8)
    share = {}
    for back_off in ("chain", "soft", "none"):
        memory = learnt(sequences, active=20, back_off=back_off)
        best = [memory.read(warp(frames, speed))[0] for frames in sequences]
        assert [recall.value for recall in best] == list(range(8))
        share[back_off] = float(np.mean([recall.score for recall in best]))
    assert share["chain"] > 0.98
    assert share["none"] < share["soft"] < share["chain"] - 0.1


def test_unknown_frames_are_filled_in() -> None:
    sequences = random_sequences(np.random.default_rng(5), 6)
    memory = learnt(sequences, active=20)
    known = np.array([True] * 3 + [False] * 7)
    recall = memory.read(np.where(known[:, None], sequences[2], 0), mask=known)[0]
    assert (recall.value, recall.converged, recall.steps) == (2, True, 10)
    assert np.mean(recall.code[3:] == sequences[2, 3:]) > 0.99
    assert len(memory.read(sequences[2, :1], steps=10)[0].code) == 10


def test_an_item_is_as_forgotten_as_if_it_had_never_been() -> None:
    sequences = random_sequences(np.random.default_rng(6), 5, frames=4)
    memory, other = learnt(sequences, active=20), learnt([*sequences[:1], *sequences[2:]], active=20)
    assert memory.forget(key=sequences[1]).exact
    first, second = memory.state_dict(), other.state_dict()
    assert all(np.array_equal(first[name], second[name]) for name in ("u", "h", "frames", "winners"))


@pytest.fixture(scope="module")
def films() -> tuple[Any, Any, Any, Any]:
    rng = np.random.default_rng(50)
    stored, labels = moving_shapes(1, rng)
    cues, wanted = moving_shapes(1, rng)
    return stored, labels, cues, wanted


@pytest.mark.parametrize("parents", [0, 3])
def test_classes_that_only_order_tells_apart(films: tuple[Any, Any, Any, Any], parents: int) -> None:
    stored, labels, cues, wanted = films
    memory = SequenceMemory(SequenceSpec(**PATCHES, parents=parents))
    for number, (film, label) in enumerate(zip(stored, labels, strict=True)):
        memory.write(film, {"film": number, "class": CLASSES[label]})
    right = 0
    for film, label in zip(cues, wanted, strict=True):
        shares = memory.classes(memory.observe(film).winners, by="class")
        assert sum(shares.values()) == pytest.approx(1)
        right += max(shares, key=lambda name: shares[name]) == CLASSES[label]
    assert right >= 9
    assert [memory.read(film)[0].value["film"] for film in stored[:4]] == [0, 1, 2, 3]
    with pytest.raises(InvalidInput, match="form"):
        memory.classes(memory.observe(cues[0]).winners, form="votes")  # type: ignore[arg-type]


def test_without_values_there_are_no_classes() -> None:
    memory = SequenceMemory(SequenceSpec(length=20))
    memory.write(np.ones((2, 20), dtype=np.uint8))
    assert memory.classes(memory.observe(np.ones((2, 20))).winners) == {}


def test_a_class_has_a_partner_that_runs_backwards() -> None:
    films, labels = moving_shapes(1, np.random.default_rng(0), jitter=0, noise=0)
    assert labels.tolist() == list(range(12))
    for label, film in enumerate(films):
        assert backwards(backwards(label)) == label != backwards(label)
        assert np.array_equal(film[::-1], films[backwards(label)])
    assert [len(warp(films[0], speed)) for speed in (2, 0.5, 1)] == [5, 20, 10]


def test_links_count_the_active_inputs_that_a_unit_knows() -> None:
    links = Links(np.array([[0, 1, 2], [2, -1, 0]]), 1, 1, 9)
    first, second = np.array([1, 1, 0], np.uint8), np.array([1, 0, 1], np.uint8)
    chosen = np.zeros((2, 9), dtype=bool)
    chosen[0, 8] = chosen[1, 2] = True
    links.learn(links.rows(pixels(first)), chosen)
    share, active = links.support(links.rows(pixels(second)))
    assert active.tolist() == [2, 2]
    assert share[0].tolist() == [0.0] * 8 + [0.5]
    assert share[1].tolist() == [0.0, 0.0, 0.5] + [0.0] * 6
    assert links.set.sum() == 3
    assert links.backward(chosen).tolist() == [[1, 1, 0], [0, 0, 1]]


@given(st.integers(0, 2**32 - 1))
def test_links_are_those_of_dense_weights(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sources, modules, units, onto = rng.integers(-1, 4, (3, 5)), 2, 3, int(rng.integers(1, 20))
    links, dense = Links(sources, modules, units, onto), np.zeros((3, 5, modules, units, onto), dtype=bool)
    for _ in range(4):
        winners, chosen = rng.integers(-1, units, (4, modules)), rng.random((3, onto)) < 0.3
        winners[rng.random(4) < 0.3] = -1
        on = (winners[..., None] == np.arange(units))[sources] & (sources >= 0)[..., None, None]
        share, active = links.support(links.rows(winners))
        sums = (dense & on[..., None]).sum(axis=(1, 2, 3))
        assert active.tolist() == on.sum(axis=(1, 2, 3)).tolist()
        assert np.allclose(share, sums / np.maximum(active, 1)[:, None])
        links.learn(links.rows(winners), chosen)
        dense |= on[..., None] & chosen[:, None, None, None]
    assert links.fill == pytest.approx(dense.mean())
    again = Links(sources, modules, units, onto)
    again.restore(links.bits)
    assert np.array_equal(again.set, dense.sum(axis=(1, 2, 3)))


def test_neighbours_end_at_the_edge() -> None:
    assert neighbours((2, 2))[0].tolist() == [-1, -1, -1, -1, 0, 1, -1, 2, 3]
    places, grid = windows((16, 16), 6, 2)
    assert grid == (6, 6)
    assert places[0, :7].tolist() == [0, 1, 2, 3, 4, 5, 16]


@pytest.mark.parametrize(
    "wrong",
    [
        {"field": 6},
        {"width": 13, "field": 6},
        {"width": 12, "field": 13},
        {"back_off": "never"},
        {"choice": "best"},
        {"units": 1},
        {"gate": 0},
        {"parents": 2},
        {"active": 145},
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        SequenceSpec(**{"length": 144, **wrong})


def test_frames_must_be_bits() -> None:
    memory = SequenceMemory(SequenceSpec(length=4))
    for wrong in (np.zeros((0, 4)), np.zeros(4), np.full((1, 4), 2), np.zeros((1, 5)), np.array([["a"] * 4])):
        with pytest.raises(InvalidInput, match="frames of 4 bits"):
            memory.write(wrong)


def test_a_key_on_which_no_mac_runs_is_refused() -> None:
    memory = SequenceMemory(SequenceSpec(length=4))
    with pytest.raises(InvalidInput, match="No mac"):
        memory.write(np.zeros((2, 4)))
    assert memory.load().items == 0
    memory.write(np.array([[0, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]]), "with gaps")
    assert memory.read([[0, 0, 0, 0], [1, 1, 0, 0]])[0].value == "with gaps"
