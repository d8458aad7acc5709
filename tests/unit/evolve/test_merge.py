"""Merging by hand: one stands for several, nothing is lost, and it can be undone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from anamnos.cube import LinkKind, Scope, State
from anamnos.errors import InvalidInput, NotFound
from anamnos.memory import Memory
from anamnos.testing import FakeClock, FakeEmbedder, seeded_ids

ANN = Scope(user="ann")


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory(tmp_path / "vault", embedder=FakeEmbedder(), clock=FakeClock(), new_id=seeded_ids(1)) as memory:
        yield memory


@pytest.fixture
def ids(memory: Memory) -> list[str]:
    made = []
    for text in ("the key is in the pot", "the key: in the blue pot", "key -> blue pot"):
        made.append(memory.add(text, ANN).ids[0])
        memory._clock.advance(days=1)  # type: ignore[attr-defined]
    return made


def test_the_newest_stands_for_all_and_the_others_are_found_no_more(memory: Memory, ids: list[str]) -> None:
    receipt = memory.merge(ids, ANN)
    assert receipt.outcomes == ("updated",) * 3
    assert [cube.id for cube in memory.list(ANN)] == [ids[2]]
    assert {hit.id for hit in memory.search("where is the key?", ANN)} == {ids[2]}
    winner = memory.get(ids[2], ANN)
    assert {(link.kind, link.target) for link in winner.links} == {(LinkKind.DERIVED_FROM, i) for i in ids[:2]}
    for loser in (memory.get(i, ANN) for i in ids[:2]):
        assert loser.lifecycle.state is State.MERGED
        assert [(link.kind, link.target) for link in loser.links] == [(LinkKind.SUPPORTS, ids[2])]


@pytest.mark.parametrize("by_winner", [True, False])
def test_unmerging_brings_back_what_was(memory: Memory, ids: list[str], by_winner: bool) -> None:
    before = {cube.id: cube for cube in memory.list(ANN)}
    memory.merge(ids, ANN)
    for cube_id in [ids[2]] if by_winner else ids[:2]:
        memory.unmerge(cube_id, ANN)
    after = {cube.id: cube for cube in memory.list(ANN)}
    assert set(after) == set(before)
    for cube_id, cube in after.items():
        assert (cube.content, cube.links) == (before[cube_id].content, ())
        assert set(cube.annotations.data["resolve"]) == {"apart"}


def test_what_was_parted_by_hand_is_not_merged_by_a_rule(memory: Memory) -> None:
    for name in ("a", "b"):
        memory.add([{"role": "user", "name": "Ann", "content": "I live in Oslo.", "id": name}], ANN)
    memory.enrich(ANN)
    memory.resolve(ANN)
    (merged,) = (cube for cube in memory.vault.store.at(range(1, 99)) if cube.lifecycle.state is State.MERGED)
    memory.unmerge(merged.id, ANN)
    memory.resolve(ANN)
    assert memory.get(merged.id, ANN).lifecycle.state is State.ACTIVATED


def test_deleting_a_merged_one_leaves_the_other_and_no_byte_of_it(memory: Memory, ids: list[str]) -> None:
    memory.merge(ids[:2], ANN)
    memory.delete(ids[0], ANN)
    assert memory.get(ids[1], ANN).links == ()
    assert memory.get(ids[1], ANN).text == "the key: in the blue pot"


def test_refusals_change_nothing(memory: Memory, ids: list[str]) -> None:
    before = memory.vault.store.sequence()
    with pytest.raises(InvalidInput, match="two memories at least"):
        memory.merge(ids[:1], ANN)
    with pytest.raises(NotFound):
        memory.merge([ids[0], "01890a5d-ac96-774b-bcce-b302099a8057"], ANN)
    with pytest.raises(NotFound):
        memory.merge(ids, Scope(user="bo"))
    with pytest.raises(InvalidInput, match="not merged"):
        memory.unmerge(ids[0], ANN)
    assert memory.vault.store.sequence() == before
    memory.merge(ids[:2], ANN)
    with pytest.raises(InvalidInput, match="merged already"):
        memory.merge(ids, ANN)
