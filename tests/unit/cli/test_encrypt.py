"""``encrypt``, ``decrypt`` and ``rotate-key`` from the command line."""

from pathlib import Path

import pytest

from anamnos.errors import AccessDenied, ConfigError
from anamnos.store import keys
from anamnos.store.sqlite_vfs import can_encrypt

from .conftest import Cli

pytest.importorskip("cryptography")
encrypts = pytest.mark.skipif(not can_encrypt(), reason="the installed apsw cannot encrypt; see make test-encrypted")


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_COST", {"n": 16, "r": 8, "p": 1})
    for name in ("ANAMNOS_KEY_FILE", "ANAMNOS_PASSPHRASE"):
        monkeypatch.delenv(name, raising=False)


@encrypts
def test_a_vault_goes_from_plain_to_key_file_to_passphrase_and_back(anamnos: Cli) -> None:
    key, new = anamnos.folder / "key", anamnos.folder / "new key"
    anamnos.add("The spare key is under the blue pot.")
    done = anamnos.run("encrypt", "--key-file", str(key))
    assert "encrypted" in done.stdout
    assert "keep a copy" in done.stderr
    assert b"blue pot" not in (anamnos.vault / "anamnos.db").read_bytes()

    assert "ANAMNOS_KEY_FILE" in anamnos.run("search", "pot", code=ConfigError.exit_code).stderr
    assert "blue pot" in anamnos.run("search", "pot", ANAMNOS_KEY_FILE=str(key)).stdout
    assert "encryption" in anamnos.run("doctor", ANAMNOS_KEY_FILE=str(key)).stdout

    anamnos.run("rotate-key", "--new-key-file", str(new), ANAMNOS_KEY_FILE=str(key))
    anamnos.run("search", "pot", code=AccessDenied.exit_code, ANAMNOS_KEY_FILE=str(key))
    found = anamnos.json("rotate-key", "--new-passphrase", "--reencrypt", stdin="word\n", ANAMNOS_KEY_FILE=str(new))
    assert found == {"vault": str(anamnos.vault), "encrypted": True, "key": "passphrase"}
    assert "blue pot" in anamnos.run("search", "pot", ANAMNOS_PASSPHRASE="word").stdout
    assert anamnos.json("rotate-key", "--reencrypt", ANAMNOS_PASSPHRASE="word")["key"] == "passphrase"

    assert anamnos.json("decrypt", ANAMNOS_PASSPHRASE="word")["encrypted"] is False
    assert "blue pot" in anamnos.run("search", "pot").stdout


@encrypts
def test_a_passphrase_may_come_from_the_environment_or_standard_input(anamnos: Cli) -> None:
    anamnos.add("text")
    assert anamnos.json("encrypt", ANAMNOS_PASSPHRASE="word")["key"] == "passphrase"
    assert anamnos.json("decrypt", ANAMNOS_PASSPHRASE="word")["key"] is None
    assert anamnos.json("encrypt", "--passphrase", stdin="word\n")["key"] == "passphrase"
    assert anamnos.json("list", ANAMNOS_PASSPHRASE="word")["memories"]
    assert "empty" in anamnos.run("rotate-key", "--new-passphrase", ANAMNOS_PASSPHRASE="word", code=2).stderr


def test_what_is_not_named_is_asked_for(anamnos: Cli, tmp_path: Path) -> None:
    anamnos.add("text")
    for words in (["encrypt"], ["decrypt"], ["rotate-key"]):
        assert "ANAMNOS_KEY_FILE" in anamnos.run(*words, code=2).stderr
    assert "new key" in anamnos.run("rotate-key", ANAMNOS_PASSPHRASE="x", code=2).stderr
    both = anamnos.run("encrypt", "--passphrase", "--key-file", str(tmp_path / "key"), code=2)
    assert "exclude" in both.stderr
    nowhere = str(tmp_path / "nowhere")
    assert (
        "no vault" in anamnos.run("encrypt", "--key-file", str(tmp_path / "key"), ANAMNOS_VAULT=nowhere, code=3).stderr
    )
    assert not (tmp_path / "key").exists(), "a key that nothing is encrypted with"


def test_keys_are_not_shown(anamnos: Cli) -> None:
    text = anamnos.run("config", "show", ANAMNOS_PASSPHRASE="topsecretword").stdout
    assert "topsecretword" not in text
    assert "(hidden)" in text
