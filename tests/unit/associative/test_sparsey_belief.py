"""Belief over winners in fixed time: the laws, what its lists hold, and near duplicates among many."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anamnos.associative.payload import from_payload, to_payload
from anamnos.associative.sparsey.belief import BeliefMemory, BeliefSpec
from anamnos.errors import InvalidInput
from anamnos.testing.associative_contract import AssociativeContract

DIM = 32


def units(rng: np.random.Generator, count: int, dim: int = DIM) -> Any:
    vectors = rng.normal(size=(count, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def near(rng: np.random.Generator, vectors: Any, cosine: float) -> Any:
    """Return unit vectors of about this cosine with the given ones."""
    noise = units(rng, len(vectors), vectors.shape[1])
    return cosine * vectors + np.sqrt(1 - cosine**2) * noise


def small(**changed: Any) -> BeliefMemory:
    wanted: dict[str, Any] = {"modules": 32, "units": 8, "tables": 24, "together": 2, "lists": 64, **changed}
    return BeliefMemory(BeliefSpec(**{"dim": DIM, **wanted}))


class TestBelief(AssociativeContract):
    system = "sparsey-belief"
    settings = {"dim": DIM, "modules": 64, "units": 16, "tables": 32, "lists": 4_096}
    small = {"units": 4, "room": 2}

    def keys(self, rng: np.random.Generator, count: int) -> list[Any]:
        return list(units(rng, count))

    def noisy(self, rng: np.random.Generator, key: Any) -> Any:
        return near(rng, key[None], 0.9)[0]


def test_the_belief_in_an_item_is_its_share_of_equal_winners() -> None:
    rng, memory = np.random.default_rng(0), small()
    keys = units(rng, 20)
    for number, key in enumerate(keys):
        memory.write(key, number)
    cue = near(rng, keys[3:4], 0.8)[0]
    shares = (memory.encode(keys) == memory.encode(cue)).mean(axis=1)
    found = memory.read(cue, k=20)
    assert found[0].value == 3
    assert all(recall.score == pytest.approx(shares[recall.value]) for recall in found)
    assert memory.familiarity(cue) == pytest.approx(shares.max())
    assert memory.familiarity(keys[5]) == 1


def test_a_read_looks_at_a_bounded_number_of_items_however_many_there_are() -> None:
    rng, memory = np.random.default_rng(1), small(room=2, compared=10, on_full="grow")
    keys = units(rng, 600)
    for number, key in enumerate(keys):
        memory.write(key, number)
    assert {len(memory.read(cue, k=600)) for cue in units(rng, 20)} == {10}
    assert memory.read(keys[-1])[0].value == 599


def test_lists_keep_the_newest_and_forgetting_brings_the_older_back() -> None:
    rng, memory = np.random.default_rng(2), small(room=1)
    key = units(rng, 1)[0]
    memory.write(key, "old")
    memory.write(key, "new", cube_id="01890a5d-ac96-774b-bcce-b302099a8057")
    assert [recall.value for recall in memory.read(key, k=2)] == ["new"]
    assert memory.forget(cube_id="01890a5d-ac96-774b-bcce-b302099a8057").exact
    assert [recall.value for recall in memory.read(key, k=2)] == ["old"]


@pytest.mark.filterwarnings("ignore::anamnos.associative.base.CapacityWarning")
@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 11)), max_size=40), st.integers(1, 3))
def test_lists_are_always_those_of_what_is_not_forgotten(steps: list[tuple[bool, int]], room: int) -> None:
    keys = units(np.random.default_rng(3), 12)
    memory = small(room=room, units=2, lists=4, on_full="evict")
    for write, number in steps:
        if write:
            memory.write(keys[number], number)
        else:
            memory.forget(key=keys[number])
    again = from_payload(to_payload(memory))
    for key in keys:
        assert [r.to_dict() for r in memory.read(key, k=9)] == [r.to_dict() for r in again.read(key, k=9)]


def test_near_duplicates_are_told_apart_among_many() -> None:
    rng, memory = np.random.default_rng(4), small(dim=64, modules=64, tables=64)
    keys = units(rng, 200, 64)
    for key in keys:
        memory.write(key)
    known = [memory.familiarity(cue) for cue in near(rng, keys, 0.9)]
    new = [memory.familiarity(cue) for cue in units(rng, 200, 64)]
    assert np.mean(np.array(known)[:, None] > np.array(new)) > 0.999


def test_what_cannot_be_is_refused() -> None:
    for wrong in (
        {"lists": 100},
        {"units": 257},
        {"units": 1},
        {"together": 33},
        {"room": 0},
        {"dim": 0},
        {"compared": 0},
    ):
        with pytest.raises(InvalidInput):
            small(**wrong)
    with pytest.raises(InvalidInput, match="finite"):
        small().encode(np.full(DIM, np.nan))


def test_the_load_says_how_often_a_list_forgets() -> None:
    memory = small(on_full="grow")
    assert memory.load().expected_error == pytest.approx(0, abs=1e-12)
    for key in units(np.random.default_rng(5), memory.spec.capacity):
        memory.write(key)
    assert memory.load().expected_error == pytest.approx(0.0511, abs=1e-3)  # P(Poisson(4) >= 8)
