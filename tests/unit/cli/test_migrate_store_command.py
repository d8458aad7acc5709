"""migrate-store on the command line."""

from pathlib import Path

from .conftest import Cli


def test_memories_move_to_another_folder(anamnos: Cli, tmp_path: Path) -> None:
    anamnos.add("The spare key is under the blue pot.")
    new = str(tmp_path / "new")
    assert "no vault" in anamnos.run("migrate-store", "--to", new, "--verify-only", code=3).stderr
    told = anamnos.run("migrate-store", "--to", new).stdout
    assert "The memories live there now." in told
    assert "blue pot" in anamnos.run("search", "where is the key?", "--vault", new).stdout
    refused = anamnos.run("add", "lost?", code=7).stderr
    assert "moved" in refused and "new" in refused
    anamnos.run("add", "more", "--vault", new)
    found = anamnos.json("migrate-store", "--to", new, "--verify-only", code=7)
    assert not found["switched"] and "there are 2 memories instead of 1" in found["differences"]
    assert anamnos.json("migrate-store", "--to", new, "--drop-source")["switched"] is True
    assert not (anamnos.vault / "anamnos.db").exists()
    assert len(anamnos.json("list", "--vault", new)["memories"]) == 2
    assert "no memories to move" in anamnos.run("migrate-store", "--to", new, code=3).stderr
