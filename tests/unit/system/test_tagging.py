"""Tags that are suggested: learnt from the store, corrected by it, gone with it, and never from beyond the wall."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anamnos import Memory, Scope, where
from anamnos.errors import ConfigError, InvalidInput, StoreError
from anamnos.system.tagging import CONFIDENT, DATA_KEY, taught_tags
from anamnos.testing import FakeClock, seeded_ids

ANN, BOB = Scope(user="ann"), Scope(user="bob")
TEXTS = {
    "travel": ["The ferry to Naxos leaves at noon.", "Book the ferry and a hotel.", "The hotel in Naxos has a pool."],
    "garden": ["The roses need water.", "Plant the tomatoes in May.", "Water the tomatoes and the roses."],
}


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with vault(tmp_path) as made:
        yield made


def vault(folder: Path, **settings: Any) -> Memory:
    clock = FakeClock(datetime(2024, 5, 1, tzinfo=UTC))
    return Memory(folder / "vault", embedder="hashing", clock=clock, new_id=seeded_ids(1), **settings)


def tell(memory: Memory, scope: Scope = ANN, tags: tuple[str, ...] = ("travel", "garden")) -> dict[str, list[str]]:
    """Add the texts with their tags and return the ids by tag."""
    return {tag: [memory.add(text, scope, tags=[tag]).ids[0] for text in TEXTS[tag]] for tag in tags}


def test_a_tag_is_suggested_because_of_what_has_it(memory: Memory) -> None:
    ids = tell(memory)
    first, second = memory.suggest_tags("When does the ferry to Naxos leave?", ANN)
    assert (first.tag, second.tag) == ("travel", "garden")
    assert 1 >= first.score > second.score >= 0
    assert first.because[0] == ids["travel"][0]
    assert set(first.because) <= set(ids["travel"])
    assert memory.suggest_tags("The roses are dry, water them.", ANN, k=1)[0].tag == "garden"


def test_nothing_is_known_at_first_or_beyond_the_wall(memory: Memory) -> None:
    assert memory.suggest_tags("The ferry to Naxos", ANN) == []
    tell(memory, ANN)
    memory.add("The ferry to Naxos leaves at noon.", BOB, tags=["work"])
    assert {each.tag for each in memory.suggest_tags("The ferry to Naxos", ANN)} == {"travel", "garden"}
    assert {each.tag for each in memory.suggest_tags("The ferry to Naxos", BOB)} == {"work"}
    assert memory.suggest_tags("The ferry to Naxos", Scope(tenant="other", user="ann")) == []
    assert memory.suggest_tags("The ferry to Naxos", Scope(user="ann", session="monday")) == []


def test_a_correction_counts_at_once(memory: Memory) -> None:
    ids = tell(memory)
    cue = TEXTS["travel"][0]
    assert memory.suggest_tags(cue, ANN)[0].tag == "travel"
    for cube_id in ids["travel"]:
        memory.update(cube_id, ANN, tags=["islands"])
    assert memory.suggest_tags(cue, ANN)[0].tag == "islands"
    assert "travel" not in {each.tag for each in memory.suggest_tags(cue, ANN)}


def test_what_is_deleted_is_unlearnt(memory: Memory, tmp_path: Path) -> None:
    ids = tell(memory)
    cue = "The roses and the ferry"
    memory.suggest_tags(cue, ANN)
    memory.delete(ids["garden"], ANN)
    with vault(tmp_path / "other") as other:
        tell(other, tags=("travel",))
        alone = [(each.tag, each.score) for each in other.suggest_tags(cue, ANN)]
    assert [(each.tag, each.score) for each in memory.suggest_tags(cue, ANN)] == alone
    memory.delete_all(ANN)
    assert memory.suggest_tags(cue, ANN) == []


def test_several_tags_of_one_memory_are_each_suggested(memory: Memory) -> None:
    for text in TEXTS["travel"]:
        memory.add(text, ANN, tags=["summer", "travel"])
    tell(memory, tags=("garden",))
    best = memory.suggest_tags("The ferry to Naxos leaves at noon.", ANN, k=2)
    assert {each.tag for each in best} == {"summer", "travel"}
    assert min(each.score for each in best) > 0.5


def test_an_expired_memory_teaches_nothing(memory: Memory) -> None:
    ids = tell(memory)
    ends = datetime(2024, 5, 1, 1, tzinfo=UTC)
    for cube_id in ids["garden"]:
        memory.update(cube_id, ANN, expires_at=ends)
    assert "garden" in {each.tag for each in memory.suggest_tags("roses", ANN)}
    memory._clock.advance(7_200)  # type: ignore[attr-defined]
    assert "garden" not in {each.tag for each in memory.suggest_tags("roses", ANN)}


def test_sure_tags_are_given_to_new_memories_and_teach_nothing_until_confirmed(tmp_path: Path) -> None:
    with vault(tmp_path, tagging="auto") as memory:
        tell(memory)
        new = memory.get(memory.add("The ferry to Naxos leaves at noon or one.", ANN).ids[0], ANN)
        assert new.annotations.tags == ("travel",)
        mark = new.annotations.data[DATA_KEY]
        assert list(mark["suggested"]) == ["travel"]
        assert mark.keys() == {"suggested", "scores"}
        assert mark["scores"][0] >= CONFIDENT
        assert taught_tags(new) is None
        assert new.id in {cube.id for cube in memory.list(ANN, filter=where(tags="travel"))}
        memory.update(new.id, ANN, data={DATA_KEY: None})
        assert taught_tags(memory.get(new.id, ANN)) == ["travel"]
        unsure = memory.get(memory.add("Quarterly figures of the company.", ANN).ids[0], ANN)
        assert unsure.annotations.tags == ()
        assert DATA_KEY not in unsure.annotations.data
        own = memory.get(memory.add("The ferry to Naxos is late.", ANN, tags=["delays"]).ids[0], ANN)
        assert own.annotations.tags == ("delays",)


def test_a_suggestion_that_is_taken_away_counts_against_it(tmp_path: Path) -> None:
    with vault(tmp_path, tagging="auto") as memory:
        tell(memory)
        text = "The ferry to Naxos leaves at noon or one."
        new = memory.get(memory.add(text, ANN).ids[0], ANN)
        before = memory.suggest_tags(text, ANN)[0]
        memory.update(new.id, ANN, tags=[])
        assert taught_tags(memory.get(new.id, ANN)) == []
        after = {each.tag: each.score for each in memory.suggest_tags(text, ANN)}
        assert before.tag == "travel"
        assert after["travel"] < before.score


def test_by_default_no_tag_is_given(memory: Memory) -> None:
    tell(memory)
    assert memory.settings.tagging == "off"
    new = memory.add(TEXTS["travel"][0] + " Again.", ANN)
    assert memory.get(new.ids[0], ANN).annotations.tags == ()


def test_a_cue_is_routed_to_the_place_whose_memories_it_is_like(memory: Memory) -> None:
    for session, tag in (("monday", "travel"), ("tuesday", "garden")):
        for text in TEXTS[tag]:
            memory.add(text, Scope(user="ann", session=session), tags=[tag])
    places = {name: Scope(user="ann", session=name) for name in ("monday", "tuesday", "wednesday")}
    assert memory.route("Is the hotel in Naxos booked?", ANN, places)[0].tag == "monday"
    filters = {"outdoors": where(tags="garden"), "away": where(tags="travel")}
    best = memory.route("Who waters the roses?", ANN, {k: v for k, v in filters.items() if v is not None}, k=1)
    assert [each.tag for each in best] == ["outdoors"]
    assert best[0].because
    assert memory.route("anything", ANN, {}) == []
    with pytest.raises(InvalidInput, match="not within"):
        memory.route("anything", ANN, {"bob": BOB})


def test_a_principal_is_suggested_only_what_it_may_read(memory: Memory) -> None:
    tell(memory)
    memory.policy.register("user:bob")
    assert memory.as_principal("user:bob").suggest_tags("The ferry to Naxos", ANN) == []
    assert memory.suggest_tags("The ferry to Naxos", ANN) != []


def test_what_is_closed_again_is_suggested_no_more(memory: Memory) -> None:
    ids = tell(memory)
    memory.policy.register("user:bob")
    memory.share(ids["travel"], ANN, to="user:bob", until=datetime(2024, 5, 2, tzinfo=UTC))
    with memory.as_principal("user:bob") as bob:
        cue, places = TEXTS["travel"][0], {"here": ANN}
        assert [each.tag for each in bob.suggest_tags(cue, ANN)] == ["travel"]
        assert set(bob.route(cue, ANN, places)[0].because) <= set(ids["travel"])
        memory._clock.advance(86_401)  # type: ignore[attr-defined]
        assert bob.suggest_tags(cue, ANN) == []
        assert [each.because for each in bob.route(cue, ANN, places)] in ([], [()])


def test_nothing_of_what_was_erased_stays_in_mind(memory: Memory) -> None:
    ids = tell(memory)
    memory.suggest_tags("The roses", ANN)
    found = memory._tagging
    assert found is not None
    memory.delete(ids["garden"], ANN)
    [learnt] = found._scopes.values()
    assert not set(ids["garden"]) & {taught[0] for taught in learnt.rows.values() if taught}
    assert learnt.memory.classes == [["travel"]]
    assert found._names.keys() == {"travel"}
    memory.forget_person("ann")
    assert (found._scopes, found._names) == ({}, {})


def test_a_read_that_fails_is_made_up_for(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(memory)
    with monkeypatch.context() as patch:
        patch.setattr(memory.vault.store.unguarded, "vectors", broken)
        with pytest.raises(StoreError):
            memory.suggest_tags("The roses", ANN)
    assert {each.tag for each in memory.suggest_tags("The roses", ANN)} == {"travel", "garden"}


def broken(*_: object) -> None:
    raise StoreError("The disk is gone.")


def test_labels_are_not_kept_in_mind_for_ever(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anamnos.system.tagging._NAMES", 5)
    tell(memory)
    for number in range(20):
        memory.route("The roses", ANN, {f"place {number}": ANN})
    assert memory._tagging is not None
    assert len(memory._tagging._names) <= 5


@pytest.mark.parametrize(("text", "k"), [("", 5), ("  ", 5), ("x", 0), ("x", True), ("x", 1_000)])
def test_what_cannot_be_is_refused(memory: Memory, text: str, k: int) -> None:
    with pytest.raises(InvalidInput):
        memory.suggest_tags(text, ANN, k=k)
    with pytest.raises(InvalidInput):
        memory.route(text, ANN, {"here": ANN}, k=k)


def test_another_setting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tagging"):
        vault(tmp_path, tagging="always")


def test_many_memories_are_learnt_and_only_the_newest_kept(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anamnos.system.tagging.MOST_TAUGHT", 4)
    ids = tell(memory)
    found = memory.suggest_tags("ferry roses tomatoes hotel", ANN)
    assert {i for each in found for i in each.because} <= {*ids["travel"][2:], *ids["garden"]}
    assert np.isfinite([each.score for each in found]).all()
