"""``anamnos states``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from anamnos import Memory, Scope
from anamnos.associative import create
from anamnos.associative.arrays import digest
from anamnos.associative.payload import from_payload, to_payload

from .conftest import Cli

ANN = Scope(user="ann")


def hopfield(items: int = 2, cube_ids: Any = (None,) * 4) -> Any:
    made = create("hopfield", dim=4)
    for vector, cube_id in zip(np.eye(4, dtype=np.float32)[:items], cube_ids, strict=False):
        made.write(vector, "axis", cube_id=cube_id)
    return made


@pytest.fixture
def filled(anamnos: Cli) -> Cli:
    with Memory(anamnos.vault, embedder="hashing") as memory:
        memory.add("The axes are four.", ANN)
        for items in (2, 3):
            memory.save_state("axes", hopfield(items), ANN)
        memory.save_state("monday", hopfield(1), Scope(user="ann", session="monday"))
        memory.save_state("of bob", hopfield(), Scope(user="bob"))
    return anamnos


def test_list_shows_the_states_of_a_scope(filled: Cli) -> None:
    found = filled.json("states", "list")["states"]
    assert [(each["name"], each["version"], each["load"]["items"]) for each in found] == [
        ("axes", 2, 3),
        ("monday", 1, 1),
    ]
    assert {(each["system"], each["scope"]["user"]) for each in found} == {("hopfield", "ann")}
    assert all(each["size_bytes"] > 100 and each["updated_at"].endswith("Z") for each in found)
    text = filled.run("states", "list").stdout
    assert "axes" in text and "session=monday" in text and "of bob" not in text
    assert filled.json("states", "list", "--user", "eve") == {"states": []}
    assert "No states" in filled.run("states", "list", "--user", "eve").stdout


def test_show_tells_spec_load_and_history(filled: Cli) -> None:
    found = filled.json("states", "show", "axes")
    assert (found["spec"]["system"], found["spec"]["dim"], found["load"]["items"]) == ("hopfield", 4, 3)
    assert [(each["version"], each["load"]["items"]) for each in found["history"]] == [(1, 2), (2, 3)]
    assert found["made_from"] == []
    text = filled.run("states", "show", "axes").stdout
    assert "hopfield" in text and "spec.dim" in text and "in use" in text


def test_a_name_that_is_not_there_is_told_where_it_is(filled: Cli) -> None:
    for words in (("show", "nothing"), ("delete", "nothing", "--yes")):
        assert "states list" in filled.run("states", *words, code=3).stderr
    assert "session=monday" in filled.run("states", "show", "monday", code=3).stderr
    assert filled.json("states", "show", "monday", "--session", "monday")["version"] == 1
    filled.run("states", "show", "of bob", code=3)
    filled.run("states", "export", "of bob", str(filled.folder / "bob.npz"), code=3)
    assert not (filled.folder / "bob.npz").exists()


def test_export_and_import_keep_every_bit(filled: Cli) -> None:
    now, then = filled.folder / "now.npz", filled.folder / "then.npz"
    told = filled.json("states", "export", "axes", str(now))
    assert told == {"file": str(now), "bytes": now.stat().st_size}
    assert "wrote" in filled.run("states", "export", "axes", str(then), "--version", "1").stdout
    assert digest(from_payload(now.read_bytes()).state_dict()) == digest(hopfield(3).state_dict())
    assert from_payload(then.read_bytes()).load().items == 2
    assert filled.json("states", "import", "axes", str(now))["outcomes"] == ["unchanged"]
    assert filled.json("states", "import", "axes", str(then))["outcomes"] == ["updated"]
    assert "added" in filled.run("states", "import", "other", str(then), "--vault", str(filled.folder / "new")).stdout
    found = filled.json("states", "list", "--vault", str(filled.folder / "new"))["states"]
    assert [(each["name"], each["load"]["items"]) for each in found] == [("other", 2)]


def test_an_export_overwrites_nothing_and_is_remembered_as_a_copy(filled: Cli) -> None:
    file = filled.folder / "axes.npz"
    filled.run("states", "export", "axes", str(file))
    before = file.read_bytes()
    assert "there already" in filled.run("states", "export", "axes", str(file), code=2).stderr
    assert file.read_bytes() == before
    assert "could not be written" in filled.run("states", "export", "axes", str(file / "x"), code=7).stderr
    report = filled.json("forget-person", "ann", "--yes")
    assert f"state {file}" in report["copies"]


@pytest.mark.parametrize("damage", [b"", b"no archive", None])
def test_a_damaged_file_is_refused_and_changes_nothing(filled: Cli, damage: bytes | None) -> None:
    file = filled.folder / "axes.npz"
    whole = to_payload(hopfield())
    file.write_bytes(whole[:-40] if damage is None else damage)
    filled.run("states", "import", "axes", str(file), code=7)
    assert filled.json("states", "show", "axes")["version"] == 2
    assert "cannot be read" in filled.run("states", "import", "axes", str(filled.folder / "none"), code=2).stderr


def test_a_state_of_memories_that_are_not_here_says_so(filled: Cli) -> None:
    file = filled.folder / "axes.npz"
    known = filled.add("An axis.")
    file.write_bytes(to_payload(hopfield(1, [known])))
    assert filled.json("states", "import", "axis", str(file))["outcomes"] == ["added"]
    assert filled.json("states", "show", "axis")["made_from"] == [known]
    assert "import these first" in filled.run("states", "import", "axis", str(file), "--user", "bob", code=3).stderr


def test_delete_erases_all_versions_once_it_is_confirmed(filled: Cli, somebody_is_there: Callable[[], None]) -> None:
    assert "--yes" in filled.run("states", "delete", "axes", code=2).stderr
    somebody_is_there()
    filled.run("states", "delete", "axes", stdin="n\n", code=130)
    assert "2 versions" in filled.run("states", "delete", "axes", stdin="y\n").stderr
    filled.run("states", "show", "axes", code=3)
    assert filled.json("states", "delete", "monday", "--session", "monday", "--yes")["outcomes"] == ["deleted"]
    assert len(filled.json("list")["memories"]) == 1
    with Memory(filled.vault, embedder="hashing") as memory:
        assert len(list(memory.vault.blobs.names())) == 1  # of bob


def test_without_a_vault_or_a_person_it_says_what_is_missing(anamnos: Cli) -> None:
    assert "no vault" in anamnos.run("states", "list", code=3).stderr
    assert "--user" in anamnos.run("states", "list", code=2, ANAMNOS_USER="").stderr
