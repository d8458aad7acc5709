"""Associative memories in a vault: saved, loaded, versioned, deleted with what they were made of."""

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anamnos import Memory, Scope, Substrate
from anamnos.associative import create
from anamnos.associative.arrays import digest
from anamnos.errors import ConfigError, InvalidInput, NotFound
from anamnos.testing.fakes import FakeEmbedder

ANN = Scope(user="ann")
BOB = Scope(user="bob")


@pytest.fixture
def memory(tmp_path: Path) -> Any:
    with Memory(tmp_path / "vault", embedder=FakeEmbedder()) as opened:
        yield opened


def hopfield(cube_ids: Any = (None, None)) -> Any:
    made = create("hopfield", dim=4)
    for vector, cube_id in zip(np.eye(4, dtype=np.float32), cube_ids, strict=False):
        made.write(vector, "axis", cube_id=cube_id)
    return made


def test_a_saved_state_comes_back(memory: Memory) -> None:
    state = hopfield()
    receipt = memory.save_state("axes", state, ANN)
    assert receipt.outcomes == ("added",)
    again = memory.load_state("axes", ANN)
    assert digest(again.state_dict()) == digest(state.state_dict())
    cube = memory.get(receipt.ids[0], ANN)
    assert (cube.substrate, cube.annotations.data["state"]["system"]) == (Substrate.NEURAL, "hopfield")
    assert memory.verify() == []


def test_saving_again_makes_a_version_and_the_first_stays_readable(memory: Memory) -> None:
    first = hopfield()
    memory.save_state("axes", first, ANN)
    second = hopfield([None] * 4)
    assert memory.save_state("axes", second, ANN).outcomes == ("updated",)
    assert memory.save_state("axes", second, ANN).outcomes == ("unchanged",)
    assert memory.load_state("axes", ANN).load().items == 4
    assert digest(memory.load_state("axes", ANN, version=1).state_dict()) == digest(first.state_dict())


def test_states_stay_in_their_scope(memory: Memory) -> None:
    memory.save_state("axes", hopfield(), ANN)
    with pytest.raises(NotFound):
        memory.load_state("axes", BOB)


def test_a_state_is_no_answer_to_a_search(memory: Memory) -> None:
    memory.add("The axes are four.", ANN)
    memory.save_state("axes", hopfield(), ANN)
    assert [hit.cube.substrate for hit in memory.search("axes", ANN, top_k=10)] == [Substrate.TEXT]


def test_deleting_a_source_deletes_the_state_and_its_file(memory: Memory) -> None:
    ids = [memory.add(text, ANN).ids[0] for text in ("first", "second")]
    memory.save_state("axes", hopfield(ids), ANN)
    assert len(list(memory.vault.blobs.names())) == 1
    memory.delete(ids[0], ANN)
    with pytest.raises(NotFound):
        memory.load_state("axes", ANN)
    assert list(memory.vault.blobs.names()) == []


def test_a_state_of_anothers_memories_is_refused(memory: Memory) -> None:
    ids = list(memory.add("Bob's", BOB).ids)
    with pytest.raises(NotFound):
        memory.save_state("axes", hopfield(ids), ANN)
    assert list(memory.vault.blobs.names()) == []


@pytest.mark.parametrize("codec", ["none", "zlib", "xz", "pc"])
def test_a_state_is_kept_packed_as_the_setting_says(tmp_path: Path, codec: str) -> None:
    state = hopfield()
    with Memory(tmp_path / "vault", embedder=FakeEmbedder(), codec=codec) as memory:
        memory.save_state("axes", state, ANN)
        assert memory.save_state("axes", state, ANN).outcomes == ("unchanged",)
    with Memory(tmp_path / "vault", embedder=FakeEmbedder()) as memory:  # whatever the setting is now
        assert digest(memory.load_state("axes", ANN).state_dict()) == digest(state.state_dict())


def test_an_unknown_codec_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="codec"):
        Memory(tmp_path / "vault", embedder=FakeEmbedder(), codec="magic")


def test_a_bad_name_changes_nothing(memory: Memory) -> None:
    with pytest.raises(InvalidInput):
        memory.save_state("", hopfield(), ANN)
    assert memory.list(ANN) == []
    assert list(memory.vault.blobs.names()) == []


