"""Moving memories: what is advised, what is moved, and that it can be undone."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from anamnos import Memory, Scope
from anamnos.cube import BlobRef, Lifecycle, MemCube, Policy, Provenance, Role, State, Substrate, Times
from anamnos.errors import AccessDenied, Conflict, InvalidInput, MissingExtra, NotFound
from anamnos.llm.base import estimate_tokens
from anamnos.system.migrate import advise
from anamnos.testing import FakeClock, FakeEmbedder, ReferenceStore, seeded_ids

ANN = Scope(user="ann")
NOW = FakeClock().now
_new_id = seeded_ids(2)


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    return Memory(tmp_path, embedder=FakeEmbedder(), clock=FakeClock(), new_id=seeded_ids(1), store=ReferenceStore())


def old(days: float, uses: int = 0, text: str = "the pear", **parts: object) -> MemCube:
    life = Lifecycle(state=State.ACTIVATED, uses=uses)
    time = Times(recorded_at=NOW - timedelta(days=days))
    return MemCube(_new_id(NOW), text, ANN, time=time, lifecycle=life, **parts)  # type: ignore[arg-type]


def advised(*cubes: MemCube) -> list[tuple[int, str]]:
    return [(len(each.ids), str(each.to)) for each in advise(cubes, NOW, estimate_tokens)]


def test_what_is_read_all_day_belongs_into_activations() -> None:
    assert advised(old(1, 3)) == [(1, "activation")]
    assert advised(old(1, 2)) == []
    assert advised(old(10, 30)) == [(1, "activation")]
    assert advised(old(10, 29)) == []
    assert advised(old(1 / 25, 30)) == [], "changed less than an hour ago"
    assert advised(old(1, 30, "x" * 8_001)) == [], "too long"
    frozen = old(1, 30)
    assert advised(replace(frozen, lifecycle=replace(frozen.lifecycle, state=State.FROZEN))) == []


def test_what_lasts_belongs_into_weights_many_at_a_time() -> None:
    many = [old(7, 20) for _ in range(32)]
    assert advised(*many) == [(32, "parametric")]
    assert advised(*many[1:]) == []
    assert advised(*many[1:], old(6.9, 20)) == []
    assert advised(*many[1:], old(7, 20, policy=Policy(sensitivity=("email",)))) == []
    assert advised(*many[1:], old(7, 20, provenance=Provenance(trust=0.8))) == []
    assert advised(*many[1:], old(7, 20, role=Role.SECRET)) == []


def test_what_grew_cold_belongs_into_text() -> None:
    blob = BlobRef("0" * 64, 3, "application/vnd.safetensors")
    cold = replace(old(1), content=blob, substrate=Substrate.ACTIVATION)
    assert advised(cold) == [(1, "text")]
    assert advised(replace(cold, lifecycle=replace(cold.lifecycle, last_used_at=NOW - timedelta(hours=23)))) == []


def test_a_migration_is_a_version_with_a_record_and_goes_back(memory: Memory) -> None:
    one = memory.add("I always water the fern on Monday.", ANN).ids[0]
    assert memory.migrate(one, ANN, role="procedure", words={one: "Water the fern on Mondays."}).outcomes == (
        "updated",
    )
    moved = memory.get(one, ANN)
    assert (moved.role, moved.text, moved.version) == (Role.PROCEDURE, "Water the fern on Mondays.", 2)
    assert moved.annotations.data["migrate"]["from_role"] == "note"
    assert memory.search("fern Mondays", ANN)[0].id == one
    memory.migrate_back(one, ANN)
    back = memory.get(one, ANN)
    assert (back.role, back.text, back.version) == (Role.NOTE, "I always water the fern on Monday.", 3)
    assert "migrate" not in back.annotations.data
    with pytest.raises(Conflict, match="not migrated"):
        memory.migrate_back(one, ANN)


def test_what_cannot_be_migrated_changes_nothing(memory: Memory) -> None:
    one, two = (memory.add(text, ANN).ids[0] for text in ("the pear", "the boat"))
    memory.freeze(two, ANN)
    for error, arguments in (
        (MissingExtra, {"ids": one, "to": "activation"}),
        (InvalidInput, {"ids": one, "to": "paper"}),
        (InvalidInput, {"ids": one, "role": "king"}),
        (InvalidInput, {"ids": one, "role": "fact", "words": {one: " "}}),
        (AccessDenied, {"ids": [one, two], "role": "fact"}),
        (NotFound, {"ids": [one, _new_id(NOW)], "role": "fact"}),
    ):
        with pytest.raises(error):
            memory.migrate(scope=ANN, **arguments)  # type: ignore[arg-type]
    assert [cube.role for cube in memory.list(ANN)] == [Role.NOTE, Role.NOTE]
