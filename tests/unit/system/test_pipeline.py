"""Pipelines: stages in a row, compensation in reverse, runs that are stored without words and run again."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from anamnos import Memory, Scope
from anamnos.cube import State
from anamnos.errors import Conflict, InvalidInput, NotFound
from anamnos.system.pipeline import Pipeline, Stage, Step, stored_run, stored_runs
from anamnos.testing import FakeClock, FakeEmbedder

ANN = Scope(user="ann")
NOW = FakeClock()()
IN = {"scope": "scope"}


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory(tmp_path, embedder=FakeEmbedder(), clock=FakeClock()) as memory:
        memory.add("the blue boat", ANN)
        memory.add("the red train", ANN)
        yield memory


def states(memory: Memory) -> dict[str, State]:
    return {
        cube.text: cube.lifecycle.state for cube, _, _ in memory.vault.store.export() if not cube.time.superseded_at
    }


FIND_AND_ARCHIVE = Pipeline(
    (
        Step("search", {"query": "question", **IN}, "found", arguments={"top_k": 1}),
        Step("archive", {"ids": "found", **IN}, "moved"),
    )
)


def test_what_one_stage_finds_the_next_one_works_on(memory: Memory) -> None:
    run = FIND_AND_ARCHIVE.run(memory, {"question": "blue boat", "scope": ANN}, now=NOW)
    assert run.outcome == "done"
    assert states(memory) == {"the blue boat": State.ARCHIVED, "the red train": State.GENERATED}
    (cube,) = [hit.cube for hit in run.outputs["found"]]
    assert [stage.memories for stage in run.stages] == [((cube.id, 1),), ((cube.id, 2),)]
    assert FIND_AND_ARCHIVE.names == ("question", "scope")


def failing(on_error: Any) -> Pipeline:
    return Pipeline(
        (
            Step("add", {"content": "words", **IN}, "added"),
            Step("update", {"cube_id": "known", "content": "words", **IN}, "changed"),
            Step("freeze", {"ids": "known", **IN}),
            Step("update", {"cube_id": "known", **IN}, "never", on_error, {"content": "while it is frozen"}),
            Step("archive", {"ids": "never", **IN}, "last"),
        )
    )


def test_a_failed_stage_has_what_came_before_undone_in_reverse(memory: Memory) -> None:
    known = memory.list(ANN)[0]
    before = states(memory)
    run = failing("compensate").run(memory, {"words": "the new words", "known": known, "scope": ANN}, now=NOW)
    assert run.outcome == "failed"
    assert [stage.outcome for stage in run.stages] == ["undone", "undone", "undone", "failed", "not run"]
    assert run.stages[3].error == "access_denied"
    assert states(memory) == before
    assert [cube.text for cube in memory.history(known.id, ANN)][-1] == "the blue boat"
    assert memory.verify() == []


def test_abort_leaves_what_was_done_and_skip_goes_on(memory: Memory) -> None:
    known = memory.list(ANN)[0]
    inputs = {"words": "the new words", "known": known, "scope": ANN}
    run = failing("abort").run(memory, inputs, now=NOW)
    assert [stage.outcome for stage in run.stages] == ["done", "done", "done", "failed", "not run"]
    assert memory.get(known.id, ANN).lifecycle.state is State.FROZEN
    memory.unfreeze(known.id, ANN)
    run = failing("skip").run(memory, inputs, now=NOW)
    assert [stage.outcome for stage in run.stages] == ["done", "done", "done", "skipped", "skipped"]
    assert run.outcome == "done"


def test_what_cannot_be_undone_is_said(memory: Memory) -> None:
    boat, train = memory.list(ANN)
    pipeline = Pipeline(
        (
            Step("delete", {"ids": "first", **IN}),
            Step("used", {"ids": "second", **IN}),
            Step("get", {"cube_id": "first", **IN}, "gone", "compensate"),
        )
    )
    run = pipeline.run(memory, {"first": boat, "second": train, "scope": ANN}, now=NOW)
    assert run.stages[:2] == (
        Stage("delete", "kept", (), "irreversible"),
        Stage("used", "kept", ((train.id, 1),), "irreversible"),
    )


def test_all_versions_that_a_stage_wrote_are_undone(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    boat, train = memory.list(ANN)
    single = Memory.archive

    def twice(self: Memory, ids: Any, scope: Scope) -> Any:
        one, two = single(self, ids, scope), self.update(boat.id, scope, tags=["old"])
        return replace(two, ids=one.ids + two.ids, outcomes=one.outcomes + two.outcomes)

    monkeypatch.setattr(Memory, "archive", twice)
    pipeline = Pipeline(
        (Step("archive", {"ids": "known", **IN}), Step("get", {"cube_id": "gone", **IN}, "", "compensate"))
    )
    gone = memory.add("gone", ANN)
    memory.delete(gone.ids, ANN)
    run = pipeline.run(memory, {"known": [boat, train], "gone": gone.ids[0], "scope": ANN}, now=NOW)
    assert [stage.outcome for stage in run.stages] == ["undone", "failed"]
    assert {memory.get(cube.id, ANN).lifecycle.state for cube in (boat, train)} == {State.ACTIVATED}
    assert memory.get(boat.id, ANN).annotations.tags == ()


def test_facts_stay_but_go_with_what_they_were_found_in(memory: Memory) -> None:
    pipeline = Pipeline(
        (
            Step("add", {"content": "words", **IN}, "said"),
            Step("enrich", IN, "found"),
            Step("update", {"cube_id": "said", **IN}, "", "compensate", {"content": ""}),
        )
    )
    run = pipeline.run(memory, {"words": "I live in Oslo.", "scope": ANN}, now=NOW)
    assert [(stage.outcome, stage.error) for stage in run.stages] == [
        ("undone", ""),
        ("kept", "irreversible"),
        ("failed", "invalid_input"),
    ]
    assert {cube.text for cube in memory.list(ANN)} == {"the blue boat", "the red train"}


def test_an_error_that_is_not_ours_is_raised_and_the_run_is_stored(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Memory, ids: Any, scope: Scope) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Memory, "archive", broken)
    with pytest.raises(ZeroDivisionError):
        FIND_AND_ARCHIVE.run(memory, {"question": "boat", "scope": ANN}, now=NOW)
    (run,) = stored_runs(memory.vault.store)
    assert [(s.outcome, s.error) for s in run.stages] == [("done", ""), ("failed", "internal")]


def test_a_run_is_stored_without_words_or_names(tmp_path: Path, memory: Memory) -> None:
    secret = Scope(user="Guinevere Pendragon")
    run = FIND_AND_ARCHIVE.run(memory, {"question": "a secret zebra", "scope": secret}, now=NOW)
    stored = stored_run(memory.vault.store, run.id)
    assert (stored.inputs, stored.stages, stored.outcome) == (run.inputs, run.stages, "done")
    files = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"zebra" not in files and b"Guinevere" not in files


def test_a_run_is_replayed_on_the_versions_that_it_ran_on(memory: Memory) -> None:
    copy = Pipeline((Step("add", {"content": "memory", **IN}, "added"),))
    known = memory.list(ANN)[0]
    run = copy.run(memory, {"memory": known, "scope": ANN}, now=NOW)
    assert run.inputs["memory"] == [[known.id, 1]]
    memory.update(known.id, ANN, content="the green boat")
    again = copy.replay(memory, run.id, {"scope": ANN}, now=NOW)
    assert (again.replays, again.inputs) == (run.id, run.inputs)
    (added,) = again.stages[0].memories
    assert memory.get(added[0], ANN).content == "the blue boat", "as it was then"
    assert {one.id for one in stored_runs(memory.vault.store)} == {run.id, again.id}

    with pytest.raises(Conflict, match="had another 'scope'"):
        copy.replay(memory, run.id, {"scope": Scope(user="bob")}, now=NOW)
    with pytest.raises(Conflict, match="another pipeline"):
        FIND_AND_ARCHIVE.replay(memory, run.id, {}, now=NOW)
    with pytest.raises(NotFound, match="no run"):
        copy.replay(memory, "x", {}, now=NOW)
    with pytest.raises(InvalidInput, match="needs the inputs"):
        copy.replay(memory, run.id, {}, now=NOW)
    memory.delete(known.id, ANN)
    with pytest.raises(NotFound, match="not there any more"):
        copy.replay(memory, run.id, {"scope": ANN}, now=NOW)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Pipeline(()), "no steps"),
        (lambda: Step("close"), "cannot be a stage"),
        (lambda: Step("_write"), "cannot be a stage"),
        (lambda: Step("add", on_error="retry"), "on_error"),  # type: ignore[arg-type]
        (lambda: Step("add", {"content": "x"}, arguments={"content": "y"}), "twice"),
        (lambda: Pipeline((Step("list", IN, "a"), Step("list", IN, "a"))), "there already"),
        (lambda: Pipeline((Step("list", IN, "scope"),)), "there already"),
    ],
)
def test_pipelines_that_make_no_sense(make: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        make()


def test_what_is_wrong_is_found_before_anything_runs(memory: Memory) -> None:
    add = Step("add", {"content": "words", **IN}, "added")
    for steps, inputs, said in (
        ((add, Step("vanish", IN)), {"words": "x", "scope": ANN}, "no verb 'vanish'"),
        ((add, Step("archive", {"id": "added", **IN})), {"words": "x", "scope": ANN}, "no argument 'id'"),
        ((add,), {"words": "x"}, "needs the inputs words, scope"),
        ((add,), {"words": "x", "scope": ANN, "more": 1}, "see more"),
    ):
        with pytest.raises(InvalidInput, match=said):
            Pipeline(steps).run(memory, inputs, now=NOW)
    assert memory.stats()["memories"] == 2
    assert stored_runs(memory.vault.store) == []