def test_an_export_brings_the_state_along_or_says_what_is_missing(memory: Memory, tmp_path: Path) -> None:
    state = hopfield(memory.add("first", ANN).ids)
    memory.save_state("axes", state, ANN)
    memory.export(tmp_path / "all.jsonl")
    with Memory(tmp_path / "other", embedder=FakeEmbedder()) as other:
        other.import_(tmp_path / "all.jsonl")
        assert digest(other.load_state("axes", ANN).state_dict()) == digest(state.state_dict())
        assert other.verify() == []
    lines = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text("utf-8").splitlines()]
    bare = [json.dumps({name: value for name, value in line.items() if name != "blob"}) for line in lines]
    (tmp_path / "bare.jsonl").write_text("\n".join(bare) + "\n", "utf-8")
    with Memory(tmp_path / "third", embedder=FakeEmbedder()) as third:
        with pytest.raises(InvalidInput, match="no text are missing"):
            third.import_(tmp_path / "bare.jsonl")
        assert third.list(ANN) == []
    changed = (tmp_path / "all.jsonl").read_text("utf-8").replace('"blob": "UEsD', '"blob": "AEsD')
    (tmp_path / "changed.jsonl").write_text(changed, "utf-8")
    with Memory(tmp_path / "fourth", embedder=FakeEmbedder()) as fourth, pytest.raises(InvalidInput, match="damaged"):
        fourth.import_(tmp_path / "changed.jsonl")


def test_a_redacted_export_leaves_states_out(memory: Memory, tmp_path: Path) -> None:
    memory.add("My card is 4111 1111 1111 1111", ANN)
    memory.save_state("axes", hopfield(), ANN)
    memory.export(tmp_path / "all.jsonl", redact=True)
    assert '"neural"' not in (tmp_path / "all.jsonl").read_text("utf-8")


def test_a_state_is_changed_by_saving_only(memory: Memory) -> None:
    cube_id = memory.save_state("axes", hopfield(), ANN).ids[0]
    with pytest.raises(InvalidInput, match="not text"):
        memory.update(cube_id, ANN, tags=["x"])


def test_an_export_and_a_backup_have_the_state(memory: Memory, tmp_path: Path) -> None:
    memory.save_state("axes", hopfield(), ANN)
    memory.backup(tmp_path / "copy")
    with Memory(tmp_path / "copy", embedder=FakeEmbedder()) as copied:
        assert copied.load_state("axes", ANN).load().items == 2


def test_an_older_version_goes_with_its_source_and_the_rest_can_be_saved_anew(memory: Memory) -> None:
    ids = [memory.add(text, ANN).ids[0] for text in ("first", "second")]
    memory.save_state("axes", hopfield(ids), ANN)
    state = memory.load_state("axes", ANN)
    state.forget(cube_id=ids[0])
    memory.save_state("axes", state, ANN)
    memory.delete(ids[0], ANN)
    for version in (1, 2):
        with pytest.raises(NotFound):
            memory.load_state("axes", ANN, version=version)
    assert memory.save_state("axes", state, ANN).outcomes == ("added",)
    assert memory.load_state("axes", ANN).load().items == 1


def test_saving_and_deleting_at_once_loses_no_state(tmp_path: Path) -> None:
    with Memory(tmp_path / "vault", embedder=FakeEmbedder()) as memory:
        memory.save_state("first", hopfield(), ANN)  # so that there are files to look through
        doomed = [memory.add(f"text {number}", BOB).ids[0] for number in range(40)]
        deleting = threading.Thread(target=lambda: [memory.delete(cube_id, BOB) for cube_id in doomed])
        deleting.start()
        number = 0
        while deleting.is_alive() or number < 5:
            state = create("hopfield", dim=4, slots=10 + number)
            memory.save_state(f"state {number}", state, ANN)
            number += 1
        deleting.join()
        assert memory.verify() == []
        assert [memory.load_state(f"state {n}", ANN).spec.slots for n in range(number)] == list(range(10, 10 + number))  # type: ignore[attr-defined]
