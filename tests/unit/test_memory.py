"""The verbs of Memory: what each promises, and what it does with the same thing twice."""

import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anamnos import Memory, Scope, where
from anamnos.cube import Lifecycle, MemCube, Role, State, thaw_json
from anamnos.embed.hashing import HashingEmbedder
from anamnos.errors import AccessDenied, ConfigError, Conflict, InvalidInput, NotFound, ProviderError, StoreError
from anamnos.store.apply import apply
from anamnos.testing import FakeClock, FakeEmbedder, ReferenceStore, seeded_ids
from anamnos.types import Comparison, Field, Op, OpKind, Where

ANN, BOB = Scope(user="ann"), Scope(user="bob")
MONDAY = Scope(user="ann", session="monday")
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
ALL = Where(Field.STATE, Comparison.IN, tuple(State))


@pytest.fixture
def memory(tmp_path: Path, clock: FakeClock) -> Iterator[Memory]:
    with Memory(tmp_path / "vault", embedder=FakeEmbedder(), clock=clock, new_id=seeded_ids(1)) as memory:
        yield memory


def texts(memory: Memory, scope: Scope = ANN, **kwargs: Any) -> list[str]:
    return [cube.text for cube in memory.list(scope, **kwargs)]


def message(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": text, **more}


# --- add: what is kept


def test_a_text_becomes_a_note_of_the_present(memory: Memory, clock: FakeClock) -> None:
    receipt = memory.add("  The key is under the pot.\n", ANN, tags=["home"], importance=0.9, source="me", trust=0.7)
    assert (receipt.outcomes, receipt.state, receipt.sequence) == (("added",), "indexed", 1)
    cube = memory.get(receipt.ids[0], ANN)
    assert cube.content == "  The key is under the pot.\n", "verbatim"
    assert (cube.role, cube.version, cube.scope) == (Role.NOTE, 1, ANN)
    assert cube.time.created_at == cube.time.recorded_at == clock()
    assert (cube.annotations.tags, cube.lifecycle.importance) == (("home",), 0.9)
    assert (cube.provenance.source, cube.provenance.trust) == ("me", 0.7)


def test_a_text_may_have_a_role_and_a_time(memory: Memory) -> None:
    (cube_id,) = memory.add("Ann was born in Turin.", ANN, role="fact", created_at=NOON).ids
    cube = memory.get(cube_id, ANN)
    assert (cube.role, cube.time.created_at) == (Role.FACT, NOON)
    assert memory.add("Ann was born in Turin.", ANN, role=Role.FACT, created_at=NOON).outcomes == ("unchanged",)


def test_messages_keep_their_own_times_and_unknown_stays_unknown(memory: Memory, clock: FakeClock) -> None:
    said = [
        message("long ago", at="2001-02-03T04:05:06+02:00", id="1"),
        message("who knows when", id="2"),
        message("seconds", timestamp=1_700_000_000, session="early"),
    ]
    first, second, third = (memory.get(i, ANN) for i in memory.add(said, ANN).ids)
    assert first.time.created_at == datetime(2001, 2, 3, 2, 5, 6, tzinfo=UTC)
    assert first.time.recorded_at == clock()
    assert second.time.created_at is None
    assert third.time.created_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert (first.scope, third.scope) == (ANN, Scope(user="ann", session="early"))
    assert {c.role for c in (first, second, third)} == {Role.TURN}
    assert [c.text for c in memory.list(ANN, filter=where(until="2002-01-01T00:00:00Z"))] == ["long ago"]


def test_one_message_may_be_given_alone(memory: Memory) -> None:
    (cube_id,) = memory.add(message("hello", name="Ann"), ANN).ids
    assert memory.get(cube_id, ANN).provenance.actor == "Ann"


def test_messages_without_text_are_left_out(memory: Memory) -> None:
    receipt = memory.add(
        [message("hello"), message(" "), {"role": "assistant", "content": None, "tool_calls": [1]}], ANN
    )
    assert receipt.outcomes == ("added",)


def test_ids_are_in_the_order_of_the_input(memory: Memory) -> None:
    memory.add([message("b", id="b"), message("d", id="d")], ANN)
    receipt = memory.add([message(letter, id=letter) for letter in "abcde"], ANN)
    assert receipt.outcomes == ("added", "unchanged", "added", "unchanged", "added")
    assert [memory.get(i, ANN).text for i in receipt.ids] == list("abcde")


def test_a_long_list_is_written_in_batches_with_one_receipt(tmp_path: Path) -> None:
    with Memory(tmp_path / "v", embedder=FakeEmbedder(), batch_size=7) as memory:
        receipt = memory.add([message(f"number {n}") for n in range(50)], ANN)
        assert receipt.count("added") == 50 == receipt.sequence
        assert [memory.get(i, ANN).text for i in receipt.ids] == [f"number {n}" for n in range(50)]
        assert memory.add([message(f"number {n}") for n in range(52)], ANN).count("added") == 2


# --- the same twice


def test_the_same_text_twice_adds_nothing(memory: Memory, clock: FakeClock) -> None:
    first = memory.add("The key is under the pot.", ANN)
    before = memory.get(first.ids[0], ANN)
    clock.advance(days=1)
    again = memory.add("The key is under the pot.", ANN)
    assert (again.ids, again.outcomes, again.sequence) == (first.ids, ("unchanged",), first.sequence)
    assert memory.get(first.ids[0], ANN) == before


def test_the_same_text_elsewhere_is_another_memory(memory: Memory) -> None:
    for scope in (ANN, BOB, MONDAY, Scope(tenant="other", user="ann"), Scope(user="ann", agent="a")):
        assert memory.add("hello", scope).outcomes == ("added",)
    assert memory.add("hello", ANN, source="a letter").outcomes == ("added",)


def test_the_same_words_twice_in_one_list_are_two_memories(memory: Memory) -> None:
    said = [message("yes"), message("really?"), message("yes")]
    receipt = memory.add(said, ANN)
    assert receipt.outcomes == ("added",) * 3
    assert len(set(receipt.ids)) == 3
    again = memory.add(said, ANN)
    assert (again.ids, again.outcomes) == (receipt.ids, ("unchanged",) * 3)
    assert memory.add([*said, message("yes")], ANN).outcomes == ("unchanged",) * 3 + ("added",)


def test_the_same_words_at_another_time_are_another_memory(memory: Memory) -> None:
    for hour in (1, 2):
        assert memory.add(message("yes", at=NOON + timedelta(hours=hour)), ANN).outcomes == ("added",)
    assert memory.add(message("yes", at=NOON + timedelta(hours=1)), ANN).outcomes == ("unchanged",)


def test_an_edited_message_makes_a_new_version(memory: Memory) -> None:
    (cube_id,) = memory.add(message("I lve in Rome", id="m1", at=NOON), ANN, source="chat", tags=["a"]).ids
    receipt = memory.add(message("I live in Rome", id="m1", at=NOON), ANN, source="chat")
    assert (receipt.ids, receipt.outcomes) == ((cube_id,), ("updated",))
    assert [cube.text for cube in memory.history(cube_id, ANN)] == ["I lve in Rome", "I live in Rome"]
    assert memory.get(cube_id, ANN).annotations.tags == ("a",)
    assert memory.add(message("I live in Rome", id="m1", at=NOON), ANN, source="chat").outcomes == ("unchanged",)
    assert memory.add(message("I lve in Rome", id="m1", at=NOON), ANN, source="chat").outcomes == ("updated",)
    assert memory.add(message("I live in Rome", id="m1", at=NOON), ANN, source="other chat").outcomes == ("added",)


@pytest.mark.parametrize("what", ["a text", message("a text"), message("a text", at=NOON), message("a text", id="m1")])
@pytest.mark.parametrize("change", [{"tags": ["t"]}, {"importance": 1.0}, {"data": {"note": 1}}, {"valid_from": NOON}])
def test_what_was_annotated_is_still_known(memory: Memory, what: Any, change: dict[str, Any]) -> None:
    (cube_id,) = memory.add(what, ANN).ids
    assert memory.update(cube_id, ANN, **change).outcomes == ("updated",)
    again = memory.add(what, ANN)
    assert (again.ids, again.outcomes) == ((cube_id,), ("unchanged",))


def test_a_correction_by_hand_outlives_the_same_source_read_again(memory: Memory) -> None:
    said = message("I live in Rome", id="m1")
    (cube_id,) = memory.add(said, ANN).ids
    memory.update(cube_id, ANN, content="I live in Roma")
    assert memory.add(said, ANN).outcomes == ("unchanged",)
    assert texts(memory) == ["I live in Roma"]
    assert memory.add(message("I live in Milan", id="m1"), ANN).outcomes == ("updated",), "the source has changed"
    assert memory.add(message("I live in Milan", id="m1"), ANN).outcomes == ("unchanged",)
    assert texts(memory) == ["I live in Milan"]
    assert [cube.version for cube in memory.history(cube_id, ANN)] == [1, 2, 3]


def test_a_correction_may_say_what_another_memory_says(memory: Memory) -> None:
    _, two = memory.add([message("x", at=NOON), message("y", at=NOON)], ANN).ids
    assert memory.update(two, ANN, content="x").outcomes == ("updated",)
    assert texts(memory) == ["x", "x"]
    assert memory.add(message("x", at=NOON), ANN).outcomes == ("unchanged",)


# --- ingest: files that are read again


def write(path: Path, *passages: str) -> Path:
    path.write_text("\n\n".join(passages))
    return path


def in_file_order(memory: Memory, ids: tuple[str, ...]) -> list[str]:
    found = (memory.get(i, ANN) for i in ids)
    return [cube.text for cube in found if cube.lifecycle.state is not State.ARCHIVED]


def test_a_file_read_twice_adds_nothing(memory: Memory, tmp_path: Path) -> None:
    path = write(tmp_path / "notes.txt", "one", "two", "one", "three")
    first = memory.ingest(path, ANN, tags=["notes"])
    assert first.outcomes == ("added",) * 4
    again = memory.ingest(path, ANN)
    assert (again.ids, again.outcomes, again.sequence) == (first.ids, ("unchanged",) * 4, first.sequence)
    cube = memory.get(first.ids[0], ANN)
    assert (cube.provenance.source, cube.provenance.operator) == (str(path.absolute()), "text/1")
    assert cube.role is Role.RESOURCE


def test_an_edited_passage_is_a_new_version_of_itself(memory: Memory, tmp_path: Path) -> None:
    path = write(tmp_path / "notes.txt", "one", "two", "three")
    first = memory.ingest(path, ANN)
    receipt = memory.ingest(write(path, "one", "two and a half", "three"), ANN)
    assert (receipt.ids, receipt.outcomes) == (first.ids, ("unchanged", "updated", "unchanged"))
    assert [v.text for v in memory.history(first.ids[1], ANN)] == ["two", "two and a half"]


def test_a_passage_put_in_between_stays_when_the_file_is_read_again(memory: Memory, tmp_path: Path) -> None:
    path = write(tmp_path / "notes.txt", "one", "three")
    memory.ingest(path, ANN)
    assert memory.ingest(write(path, "one", "two", "three"), ANN).outcomes == ("unchanged", "added", "unchanged")
    for _ in range(2):
        assert memory.ingest(path, ANN).outcomes == ("unchanged",) * 3
        assert sorted(texts(memory)) == ["one", "three", "two"]


def test_a_lost_passage_is_archived_and_may_come_back(memory: Memory, tmp_path: Path) -> None:
    path = write(tmp_path / "notes.txt", "one", "two", "three")
    _, lost, _ = memory.ingest(path, ANN).ids
    receipt = memory.ingest(write(path, "one", "three"), ANN)
    assert receipt.outcomes == ("unchanged", "unchanged", "updated")
    assert receipt.ids[-1] == lost
    assert texts(memory) == ["one", "three"]
    assert memory.get(lost, ANN).lifecycle.state is State.ARCHIVED
    assert {h.content for h in memory.search("two", ANN)} == {"one", "three"}
    assert memory.ingest(path, ANN).outcomes == ("unchanged", "unchanged")
    back = memory.ingest(write(path, "one", "two", "three"), ANN)
    assert back.outcomes == ("unchanged", "updated", "unchanged")
    assert back.ids[1] == lost
    assert sorted(texts(memory)) == ["one", "three", "two"]


def test_a_correction_of_a_passage_outlives_the_same_file(memory: Memory, tmp_path: Path) -> None:
    path = write(tmp_path / "notes.txt", "one", "two")
    _, two = memory.ingest(path, ANN).ids
    memory.update(two, ANN, content="two, corrected")
    assert memory.ingest(path, ANN).outcomes == ("unchanged", "unchanged")
    assert texts(memory) == ["one", "two, corrected"]


EDITS = [
    ("aab", "aaab"),
    ("aab", "baa"),
    ("abc", "cab"),
    ("abcd", "dcba"),
    ("abab", "bbbb"),
    ("aaaa", "a"),
    ("abc", "xaxbxcx"),
    ("abcabc", "abc"),
    ("ab", "cd"),
    ("a", "aa"),
]


@pytest.mark.parametrize(("before", "after"), [*EDITS, *(pair[::-1] for pair in EDITS)])
def test_after_any_edit_the_memories_are_the_passages(memory: Memory, tmp_path: Path, before: str, after: str) -> None:
    path = write(tmp_path / "notes.txt", *before)
    memory.ingest(path, ANN)
    receipt = memory.ingest(write(path, *after), ANN)
    assert in_file_order(memory, receipt.ids) == list(after)
    assert sorted(texts(memory)) == sorted(after)
    again = memory.ingest(path, ANN)
    assert set(again.outcomes) == {"unchanged"}
    assert sorted(again.ids) == sorted(receipt.ids[: len(after)]), "but for the order of equal passages"
    memory.ingest(write(path, *before), ANN)
    assert sorted(texts(memory)) == sorted(before)
    assert memory.verify() == []


def test_a_file_whose_ingest_stopped_is_completed(memory: Memory, tmp_path: Path) -> None:
    """Even where passages repeat: what follows the stop is not taken for what came before it."""
    path = write(tmp_path / "notes.txt", *"aabacaada")

    class Stop(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise Stop

    for batch_size in (1, 2, 4):
        scope = Scope(user=f"user{batch_size}")
        object.__setattr__(memory.settings, "batch_size", batch_size)
        with pytest.raises(Stop):
            memory.ingest(path, scope, progress=stop)
        assert len(memory.list(scope)) == batch_size
        receipt = memory.ingest(path, scope)
        assert receipt.outcomes == ("unchanged",) * batch_size + ("added",) * (9 - batch_size)
        assert texts(memory, scope) == list("aabacaada")


def test_a_shorter_chat_export_loses_nothing(memory: Memory, tmp_path: Path) -> None:
    path = tmp_path / "chat.json"
    path.write_text(json.dumps([message("one"), message("two"), message("three")]))
    memory.ingest(path, ANN)
    path.write_text(json.dumps([message("two"), message("three"), message("four")]))
    receipt = memory.ingest(path, ANN)
    assert receipt.outcomes == ("unchanged", "unchanged", "added")
    assert texts(memory) == ["one", "two", "three", "four"]


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    with Memory(tmp_path / "v", embedder=FakeEmbedder(), batch_size=4) as memory:
        path = write(tmp_path / "notes.txt", *"abcdefghij")
        memory.ingest(path, ANN, progress=lambda done, total: told.append((done, total)))
        assert told == [(4, 10), (8, 10), (10, 10)]
        memory.export(tmp_path / "export.jsonl")
    told.clear()
    with Memory(tmp_path / "w", embedder=FakeEmbedder(), batch_size=4) as memory:
        memory.import_(tmp_path / "export.jsonl", progress=lambda done, total: told.append((done, total)))
    assert told == [(4, 10), (8, 10), (10, 10)]


# --- update


def test_an_update_is_merged_and_the_older_version_remains(memory: Memory, clock: FakeClock) -> None:
    (cube_id,) = memory.add("v1", ANN, tags=["a"], created_at=NOON).ids
    first = memory.get(cube_id, ANN)
    memory.update(cube_id, ANN, data={"x": {"deep": [1, 2]}, "y": 1})
    clock.advance(days=1)
    memory.update(cube_id, ANN, content="v3", data={"y": None, "z": "new"}, importance=0.8, valid_to=NOON)
    cube = memory.get(cube_id, ANN)
    assert (cube.text, cube.version, cube.annotations.tags) == ("v3", 3, ("a",))
    assert dict(cube.annotations.data) == {"x": {"deep": (1, 2)}, "z": "new"}
    assert (cube.lifecycle.importance, cube.time.valid_to, cube.time.created_at) == (0.8, NOON, NOON)
    history = memory.history(cube_id, ANN)
    assert [c.version for c in history] == [1, 2, 3]
    assert history[0].text == first.text
    assert history[0].time.superseded_at == history[1].time.recorded_at
    assert history[1].time.superseded_at == clock() == cube.time.recorded_at
    assert cube.time.superseded_at is None
    assert memory.get(cube_id, ANN, version=1) == history[0]
    with pytest.raises(NotFound, match="version 9"):
        memory.get(cube_id, ANN, version=9)


def test_an_update_that_changes_nothing_makes_no_version(memory: Memory) -> None:
    (cube_id,) = memory.add("v1", ANN, tags=["a"]).ids
    for change in ({}, {"content": "v1"}, {"tags": ["a"]}, {"data": {"x": None}}):
        receipt = memory.update(cube_id, ANN, **change)  # type: ignore[arg-type]
        assert (receipt.outcomes, receipt.sequence) == (("unchanged",), 1)
    assert len(memory.history(cube_id, ANN)) == 1


def test_an_update_is_found_by_its_new_words_only(memory: Memory) -> None:
    (cube_id,) = memory.add("The boat is blue.", ANN).ids
    memory.update(cube_id, ANN, content="A bicycle stands outside.")
    assert texts(memory, filter=where(contains="boat")) == []
    assert texts(memory, filter=where(contains="BICYCLE")) == ["A bicycle stands outside."]
    (hit,) = memory.search("boat", ANN)
    assert hit.channels["keyword.spread"].raw == 0


def test_an_expected_version_guards_an_update(memory: Memory) -> None:
    (cube_id,) = memory.add("v1", ANN).ids
    memory.update(cube_id, ANN, content="v2", expected_version=1)
    for wrong in (1, 3, 99):
        with pytest.raises(Conflict) as failure:
            memory.update(cube_id, ANN, content="v3", expected_version=wrong)
        assert failure.value.current_version == 2
        assert failure.value.retryable
    assert memory.get(cube_id, ANN).text == "v2"


def test_data_of_ones_own_is_kept_and_plays_no_part_in_what_is_the_same(memory: Memory) -> None:
    first = memory.add("The boat is blue.", ANN, data={"ticket": 7, "who": {"id": "a"}})
    assert thaw_json(memory.get(first.ids[0], ANN).annotations.data) == {"ticket": 7, "who": {"id": "a"}}
    assert memory.add("The boat is blue.", ANN, data={"ticket": 8}).outcomes == ("unchanged",)
    said = memory.add([{"role": "user", "content": "Hi.", "mood": "good"}], ANN, data={"ticket": 9})
    assert memory.get(said.ids[0], ANN).annotations.data["ticket"] == 9
    for wrong in ([1], "x", {"a": float("nan")}, {1: 2}):
        with pytest.raises(InvalidInput):
            memory.add("Something else.", ANN, data=wrong)  # type: ignore[arg-type]


def test_who_rewrites_a_memory_does_not_inherit_its_trust(memory: Memory) -> None:
    (cube_id,) = memory.add("My bank is in Main Street.", ANN).ids
    memory.update(cube_id, ANN, tags=["bank"], trust="web")
    assert memory.get(cube_id, ANN).provenance.trust == 1.0  # no word of it is the page's
    memory.update(cube_id, ANN, content="My bank is at example.org.", trust="web")
    assert memory.get(cube_id, ANN).provenance.trust == 0.3
    memory.update(cube_id, ANN, content="My bank is in Side Street.", trust="user")
    assert memory.get(cube_id, ANN).provenance.trust == 0.3  # it rises by nobody's word
    with pytest.raises(InvalidInput):
        memory.update(cube_id, ANN, content="x", trust=2.0)
    assert memory.get(cube_id, ANN).version == 4


def test_a_frozen_memory_cannot_be_changed_but_read(memory: Memory) -> None:
    new = MemCube(id=seeded_ids(9)(NOON), content="held", scope=ANN, lifecycle=Lifecycle(state=State.FROZEN))
    memory.add("other", ANN)
    with memory.vault.store.write() as tx:
        apply(Op(OpKind.ADD, cube=new), tx, now=NOON)
    for verb in (lambda: memory.update(new.id, ANN, content="x"), lambda: memory.delete(new.id, ANN)):
        with pytest.raises(AccessDenied):
            verb()
    with pytest.raises(AccessDenied):
        memory.delete_all(ANN)
    assert sorted(texts(memory)) == ["held", "other"], "all or nothing"


# --- delete


def test_delete_takes_all_versions_or_nothing(memory: Memory) -> None:
    one, _ = (memory.add(text, ANN).ids[0] for text in ("one", "two"))
    memory.update(one, ANN, content="uno")
    (other,) = memory.add("bob's", BOB).ids
    for ids in ([one, other], [one, "00000000-0000-7000-8000-000000000000"]):
        with pytest.raises(NotFound):
            memory.delete(ids, ANN)
    assert texts(memory) == ["uno", "two"]
    receipt = memory.delete([one, one], ANN)
    assert (receipt.ids, receipt.outcomes, receipt.state) == ((one,), ("deleted",), "erased")
    for read in (memory.get, memory.history):
        with pytest.raises(NotFound):
            read(one, ANN)
    assert memory.add("uno", ANN).outcomes == ("added",)
    assert memory.delete([], ANN).outcomes == ()


def test_delete_all_keeps_to_its_scope_and_filter(memory: Memory, tmp_path: Path) -> None:
    for scope in (ANN, MONDAY, BOB, Scope(tenant="other", user="ann")):
        memory.add([message("one"), message("two")], scope)
    assert memory.delete_all(MONDAY, filter=where(contains="one")).count("deleted") == 1
    assert texts(memory, MONDAY) == ["two"]
    assert memory.delete_all(MONDAY).count("deleted") == 1
    assert texts(memory) == ["one", "two"]
    path = write(tmp_path / "notes.txt", "a", "b")
    memory.ingest(path, ANN)
    memory.ingest(write(path, "a"), ANN)
    assert memory.delete_all(ANN).count("deleted") == 4, "the archived passage too"
    assert memory.list(ANN, filter=ALL) == []
    assert memory.delete_all(ANN).outcomes == ()
    assert memory.stats()["memories"] == 4
    assert memory.stats()["scopes"] == 2


# --- reading


def test_a_memory_of_another_scope_is_not_found(memory: Memory) -> None:
    (cube_id,) = memory.add("secret", MONDAY).ids
    assert memory.get(cube_id, ANN).text == "secret"
    for scope in (BOB, Scope(user="ann", session="tuesday"), Scope(tenant="t", user="ann"), Scope(session="monday")):
        for verb in (memory.get, memory.history, memory.update, memory.delete):
            with pytest.raises(NotFound) as failure:
                verb(cube_id, scope)
            assert "secret" not in str(failure.value)
        assert memory.list(scope) == []
        assert memory.search("secret", scope) == []


def test_lists_go_page_by_page(memory: Memory) -> None:
    memory.add([message(f"number {n}") for n in range(25)], ANN)
    pages, after = [], None
    while page := memory.list(ANN, limit=10, after=after):
        pages.append([cube.text for cube in page])
        after = page[-1].id
    assert [len(page) for page in pages] == [10, 10, 5]
    assert [*itertools.chain(*pages)] == [f"number {n}" for n in range(25)]
    assert len(memory.list(ANN, limit=None)) == 25


def test_stats_count_what_a_scope_holds(memory: Memory) -> None:
    memory.add([message("one"), message("two")], MONDAY)
    memory.add("three", ANN)
    memory.add("four", BOB)
    stats = memory.stats(ANN)
    assert (stats["memories"], stats["scopes"], stats["sequence"]) == (3, 2, 4)
    assert stats["roles"] == {"turn": 2, "note": 1}
    assert stats["states"] == {"generated": 3}
    assert stats["embedder"] == {"id": "fake-crc32-16", "dim": 16}
    everything = memory.stats()
    assert (everything["memories"], everything["scopes"]) == (4, 3)
    assert everything["bytes"]["database"] > 0


# --- the embedder


def test_the_vault_remembers_its_embedder(tmp_path: Path) -> None:
    with Memory(tmp_path, embedder="hashing") as memory:
        memory.add("one", ANN)
    with Memory(tmp_path) as memory:
        assert memory.embedder.id == "hashing-384-v1"
        memory.add("two", ANN)
    with Memory(tmp_path / "object", embedder=HashingEmbedder()) as memory:
        memory.add("one", ANN)
    with Memory(tmp_path / "object") as memory:
        assert memory.embedder.id == "hashing-384-v1"


def test_another_embedder_is_refused_with_the_fix(tmp_path: Path) -> None:
    with Memory(tmp_path, embedder="hashing") as memory:
        memory.add("one", ANN)
    with pytest.raises(ConfigError, match=r"hashing-384-v1.*fake-crc32-16") as failure:
        Memory(tmp_path, embedder=FakeEmbedder())
    assert "anamnos reembed" in failure.value.hint
    with Memory(tmp_path) as memory:
        assert texts(memory) == ["one"]


def test_an_empty_vault_takes_any_embedder(tmp_path: Path) -> None:
    Memory(tmp_path, embedder="hashing").close()
    with Memory(tmp_path, embedder=FakeEmbedder()) as memory:
        memory.add("one", ANN)
    with Memory(tmp_path, embedder=FakeEmbedder()) as memory:
        assert memory.stats()["embedder"]["id"] == "fake-crc32-16"


class Stopping(HashingEmbedder):
    """Fails after so many texts."""

    def __init__(self, dim: int, left: int) -> None:
        super().__init__(dim)
        self.left = left
        self.seen: list[str] = []

    def embed(self, texts: Any) -> Any:
        if self.left <= 0:
            raise ProviderError("The model has gone.", retryable=True)
        self.left -= len(texts)
        self.seen += texts
        return super().embed(texts)


def test_reembed_goes_on_where_it_stopped_and_the_old_serves_until_the_switch(tmp_path: Path) -> None:
    with Memory(tmp_path, embedder="hashing", batch_size=10) as memory:
        memory.add([message(f"item{n} of many") for n in range(55)], ANN)
        (extra,) = memory.add("a version", ANN).ids
        memory.update(extra, ANN, content="another version")
        before = [h.to_dict() for h in memory.search("item7 of many", ANN)]
        with pytest.raises(ProviderError):
            memory.reembed(Stopping(64, left=30))
        assert [h.to_dict() for h in memory.search("item7 of many", ANN)] == before
        assert memory.stats()["embedder"]["dim"] == 384
        memory.add("written in between", ANN)
        assert memory.verify() == []
    with Memory(tmp_path, embedder="hashing", batch_size=10) as memory:
        rest, told = Stopping(64, left=1_000), list[tuple[int, int]]()
        memory.reembed(rest, progress=lambda done, total: told.append((done, total)))
        assert len(rest.seen) == 58 - 30, "what was done is not done again"
        assert told[-1][0] <= told[-1][1]
        assert memory.stats()["embedder"] == {"id": "hashing-64-v1", "dim": 64}
        assert memory.search("item7 of many", ANN, top_k=1)[0].content == "item7 of many"
        assert memory.verify() == []
        assert [path.name[:10] for path in (tmp_path / "index").iterdir()] == ["hashing-64"]
    with pytest.raises(ConfigError):
        Memory(tmp_path, embedder="hashing")
    with Memory(tmp_path, embedder=HashingEmbedder(64)) as memory:
        assert [v.text for v in memory.history(extra, ANN)] == ["a version", "another version"]


def test_reembed_by_name_is_remembered(tmp_path: Path) -> None:
    with Memory(tmp_path, embedder=HashingEmbedder(64)) as memory:
        memory.add("one", ANN)
        memory.reembed("hashing")
    with Memory(tmp_path) as memory:
        assert memory.embedder.id == "hashing-384-v1"


def test_a_client_with_the_old_embedder_is_told_of_the_switch(tmp_path: Path) -> None:
    with Memory(tmp_path, embedder="hashing") as one, Memory(tmp_path, embedder="hashing") as other:
        (cube_id,) = one.add("one", ANN).ids
        one.reembed(HashingEmbedder(64))
        for verb in (
            lambda: other.add("two", ANN),
            lambda: other.update(cube_id, ANN, content="uno"),
            lambda: other.search("one", ANN),
        ):
            with pytest.raises(ConfigError, match="hashing-64-v1") as failure:
                verb()
            assert "again" in failure.value.hint
        assert texts(other) == ["one"], "reading works"
        assert one.verify() == []


def test_a_failing_embedder_changes_nothing(memory: Memory) -> None:
    memory.add("one", ANN)
    cube_id = memory.list(ANN)[0].id
    for verb in (
        lambda: memory.add("two", ANN),
        lambda: memory.update(cube_id, ANN, content="uno"),
        lambda: memory.search("one", ANN),
    ):
        memory.embedder.fail_next = True  # type: ignore[attr-defined]
        with pytest.raises(ProviderError):
            verb()
        assert (texts(memory), memory.stats()["sequence"]) == (["one"], 1)


# --- export, import, backup, rebuild


ODD = [
    "a\u2028b\u2029c\u0085d",
    "tab\tline\nend\r\n",
    'quote " back \\ slash',
    "日本語 🙂",
    "\x01\x7f\x0b\x0c\x1c\x1d",
    "é e\u0301",
]


def fill(memory: Memory, tmp_path: Path) -> None:
    memory.add([message(text, at=NOON, name="Ann", id=str(n)) for n, text in enumerate(ODD)], MONDAY, source="chat")
    (cube_id,) = memory.add("first", ANN, tags=["t"]).ids
    memory.update(cube_id, ANN, content="second", data={"k": [1, None, {"x": 1.5}]})
    memory.add("bob's", BOB)
    path = write(tmp_path / "doc.txt", "a", "b")
    memory.ingest(path, ANN)
    memory.ingest(write(path, "a"), ANN)


def everything(memory: Memory) -> list[dict[str, Any]]:
    return [cube.to_dict() for cube, _, _ in memory.vault.store.export()]


def test_what_is_exported_comes_back_the_same(memory: Memory, tmp_path: Path) -> None:
    fill(memory, tmp_path)
    assert memory.export(tmp_path / "all.jsonl") == len(everything(memory)) == 12
    assert memory.export(tmp_path / "bob.jsonl", BOB) == 1
    with Memory(tmp_path / "other", embedder=FakeEmbedder()) as other:
        receipt = other.import_(tmp_path / "all.jsonl")
        assert receipt.count("added") == 12
        assert everything(other) == everything(memory)
        assert other.verify() == []
        want = [(h.id, h.rank_score) for h in memory.search("Ann said b", ANN)]
        assert [i for i, _ in want] == [h.id for h in other.search("Ann said b", ANN)]
        assert other.import_(tmp_path / "all.jsonl").count("unchanged") == 12
        assert other.export(tmp_path / "again.jsonl") == 12
        assert other.add([message(ODD[0], at=NOON, name="Ann", id="0")], MONDAY, source="chat").outcomes == (
            "unchanged",
        )
    lines = [(tmp_path / name).read_text().split("\n") for name in ("again.jsonl", "all.jsonl")]
    assert lines[0][1:] == lines[1][1:], "but for the time in the first line"
    with Memory(tmp_path / "third", embedder="hashing") as third:
        third.import_(tmp_path / "bob.jsonl")
        assert (everything(third)[0]["content"], third.verify()) == ("bob's", []), "embedded anew"


def test_an_import_is_all_or_nothing(memory: Memory, tmp_path: Path) -> None:
    fill(memory, tmp_path)
    memory.export(tmp_path / "all.jsonl")
    with Memory(tmp_path / "other", embedder=FakeEmbedder(), new_id=seeded_ids(5)) as other:
        other.import_(tmp_path / "all.jsonl")
        changed = other.list(BOB)[0]
        other.delete(changed.id, BOB)
    # the same id with other content
    lines = (tmp_path / "all.jsonl").read_text().split("\n")
    with Memory(tmp_path / "other", embedder=FakeEmbedder(), new_id=seeded_ids(5)) as other:
        before = everything(other)
        (tmp_path / "changed.jsonl").write_text("\n".join(lines).replace("second", "other words"))
        with pytest.raises(Conflict):
            other.import_(tmp_path / "changed.jsonl")
        assert everything(other) == before, "nor is bob's memory there"


def test_an_import_of_what_is_known_under_another_id_leaves_no_half_memory(tmp_path: Path) -> None:
    with Memory(tmp_path / "one", embedder="hashing") as one, Memory(tmp_path / "two", embedder="hashing") as two:
        (first,) = one.add(message("x", at=NOON), ANN).ids
        one.update(first, ANN, content="y")
        one.export(tmp_path / "export.jsonl")
        (known,) = two.add(message("y", at=NOON), ANN).ids
        assert two.import_(tmp_path / "export.jsonl").ids == (known, known)
        assert texts(two) == ["y"]
        assert two.verify() == []
    with Memory(tmp_path / "three", embedder="hashing") as three:
        three.add(message("x", at=NOON), ANN)  # what the past version said
        three.import_(tmp_path / "export.jsonl")
        assert [c.version for c in three.history(first, ANN)] == [1, 2]
        assert sorted(texts(three)) == ["x", "y"]
        assert three.verify() == []


@pytest.mark.parametrize("what", ["newer", "cut", "not one", "empty", "line lost", "bad vector", "bad cube", "no json"])
def test_a_damaged_or_newer_export_is_refused(memory: Memory, tmp_path: Path, what: str) -> None:
    fill(memory, tmp_path)
    path = tmp_path / "export.jsonl"
    memory.export(path)
    lines = path.read_text().split("\n")
    damaged = {
        "newer": ["{" + lines[0][1:].replace('"anamnos_export": 1', '"anamnos_export": 2'), *lines[1:]],
        "cut": lines[:-3],
        "not one": ['{"role": "user", "content": "x"}'],
        "empty": [""],
        "line lost": [*lines[:3], *lines[4:]],
        "bad vector": [*lines[:2], lines[2].replace('"vector": "', '"vector": "!!'), *lines[3:]],
        "bad cube": [*lines[:2], lines[2].replace('"content"', '"contend"'), *lines[3:]],
        "no json": [*lines[:2], "{" + lines[2], *lines[3:]],
    }[what]
    path.write_text("\n".join(damaged))
    with Memory(tmp_path / "other", embedder=FakeEmbedder()) as other:
        with pytest.raises(InvalidInput, match=r"export\.jsonl"):
            other.import_(path)
        assert everything(other) == []


def test_an_export_never_overwrites(memory: Memory, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("precious")
    with pytest.raises(InvalidInput, match="there already"):
        memory.export(tmp_path / "there")
    assert (tmp_path / "there").read_text() == "precious"


def test_a_backup_is_a_vault(memory: Memory, tmp_path: Path) -> None:
    fill(memory, tmp_path)
    memory.backup(tmp_path / "deep" / "backup")
    with Memory(tmp_path / "deep" / "backup", embedder=FakeEmbedder()) as copy:
        assert everything(copy) == everything(memory)
        assert copy.verify() == []
        assert [h.id for h in copy.search("a", ANN)] == [h.id for h in memory.search("a", ANN)]
    with pytest.raises(InvalidInput, match="not an empty folder"):
        memory.backup(tmp_path / "deep" / "backup")
    (tmp_path / "empty").mkdir()
    memory.backup(tmp_path / "empty")
    assert sorted(path.name for path in tmp_path.iterdir() if "partial" in path.name) == []


def test_everything_derived_can_be_made_again(memory: Memory, tmp_path: Path) -> None:
    fill(memory, tmp_path)
    before = [h.to_dict() for h in memory.search("second words of Ann", ANN)]
    store = memory.vault.store
    rows = store.select(ANN)
    store.put_terms({int(row): b"" for row in rows})
    store.put_vectors(rows, np.eye(16, dtype=np.float32)[: len(rows)], store.embedder())  # type: ignore[arg-type]
    memory._recaller.forget_spaces()
    memory.rebuild_index()
    assert memory.verify() == []
    after = [h.to_dict() for h in memory.search("second words of Ann", ANN)]
    assert [h["channels"]["keyword.spread"] for h in sorted(after, key=lambda h: h["id"])] == [
        h["channels"]["keyword.spread"] for h in sorted(before, key=lambda h: h["id"])
    ]


def test_a_closed_memory_says_so(tmp_path: Path) -> None:
    memory = Memory(tmp_path, embedder="hashing")
    memory.add("one", ANN)
    memory.close()
    memory.close()
    for verb in (lambda: memory.add("two", ANN), lambda: memory.search("one", ANN), lambda: memory.list(ANN)):
        with pytest.raises(StoreError, match="closed"):
            verb()


def test_it_works_over_another_store(tmp_path: Path) -> None:
    with Memory(tmp_path, embedder=FakeEmbedder(), store=ReferenceStore()) as memory:
        (cube_id,) = memory.add("The key is under the pot.", ANN).ids
        assert memory.search("key", ANN)[0].id == cube_id
        memory.update(cube_id, ANN, content="The key is in the shed.")
        assert memory.verify() == []
        memory.delete(cube_id, ANN)
        assert memory.list(ANN) == []


def test_a_thousand_writes_of_four_threads_are_a_thousand_memories(tmp_path: Path) -> None:
    with Memory(tmp_path, embedder=FakeEmbedder()) as memory:
        shared = memory.add("what all change", ANN).ids[0]

        def work(name: int) -> None:
            for number in range(250):
                memory.add(f"thread {name} says {number}", ANN)
                if number % 50 == 0:
                    for _ in range(100):
                        with suppress(Conflict):
                            memory.update(shared, ANN, data={f"{name}/{number}": 1})
                            break

        threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert memory.stats()["memories"] == 1_001
        assert [cube.version for cube in memory.history(shared, ANN)] == list(range(1, 22)), "no version is lost"
        assert memory.verify() == []
