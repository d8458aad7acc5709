"""``anamnos bundle``, ``backup --incremental`` and ``restore``, as people type them."""

from pathlib import Path

import pytest

from .conftest import Cli


def test_from_one_vault_to_another(anamnos: Cli, tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    anamnos.add("The harbour opens at six.")
    keys = anamnos.json("bundle", "keygen", str(tmp_path / "ann"))
    made = anamnos.json("bundle", "create", str(tmp_path / "h.zip"), "--name", "harbour", "--key", keys["private"])
    assert (made["signer"], made["counts"]["memories"]) == (keys["signer"], 1)
    assert anamnos.json("bundle", "verify", str(tmp_path / "h.zip"), "--signer", keys["public"]) == made
    assert "signed by" in anamnos.run("bundle", "verify", str(tmp_path / "h.zip")).stdout

    ben = {"ANAMNOS_VAULT": str(tmp_path / "ben"), "ANAMNOS_USER": "ben"}
    site = str(tmp_path / "site")
    anamnos.run("bundle", "publish", str(tmp_path / "h.zip"), site)
    assert [(one["name"], one["signer"]) for one in anamnos.json("bundle", "browse", site)] == [
        ("harbour", keys["signer"])
    ]
    assert "harbour" in anamnos.run("bundle", "browse", site).stdout
    text = anamnos.run("bundle", "subscribe", site, "harbour", "--signer", keys["signer"], **ben).stdout
    assert "installed harbour 1: 1 memories" in text
    assert "bundle harbour" in " ".join(anamnos.run("search", "harbour", **ben).stdout.split())
    assert "harbour" in anamnos.run("bundle", "list", **ben).stdout
    assert [one["outcome"] for one in anamnos.json("bundle", "update", **ben)] == ["current"]
    anamnos.run("bundle", "revoke", site, "harbour", "--reason", "wrong hours")
    assert "revoked harbour 1: wrong hours" in anamnos.run("bundle", "update", **ben).stdout
    assert anamnos.json("bundle", "list", **ben) == []
    assert "No bundle" in anamnos.run("bundle", "update", **ben).stdout


def test_load_install_and_uninstall(anamnos: Cli, tmp_path: Path) -> None:
    anamnos.add("The spare key is under the blue pot.")
    anamnos.run("bundle", "create", str(tmp_path / "b"), "--name", "keys")
    there = {"ANAMNOS_VAULT": str(tmp_path / "there")}
    assert anamnos.run("bundle", "load", str(tmp_path / "b"), **there).stdout.startswith("1 added")
    assert anamnos.json("list", **there)["memories"][0]["content"] == "The spare key is under the blue pot."
    anamnos.run("bundle", "install", str(tmp_path / "b"), "--everybody", **there)
    anamnos.run("bundle", "uninstall", "keys", "--yes", **there)
    assert anamnos.json("bundle", "list", **there) == []


def test_what_is_not_said_or_wrong(anamnos: Cli, tmp_path: Path) -> None:
    anamnos.add("x")
    bundle = str(tmp_path / "b")
    assert "--all" in anamnos.run("bundle", "create", bundle, "--name", "b", ANAMNOS_USER="", code=2).stderr
    anamnos.run("bundle", "create", bundle, "--name", "b")
    assert "--everybody" in anamnos.run("bundle", "install", bundle, ANAMNOS_USER="", code=2).stderr
    assert "subscribe" in anamnos.run("bundle", "install", "https://example.org/b.zip", code=2).stderr
    assert "No bundle is installed" in anamnos.run("bundle", "list").stdout
    assert "THERE=HERE" in anamnos.run("bundle", "load", bundle, "--principal", "ann", code=2).stderr
    assert "is not a bundle" in anamnos.run("bundle", "verify", str(tmp_path), code=2).stderr
    assert "--yes" in anamnos.run("bundle", "uninstall", "b", code=2).stderr
    anamnos.run("bundle", "uninstall", "b", "--yes", code=3)


def test_backup_and_restore(anamnos: Cli, tmp_path: Path) -> None:
    anamnos.add("the first")
    folder = str(tmp_path / "backup")
    anamnos.run("backup", folder, "--incremental")
    anamnos.add("the second")
    report = anamnos.json("backup", folder, "--incremental")
    assert (report["memories"], report["written_bytes"] > 0) == (2, True)
    assert "--incremental" in anamnos.run("backup", folder, code=2).stderr
    there = {"ANAMNOS_VAULT": str(tmp_path / "restored")}
    assert "restored" in anamnos.run("restore", folder, **there).stdout
    assert len(anamnos.json("list", **there)["memories"]) == 2
    assert "is there already" in anamnos.run("restore", folder, **there, code=2).stderr
    (tmp_path / "backup" / "anamnos.db").write_bytes(b"x")
    assert "damaged" in anamnos.run("restore", folder, ANAMNOS_VAULT=str(tmp_path / "other"), code=7).stderr
