"""``anamnos mount`` and ``anamnos quota``."""

from __future__ import annotations

from pathlib import Path

from .conftest import Cli


def test_a_mounted_vault_joins_the_searches_of_one_user(anamnos: Cli, tmp_path: Path) -> None:
    other = str(tmp_path / "other")
    anamnos.run("add", "The boat is in the harbour.", "--user", "", "--agent", "team", "--vault", other)
    anamnos.run("add", "The bread is in the oven.", "--user", "ann")
    anamnos.run("add", "The bread is in the bin.", "--user", "bob")
    assert "mounted team" in anamnos.run("mount", "add", "team", other, "--of-agent", "team", "--user", "ann").stdout
    found = {user: anamnos.json("search", "where is the boat?", "--user", user)["hits"] for user in ("ann", "bob")}
    assert "The boat is in the harbour." in [hit["content"] for hit in found["ann"]]
    assert "The boat is in the harbour." not in [hit["content"] for hit in found["bob"]]
    (mounted,) = anamnos.json("mount", "list")["mounts"]
    assert (mounted["name"], mounted["folder"], mounted["scope"]["agent"]) == ("team", other, "team")
    assert "for one scope, weight 0.8" in anamnos.run("mount", "list").stdout
    assert anamnos.json("mount", "remove", "team") == {"removed": "team"}
    assert "nothing is mounted" in anamnos.run("mount", "list").stdout


def test_it_must_be_said_whose_memories_join(anamnos: Cli, tmp_path: Path) -> None:
    anamnos.run("add", "The boat is in the harbour.", "--user", "ann")
    assert "--of-user" in anamnos.run("mount", "add", "team", str(tmp_path), code=2).stderr


def test_a_quota_is_shown_set_kept_and_lifted(anamnos: Cli) -> None:
    anamnos.run("add", "The key is in the pot.", "--user", "ann")
    assert anamnos.json("quota", "--user", "ann") == {
        "held": {"memories": 1, "bytes": 22},
        "quota": {"memories": None, "bytes": None},
    }
    assert "memories: 1 of 1" in anamnos.run("quota", "--memories", "1", "--user", "ann").stdout
    assert "its quota is 1" in anamnos.run("add", "One more.", "--user", "ann", code=9).stderr
    assert "contradict" in anamnos.run("quota", "--none", "--bytes", "5", "--user", "ann", code=2).stderr
    assert "any amount" in anamnos.run("quota", "--none", "--user", "ann").stdout
    anamnos.run("add", "One more.", "--user", "ann")
