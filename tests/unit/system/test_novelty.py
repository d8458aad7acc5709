"""What of a new memory is known already: verdicts, links, and notes that only repeat another."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from anamnos import Memory, Scope
from anamnos.cube import CubeId, LinkKind, MemCube
from anamnos.embed.hashing import HashingEmbedder
from anamnos.errors import ConfigError, StoreError
from anamnos.system.novelty import SEEN, SIMILAR, Verdict, keys_of, repeated, wall_of
from anamnos.testing import FakeClock

ANN, BOB = Scope(user="ann"), Scope(user="bob")
TEXT = "The train to Lyon leaves from platform nine at a quarter past seven"
NEAR = "the train to Lyon leaves from platform nine at quarter past seven"
LIKE = "the train to Lyon leaves from platform nine at seven"
OTHER = "My sister keeps bees behind the old mill"


def opened(folder: Path, novelty: str = "link") -> Memory:
    return Memory(folder, embedder=HashingEmbedder(), novelty=novelty)


def added(memory: Memory, text: str, scope: Scope = ANN, **more: object) -> MemCube:
    [cube_id] = memory.add(text, scope, **more).ids
    return memory.get(cube_id, scope)


def verdict(cube: MemCube) -> str:
    return str(cube.annotations.data["novelty"]["verdict"])


def similar(cube: MemCube) -> dict[str, float]:
    return {link.target: link.weight for link in cube.links if link.kind is LinkKind.SIMILAR}


def test_what_is_like_is_linked_with_what_it_is_like(tmp_path: Path) -> None:
    with opened(tmp_path) as memory:
        first, other = added(memory, TEXT), added(memory, OTHER)
        near, like = added(memory, NEAR), added(memory, LIKE)
    assert [verdict(cube) for cube in (first, other, near, like)] == ["new", "new", "seen", "similar"]
    assert similar(first) == similar(other) == {}
    [(target, weight)] = similar(near).items()
    assert target == first.id
    assert weight >= SEEN
    assert SIMILAR <= next(iter(similar(like).values())) < SEEN


def test_off_leaves_no_trace(tmp_path: Path) -> None:
    with opened(tmp_path, "off") as memory:
        added(memory, TEXT)
        near = added(memory, NEAR)
    assert "novelty" not in near.annotations.data
    assert not near.links


def test_no_comparison_goes_beyond_the_owner(tmp_path: Path) -> None:
    with opened(tmp_path) as memory:
        added(memory, TEXT)
        assert verdict(added(memory, TEXT, BOB)) == "new"
        assert verdict(added(memory, TEXT, Scope(tenant="other", user="ann"))) == "new"
        assert verdict(added(memory, TEXT, Scope(agent="tutor"))) == "new"
        assert verdict(added(memory, NEAR, Scope(user="ann", agent="tutor", session="1"))) == "seen"
    assert wall_of(Scope(agent="a", session="s")) == Scope(agent="a")
    assert wall_of(Scope(session="s")) == Scope(session="s")


@pytest.mark.parametrize("reopened", [False, True])
def test_what_was_deleted_archived_or_edited_is_compared_with_no_more(tmp_path: Path, reopened: bool) -> None:
    memory = opened(tmp_path)
    ids = [added(memory, f"{number} {TEXT} {number}").id for number in ("one", "two", "three")]
    memory.delete(ids[0], ANN)
    memory.archive(ids[1], ANN)
    memory.update(ids[2], ANN, content=OTHER)
    if reopened:
        memory.close()
        memory = opened(tmp_path)
    with memory:
        assert verdict(added(memory, TEXT)) == "new"
        assert similar(added(memory, f"so {OTHER}")).keys() == {ids[2]}


def test_those_of_one_batch_are_compared_with_each_other(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": text} for text in (OTHER, TEXT, NEAR)]
    with opened(tmp_path) as memory:
        ids = memory.add(messages, ANN).ids
        assert similar(memory.get(ids[2], ANN)).keys() == {ids[1]}


def test_a_note_that_only_repeats_another_reinforces_it(tmp_path: Path) -> None:
    with opened(tmp_path, "reinforce") as memory:
        first = added(memory, TEXT)
        receipt = memory.add(f"  {TEXT}. ", ANN)
        assert (receipt.ids, receipt.outcomes) == ((first.id,), ("updated",))
        assert memory.get(first.id, ANN).lifecycle.uses == first.lifecycle.uses + 1
        assert len(memory.list(ANN)) == 1


@pytest.mark.parametrize(
    ("text", "more"),
    [
        (NEAR, {}),
        (TEXT.replace("Lyon", "lyon"), {}),
        (f"{TEXT}?", {}),
        (f"{TEXT}!", {"tags": ["travel"]}),
        (f"{TEXT}!", {"data": {"seat": 4}}),
        (f"{TEXT}!", {"importance": 0.9}),
        (f"{TEXT}!", {"source": "letter.txt"}),
        (f"{TEXT}!", {"created_at": datetime(2020, 1, 1, tzinfo=UTC)}),
        (f"{TEXT}!", {"expires_at": datetime.now(UTC) + timedelta(days=1)}),
    ],
)
def test_a_note_that_says_anything_more_is_stored(tmp_path: Path, text: str, more: dict[str, object]) -> None:
    with opened(tmp_path, "reinforce") as memory:
        first = added(memory, TEXT)
        again = added(memory, text, **more)
    assert again.id != first.id
    assert similar(again).keys() == {first.id}


def test_a_turn_is_never_merged(tmp_path: Path) -> None:
    with opened(tmp_path, "reinforce") as memory:
        ids = [memory.add([{"role": "user", "content": text}], ANN).ids[0] for text in (TEXT, f"{TEXT}.")]
        assert len(set(ids)) == 2
        cube, known = (memory.get(each, ANN) for each in ids)
        assert repeated(cube, known, datetime.now(UTC)) is None


def test_a_file_read_again_adds_nothing(tmp_path: Path) -> None:
    notes = tmp_path / "notes.md"
    notes.write_text(f"# Travel\n\n{TEXT}.\n\n{OTHER}.\n", "utf-8")
    with opened(tmp_path / "vault", "reinforce") as memory:
        first = memory.ingest(notes, ANN)
        again = memory.ingest(notes, ANN)
    assert again.ids == first.ids
    assert set(again.outcomes) == {"unchanged"}


def test_what_is_closed_again_is_compared_with_no_more(tmp_path: Path) -> None:
    clock = FakeClock(datetime(2024, 5, 1, tzinfo=UTC))
    with Memory(tmp_path, embedder=HashingEmbedder(), novelty="link", clock=clock) as memory:
        memory.policy.register("agent:tutor")
        first = added(memory, TEXT)
        memory.share(first.id, ANN, to="agent:tutor", until=datetime(2024, 5, 2, tzinfo=UTC))
        scope = Scope(user="ann", agent="tutor")
        with memory.as_principal("agent:tutor") as tutor:
            assert similar(added(tutor, NEAR, scope)).keys() == {first.id}
            clock.advance(86_401)  # nothing changes in the store
            after = added(tutor, f"so {TEXT}", scope)
            assert first.id not in similar(after)
            assert after.annotations.data["novelty"]["belief"] < 0.9


def test_what_has_expired_is_linked_with_no_more(tmp_path: Path) -> None:
    clock = FakeClock(datetime(2024, 5, 1, tzinfo=UTC))
    with Memory(tmp_path, embedder=HashingEmbedder(), novelty="link", clock=clock) as memory:
        first = added(memory, TEXT, expires_at=datetime(2024, 5, 2, tzinfo=UTC))
        assert similar(added(memory, NEAR)).keys() == {first.id}
        clock.advance(86_401)  # expire() has not come to it yet
        assert first.id not in similar(added(memory, f"so {TEXT}"))


def test_nothing_of_what_was_erased_stays_in_mind(tmp_path: Path) -> None:
    with opened(tmp_path) as memory:
        first = added(memory, TEXT)
        added(memory, OTHER)
        [novelty] = memory._novelties.values()
        assert (memory.delete(first.id, ANN).outcomes, len(novelty)) == (("deleted",), 1)
        memory.forget_person("ann")
        assert memory._novelties == {}


def test_a_read_that_fails_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path, "off") as memory:
        added(memory, TEXT)
    with opened(tmp_path) as memory:
        for text in (NEAR, LIKE):  # once as all is read for the first time, once as what has changed is
            with monkeypatch.context() as patch:
                patch.setattr(memory.vault.store.unguarded, "rows_of", broken)
                with pytest.raises(StoreError):
                    memory.add("anything", ANN)
            assert similar(added(memory, text))
            memory.add(OTHER, ANN)
        memory._novelties[ANN].catch_up()
        assert len(memory._novelties[ANN]) == 4


def broken(*_: object) -> None:
    raise StoreError("The disk is gone.")


def test_many_owners_and_threads_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anamnos.memory.core.MAX_NOVELTIES", 2)
    with Memory(tmp_path, embedder=HashingEmbedder(), novelty="link", tagging="auto") as memory:

        def live(number: int) -> set[str]:
            scope = Scope(user=f"user {number % 4}")
            for text in (TEXT, NEAR, OTHER):
                memory.add(f"{number} {text}", scope, tags=["trip"] if number % 2 else ())
                memory.suggest_tags(text, scope)
            return {link.target for cube in memory.list(scope) for link in cube.links}

        with ThreadPoolExecutor(6) as pool:
            linked = list(pool.map(live, range(12)))
        assert all(linked)
        assert len(memory._novelties) <= 2
        for number in range(4):
            scope = Scope(user=f"user {number}")
            own = {cube.id for cube in memory.list(scope)}
            assert len(own) == 9
            assert {link.target for cube in memory.list(scope) for link in cube.links} <= own
        assert memory.verify() == []


def test_keys_are_unit_vectors_of_meaning_and_words() -> None:
    vectors = np.eye(4, dtype=np.float32)[:2]
    keys = keys_of(["one two", "one two"], vectors)
    assert np.allclose(np.linalg.norm(keys, axis=1), 1)
    assert keys[0] @ keys[1] == pytest.approx(0.7, abs=1e-5)


def test_verdicts() -> None:
    known = CubeId("01890a5d-ac96-774b-bcce-b302099a8057")
    assert Verdict(0.9, None).name == "new"
    names = [Verdict(belief, known).name for belief in (SIMILAR - 0.01, SIMILAR, SEEN)]
    assert names == ["new", "similar", "seen"]


def test_an_unknown_setting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="novelty"):
        opened(tmp_path, "maybe")
