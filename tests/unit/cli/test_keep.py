"""export, import, backup, stats, verify, rebuild-index, reembed and doctor."""

from pathlib import Path

import pytest

from anamnos.memory import Memory

from .conftest import Cli


@pytest.fixture
def filled(anamnos: Cli) -> Cli:
    anamnos.add("The spare key is under the blue pot.")
    anamnos.add("of bob", "--user", "bob")
    return anamnos


def test_export_and_import(filled: Cli, tmp_path: Path) -> None:
    file, other = tmp_path / "out.jsonl", str(tmp_path / "other")
    assert filled.json("export", str(file)) == {"file": str(file), "versions": 1}
    receipt = filled.json("import", str(file), "--vault", other)
    assert receipt["outcomes"] == ["added"]
    assert "0 versions, 1 known" in filled.run("import", str(file), "--vault", other).stdout
    assert filled.json("list")["memories"] == filled.json("list", "--vault", other)["memories"]


def test_export_of_everybody(filled: Cli, tmp_path: Path) -> None:
    assert "wrote 2 versions" in filled.run("export", str(tmp_path / "all.jsonl"), "--all").stdout
    assert "--all" in filled.run("export", str(tmp_path / "x.jsonl"), code=2, ANAMNOS_USER="").stderr
    assert "there already" in filled.run("export", str(tmp_path / "all.jsonl"), code=2).stderr


def test_import_of_something_else(anamnos: Cli, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello", "utf-8")
    assert anamnos.run("import", str(tmp_path / "notes.txt"), code=2).stderr


def test_backup(filled: Cli, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    report = filled.json("backup", str(copy))
    assert (report["folder"], report["memories"]) == (str(copy), 2)
    assert report["written_bytes"] == report["size_bytes"] > 0
    assert filled.json("list", "--vault", str(copy)) == filled.json("list")
    assert "not an empty folder" in filled.run("backup", str(copy), code=2).stderr


def test_stats(filled: Cli) -> None:
    assert filled.json("stats")["memories"] == 1
    assert filled.json("stats", "--all")["memories"] == 2
    assert filled.json("stats", ANAMNOS_USER="")["memories"] == 2
    text = filled.run("stats").stdout
    assert "user=ann" in text
    assert "note 1" in text
    assert "hashing-384-v1" in text


def test_verify(filled: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert filled.json("verify") == {"ok": True, "problems": []}
    assert "agree" in filled.run("verify").stdout
    monkeypatch.setattr(Memory, "verify", lambda self: ["a row is gone"])
    assert "a row is gone" in filled.run("verify", code=7).stdout
    assert '"ok": false' in filled.run("verify", "--json", code=7).stdout


def test_rebuild_index(filled: Cli) -> None:
    assert filled.json("rebuild-index") == {"memories": 2}
    assert "2 memories" in filled.run("rebuild-index").stdout
    assert filled.json("search", "spare key")["hits"]


def test_reembed(filled: Cli) -> None:
    done = filled.json("reembed", "--embedder", "hashing")
    assert done == {"memories": 2, "embedder": {"id": "hashing-384-v1", "dim": 384}}
    assert "hashing-384-v1" in filled.run("reembed", "--embedder", "hashing").stdout
    assert "no embedder 'bert'" in filled.run("reembed", "--embedder", "bert", code=6).stderr
    assert "--embedder" in filled.run("reembed", code=2).stderr


def statuses(found: dict[str, list[dict[str, str]]]) -> dict[str, str]:
    return {check["name"]: check["status"] for check in found["checks"]}


def test_doctor_of_a_good_vault(filled: Cli) -> None:
    found = filled.json("doctor")
    assert found["ok"]
    said = statuses(found)
    for name in ("python", "packages", "sqlite", "vault", "writable", "schema", "embedder used", "agreement"):
        assert said[name] == "ok", name
    text = filled.run("doctor").stdout
    assert "hashing-384-v1" in text
    assert str(filled.vault) in text.replace("\n", "")


def test_doctor_makes_no_vault(anamnos: Cli) -> None:
    found = anamnos.json("doctor")
    assert found["ok"]
    assert statuses(found)["vault"] == "warn"
    assert statuses(found)["database"] == "warn"
    assert not anamnos.vault.exists()


@pytest.mark.parametrize("content", [b"no database at all, but long enough to be one" * 30, b""])
def test_doctor_of_a_damaged_vault(anamnos: Cli, content: bytes) -> None:
    anamnos.vault.mkdir()
    database = anamnos.vault / "anamnos.db"
    database.write_bytes(content)
    said = anamnos.run("doctor", "--json", code=7 if content else 0).stdout
    assert '"python"' in said
    assert database.read_bytes() == content


def test_doctor_of_a_newer_vault(filled: Cli) -> None:
    import apsw

    db = apsw.Connection(str(filled.vault / "anamnos.db"))
    db.pragma("user_version", 999)
    db.close()
    assert "update anamnos" in filled.run("doctor", code=7).stdout


def test_doctor_and_config_tell_no_secrets(filled: Cli) -> None:
    secrets = {"ANAMNOS_EMBEDDER_API_KEY": "swordfish", "ANAMNOS_EMBEDDER": "openai:m@http://me:hunter2@localhost/v1"}
    for words, code in (
        (["doctor"], 7),
        (["doctor", "--json"], 7),
        (["config", "show"], 0),
        (["config", "show", "--json"], 0),
    ):
        result = filled.run(*words, code=code, **secrets)
        for secret in ("swordfish", "hunter2"):
            assert secret not in result.stdout + result.stderr


def test_doctor_of_bad_settings(filled: Cli) -> None:
    (filled.vault / "anamnos.toml").write_text("colour = 1", "utf-8")
    assert "colour" in filled.run("doctor", code=7).stdout
