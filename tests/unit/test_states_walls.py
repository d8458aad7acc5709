"""Saved states between two who save at once, and before principals."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anamnos import Memory, Scope
from anamnos.associative import create
from anamnos.errors import AccessDenied, Conflict, NotFound

ANN, TUTOR = Scope(user="ann"), Scope(agent="tutor")


def state(value: str, *cube_ids: str) -> Any:
    made = create("hopfield", dim=4)
    for vector, cube_id in zip(np.eye(4, dtype=np.float32), cube_ids or (None,), strict=False):
        made.write(vector, value, cube_id=cube_id)
    return made


def said(memory: Memory, name: str = "axes") -> str:
    return str(memory.load_state(name, ANN).read([1, 0, 0, 0])[0].value)


@pytest.fixture
def memory(tmp_path: Path) -> Any:
    with Memory(tmp_path / "vault", embedder="hashing", audit="all") as made:
        yield made


@pytest.mark.parametrize("known", [False, True])
def test_of_two_who_save_at_once_one_is_told(memory: Memory, tmp_path: Path, known: bool) -> None:
    if known:
        memory.save_state("axes", state("before"), ANN)
    with Memory(tmp_path / "vault", embedder="hashing") as other:
        write = other._write

        def late(*given: Any, **more: Any) -> Any:
            memory.save_state("axes", state("first"), ANN)
            return write(*given, **more)

        other._write = late  # type: ignore[method-assign]
        with pytest.raises(Conflict):
            other.save_state("axes", state("second"), ANN)
    assert said(memory) == "first"
    assert len(list(memory.vault.blobs.names())) == 1 + known
    assert memory.verify() == []


def test_what_is_closed_looks_as_if_it_were_not_there(memory: Memory) -> None:
    memory.save_state("axes", state("hers"), ANN)
    memory.policy.register("user:bob")
    with memory.as_principal("user:bob") as bob:
        told = []
        for name in ("axes", "none"):
            with pytest.raises(NotFound) as caught:
                bob.load_state(name, ANN)
            told.append(str(caught.value).replace(name, "…"))
        assert told[0] == told[1]


def test_a_state_of_delicate_memories_is_for_those_who_may_see_these(memory: Memory) -> None:
    text = "My card is 4111 1111 1111 1111"
    [cube_id] = memory.add(text, ANN).ids
    memory.save_state("axes", state(text, cube_id), ANN)
    memory.policy.register("user:ann")
    with memory.as_principal("user:ann") as ann:
        assert "4111" not in str(ann.get(cube_id, ANN).content)
        with pytest.raises(AccessDenied):
            ann.load_state("axes", ANN)
    memory.policy.register("user:ann", rights=("read", "sensitive"))
    with memory.as_principal("user:ann") as ann:
        assert said(ann) == text
    assert [seen.entry.decision for seen in memory.audit.list(verb="load_state")] == ["denied", "allowed"]


def test_an_agents_own_memories_make_a_state(memory: Memory) -> None:
    [cube_id] = memory.add("A lesson", TUTOR).ids
    assert memory.save_state("axes", state("lesson", cube_id), TUTOR).outcomes == ("added",)
    [hers] = memory.add("A secret", ANN).ids
    with pytest.raises(NotFound):
        memory.save_state("more", state("secret", hers), TUTOR)
