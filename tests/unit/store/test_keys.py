"""Keys: what a user opens a vault with, and the data key that it wraps."""

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from anamnos.config import load_settings
from anamnos.errors import AccessDenied, ConfigError, Corrupt
from anamnos.store import keys
from anamnos.store.keys import UserKey

pytest.importorskip("cryptography")
SECRET = bytes(range(200, 232))
DATA = [bytes(32), bytes(range(32))]
FILE, PASSPHRASE = UserKey("file", SECRET), UserKey("passphrase", "Ångström ☂ staple".encode())


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_COST", {"n": 16, "r": 8, "p": 1})


def key_file(folder: Path, data: bytes, mode: int = 0o600) -> Path:
    path = folder / "key"
    path.write_bytes(data)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    "data",
    [SECRET, SECRET.hex().encode(), SECRET.hex().upper().encode() + b"\n", base64.b64encode(SECRET) + b"\r\n"],
    ids=["raw", "hex", "upper hex", "base64"],
)
def test_a_key_file_is_raw_hex_or_base64(tmp_path: Path, data: bytes) -> None:
    assert keys.read_key_file(key_file(tmp_path, data)) == FILE


@pytest.mark.parametrize(
    "data", [b"", SECRET[:31], SECRET + b"\n", SECRET.hex()[:-1].encode(), b"x" * 64, b"\xff" * 44]
)
def test_a_truncated_or_foreign_key_file_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ConfigError, match="holds no key"):
        keys.read_key_file(key_file(tmp_path, data))


@pytest.mark.skipif(os.name == "nt", reason="no modes")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ConfigError, match="read by others") as refusal:
        keys.read_key_file(key_file(tmp_path, SECRET, mode))
    assert "chmod 600" in refusal.value.hint


def test_a_key_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        keys.read_key_file(tmp_path / "none")


def test_a_made_key_file_can_be_read_by_its_owner_only_and_replaces_nothing(tmp_path: Path) -> None:
    made = keys.make_key_file(tmp_path / "key")
    assert keys.read_key_file(tmp_path / "key") == made
    assert made != keys.make_key_file(tmp_path / "other")
    with pytest.raises(ConfigError, match="cannot be made"):
        keys.make_key_file(tmp_path / "key")
    assert keys.read_key_file(tmp_path / "key") == made


def test_settings_name_one_key_at_most(tmp_path: Path) -> None:
    path = str(key_file(tmp_path, SECRET))
    assert keys.user_key("", "") is None
    assert keys.user_key(path, "") == FILE
    assert keys.user_key("", "word") == UserKey("passphrase", b"word")
    with pytest.raises(ConfigError, match="Both"):
        keys.user_key(path, "word")


def test_a_passphrase_must_not_stand_beside_what_it_protects(tmp_path: Path) -> None:
    (tmp_path / "anamnos.toml").write_text('passphrase = "word"\n')
    with pytest.raises(ConfigError, match="beside what it protects"):
        load_settings(tmp_path, environ={})
    (tmp_path / "anamnos.toml").write_text('key_file = "/elsewhere/key"\n')
    settings = load_settings(tmp_path, environ={"ANAMNOS_PASSPHRASE": "topsecretword"})
    assert (settings.key_file, settings.passphrase) == ("/elsewhere/key", "topsecretword")
    assert "topsecretword" not in repr(settings)
    assert "staple" not in repr(PASSPHRASE)


@pytest.mark.parametrize("key", [FILE, PASSPHRASE], ids=["file", "passphrase"])
def test_data_keys_come_back_with_the_key_that_wrapped_them(tmp_path: Path, key: UserKey) -> None:
    keys.write(tmp_path, DATA, key, unfinished=True)
    said = keys.read(tmp_path)
    assert said is not None
    assert said.unfinished
    assert list(keys.unwrap(tmp_path, said, key).values()) == DATA
    text = (tmp_path / "key.json").read_bytes()
    assert not any(secret in text for data in (*DATA, key.secret) for secret in (data, base64.b64encode(data)))
    if os.name != "nt":
        assert (tmp_path / "key.json").stat().st_mode & 0o077 == 0

    keys.mark(tmp_path, said, unfinished=False, only=said.wrapped[1])
    said = keys.read(tmp_path)
    assert said is not None
    assert not said.unfinished
    assert list(keys.unwrap(tmp_path, said, key).values()) == DATA[1:]


def test_wrong_and_missing_keys_are_named(tmp_path: Path) -> None:
    keys.write(tmp_path, DATA[:1], PASSPHRASE)
    before = (tmp_path / "key.json").read_bytes()
    said = keys.read(tmp_path)
    assert said is not None
    with pytest.raises(ConfigError, match="no key is given") as missing:
        keys.unwrap(tmp_path, said, None)
    assert "ANAMNOS_PASSPHRASE" in missing.value.hint
    with pytest.raises(AccessDenied, match="does not open"):
        keys.unwrap(tmp_path, said, UserKey("passphrase", b"wrong"))
    with pytest.raises(AccessDenied, match="opened with a passphrase"):
        keys.unwrap(tmp_path, said, FILE)
    assert (tmp_path / "key.json").read_bytes() == before


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"key": "token"},
        {"kdf": {"name": "scrypt", "salt": "AAAA", "n": 1 << 40, "r": 8, "p": 1}},
        {"kdf": {"name": "scrypt", "salt": "AAAA", "n": "16", "r": 8, "p": 1}},
        {"kdf": {"name": "scrypt", "salt": "AAAA", "n": 24, "r": 8, "p": 1}},
        {"kdf": []},
        {"wrapped": []},
        {"wrapped": [1]},
        {"wrapped": None},
    ],
)
def test_a_damaged_key_json_is_corrupt_and_left_as_it_is(tmp_path: Path, change: dict[str, Any]) -> None:
    keys.write(tmp_path, DATA, PASSPHRASE)
    path = tmp_path / "key.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    before = path.read_bytes()
    with pytest.raises(Corrupt, match="damaged"):
        keys.read(tmp_path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff\xfe", b'{"format": 1}'])
def test_a_torn_key_json_is_corrupt(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "key.json").write_bytes(data)
    with pytest.raises(Corrupt, match="damaged"):
        keys.read(tmp_path)


def test_a_wrapped_key_that_was_cut_short_opens_nothing(tmp_path: Path) -> None:
    keys.write(tmp_path, DATA[:1], FILE)
    said = keys.read(tmp_path)
    assert said is not None
    for text in ("", "!!", said.wrapped[0][:8], said.wrapped[0][:-4]):
        cut = keys.KeyFile("file", {}, (text,), unfinished=False)
        with pytest.raises(AccessDenied):
            keys.unwrap(tmp_path, cut, FILE)


def test_the_first_to_make_a_key_wins(tmp_path: Path) -> None:
    keys.write_first(tmp_path, FILE)
    first = keys.read(tmp_path)
    keys.write_first(tmp_path, FILE)
    assert keys.read(tmp_path) == first
    assert keys.read(tmp_path / "none") is None
