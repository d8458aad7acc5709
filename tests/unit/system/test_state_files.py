"""Files of associative memories: none outlives what it was made of, in whatever vault it lies."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anamnos import Memory, Scope
from anamnos.associative import create
from anamnos.associative.arrays import digest
from anamnos.associative.base import AssociativeMemory
from anamnos.associative.payload import MEDIA_TYPE, to_payload
from anamnos.cube import LinkKind
from anamnos.errors import NotFound
from anamnos.store.sqlite_vfs import can_encrypt
from anamnos.system.migrate_store import migrate_vault

ANN = Scope(user="ann")
SECRET = "The harbourmaster hides the quizzaciously green key"


def remembering(*cube_ids: str, value: str = SECRET) -> AssociativeMemory:
    made = create("hopfield", dim=4)
    for vector, cube_id in zip(np.eye(4, dtype=np.float32), cube_ids or (None,), strict=False):
        made.write(vector, value, cube_id=cube_id)
    return made


def vault(folder: Path, kind: str, **settings: Any) -> Memory:
    if kind == "encrypted":
        if not can_encrypt():
            pytest.skip("the installed apsw cannot encrypt")
        key = folder.parent / "key"
        key.write_bytes(bytes(range(32)))
        key.chmod(0o600)
        settings["key_file"] = str(key)
    return Memory(folder, embedder="hashing", **settings)


def files(memory: Memory) -> list[Path]:
    return [path for path in (memory.vault.folder / "blobs").rglob("*") if path.is_file()]


@pytest.mark.parametrize("kind", ["plain", "encrypted"])
@pytest.mark.parametrize("how", ["delete", "delete_all", "forget_person"])
def test_no_file_outlives_what_it_was_made_of(tmp_path: Path, kind: str, how: str) -> None:
    with vault(tmp_path / "vault", kind) as memory:
        [cube_id] = memory.add(SECRET, ANN).ids
        memory.save_state("keys", remembering(cube_id), ANN)
        memory.save_state("keys", remembering(cube_id, cube_id), ANN)
        orphan = to_payload(remembering(cube_id, value="left by a save that was killed"))
        memory.vault.blobs.put(orphan, MEDIA_TYPE)
        kept = memory.save_state("others", remembering(value="of Bob"), Scope(user="bob"))
        assert len(files(memory)) == 4
        if how == "delete":
            memory.delete(cube_id, ANN)
        elif how == "delete_all":
            memory.delete_all(ANN)
        else:
            assert memory.forget_person("ann").residue == ()
        assert len(files(memory)) == 1
        assert memory.get(kept.ids[0], Scope(user="bob")).version == 1
        assert memory.load_state("others", Scope(user="bob")).load().items == 1
        with pytest.raises(NotFound):
            memory.load_state("keys", ANN)
        assert memory.verify() == []


def test_states_go_along_to_another_vault(tmp_path: Path) -> None:
    with vault(tmp_path / "old", "plain") as memory:
        [cube_id] = memory.add(SECRET, ANN).ids
        state = remembering(cube_id)
        memory.save_state("keys", state, ANN)
    migrate_vault(tmp_path / "old", str(tmp_path / "new"), lambda url: None)
    with vault(tmp_path / "new", "plain") as memory:
        assert digest(memory.load_state("keys", ANN).state_dict()) == digest(state.state_dict())
        assert memory.verify() == []


def test_all_of_it_on_a_server(tmp_path: Path, postgres_url: str) -> None:
    pytest.importorskip("psycopg")
    bob = Scope(user="bob")
    with vault(tmp_path / "vault", "plain", store=postgres_url, novelty="link", tagging="auto") as memory:
        [first] = memory.add(f"{SECRET}.", ANN, tags=["keys"]).ids
        [again] = memory.add(f"so {SECRET}", ANN).ids
        near = memory.get(again, ANN)
        assert [(link.kind, link.target) for link in near.links] == [(LinkKind.SIMILAR, first)]
        assert near.annotations.tags == ("keys",)
        assert memory.suggest_tags(SECRET, ANN)[0].because[0] == first
        assert memory.suggest_tags(SECRET, bob) == []
        memory.policy.register("user:bob")
        with memory.as_principal("user:bob") as other:
            [own] = other.add(f"yes {SECRET}", bob).ids
            assert (other.get(own, bob).links, other.get(own, bob).annotations.tags) == ((), ())
            assert [each.because for each in other.route(SECRET, ANN, {"here": ANN})] == [()]
        state = remembering(first, again)
        memory.save_state("keys", state, ANN)
        assert digest(memory.load_state("keys", ANN).state_dict()) == digest(state.state_dict())
        memory.delete(first, ANN)
        with pytest.raises(NotFound):
            memory.load_state("keys", ANN)
        assert files(memory) == []
        assert memory.suggest_tags(SECRET, ANN) == []
        assert memory.verify() == []
