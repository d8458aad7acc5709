"""Keys of an encrypted vault: the user's, and the data key that it wraps.

Everything in the vault is encrypted with a random data key. ``key.json`` in the vault's folder holds that key, itself
encrypted with the user's key: 32 bytes in a file, or what scrypt makes of a passphrase. So another user's key only
means to write that small file anew. Format: docs/explanation/encryption.md. Source: RFC 7914 (scrypt), RFC 5869 (HKDF).
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from anamnos.errors import AccessDenied, ConfigError, Corrupt, MissingExtra, StoreError
from anamnos.store.files import write_whole
from anamnos.store.sealed import derive

KEY_BYTES = 32
FILE_NAME = "key.json"
_FORMAT = 1
_BOUND_TO = b"anamnos data key 1"
_NONCE = 12
_COST = {"n": 1 << 17, "r": 8, "p": 1}  # 128 MiB of memory, a third of a second
_MOST_MEMORY = 1 << 31  # that a key.json may ask for


@dataclass(frozen=True, slots=True)
class UserKey:
    """What the user opens a vault with."""

    kind: Literal["file", "passphrase"]
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyFile:
    """What ``key.json`` says.

    kind        what it is opened with: ``file`` or ``passphrase``
    kdf         of a passphrase: the salt in base64, and the cost of scrypt
    wrapped     the data keys in base64; there are two only while the vault is encrypted anew
    unfinished  whether the vault is on its way from one form to another, or a kill left it there
    """

    kind: str
    kdf: Mapping[str, Any]
    wrapped: tuple[str, ...]
    unfinished: bool


def user_key(key_file: str, passphrase: str) -> UserKey | None:
    """Return the key that the settings name, if they name one. Raises: ConfigError if two, or it cannot be used."""
    if key_file and passphrase:
        raise ConfigError("Both key_file and passphrase are set.", hint="Set the one that the vault is opened with.")
    if key_file:
        return read_key_file(Path(key_file))
    return UserKey("passphrase", passphrase.encode()) if passphrase else None


def read_key_file(path: Path) -> UserKey:
    """Return the key in a file: 32 raw bytes, or those in hex or base64. Raises: ConfigError if it is anything else,
    or if others than its owner may read it."""
    try:
        data = path.read_bytes()
        mode = path.stat().st_mode
    except OSError as exc:
        raise ConfigError(
            f"The key file {path} cannot be read: {exc.strerror}.", hint="Name another one with ANAMNOS_KEY_FILE."
        ) from exc
    if os.name != "nt" and mode & 0o077:
        raise ConfigError(
            f"The key file {path} may be read by others (mode {mode & 0o777:o}).", hint=f"Run: chmod 600 {path}"
        )
    secret = data if len(data) == KEY_BYTES else _decoded(data.strip())
    if secret is None:
        raise ConfigError(
            f"The key file {path} holds no key: {len(data)} bytes instead of 32 (raw, hex or base64).",
            hint="Is it the right file, and all of it?",
        )
    return UserKey("file", secret)


def make_key_file(path: Path) -> UserKey:
    """Write a new random key to a file that only its owner may read. Raises: ConfigError if that cannot be done."""
    secret = os.urandom(KEY_BYTES)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(base64.b64encode(secret) + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as exc:
        raise ConfigError(f"The key file {path} cannot be made: {exc.strerror}.", hint="Name another place.") from exc
    return UserKey("file", secret)


def read(folder: Path) -> KeyFile | None:
    """Return what the vault's ``key.json`` says, or None if there is none. Raises: Corrupt if it is damaged."""
    path = folder / FILE_NAME
    try:
        found = json.loads(path.read_text("utf-8"))
        said = KeyFile(found["key"], dict(found["kdf"]), tuple(found["wrapped"]), bool(found["unfinished"]))
        sound = found["format"] == _FORMAT and said.kind in ("file", "passphrase") and bool(said.wrapped)
        sound = sound and all(isinstance(each, str) for each in said.wrapped)
        if said.kind == "passphrase":
            base64.b64decode(said.kdf["salt"], validate=True)
            sound = sound and all(type(said.kdf[name]) is int and said.kdf[name] > 0 for name in _COST)
            sound = sound and said.kdf["n"] > 1 and said.kdf["n"].bit_count() == 1  # as scrypt wants it
            sound = sound and 128 * said.kdf["n"] * said.kdf["r"] <= _MOST_MEMORY and said.kdf["p"] <= 16
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise StoreError(f"{path} cannot be read: {exc.strerror}.", hint="Make the file readable.") from exc
    except (ValueError, KeyError, TypeError):
        sound = False
    if not sound:
        raise Corrupt(f"{path} is damaged. It was left as it is.", hint="Restore it from a backup of the vault.")
    return said


def write(folder: Path, data_keys: Sequence[bytes], key: UserKey, *, unfinished: bool = False) -> None:
    """Wrap data keys with the user's key into ``key.json``, at once. Raises: StoreError."""
    kdf: dict[str, Any] = {}
    if key.kind == "passphrase":
        kdf = {"name": "scrypt", "salt": _text(os.urandom(16)), **_COST}
    wrapping = _wrapping_key(key, kdf)
    wrapped = tuple(_text(_wrap(wrapping, each)) for each in data_keys)
    _write(folder, KeyFile(key.kind, kdf, wrapped, unfinished))


def write_first(folder: Path, key: UserKey) -> None:
    """Give a new vault a ``key.json`` with a data key of its own, unless another process is faster."""
    lock = folder / f"{FILE_NAME}.lock"
    with FileLock(lock):
        if read(folder) is None:
            write(folder, [os.urandom(KEY_BYTES)], key)
    with suppress(OSError):  # who waits for it finds the file written; Windows removes no open file
        lock.unlink()


def drop_partials(folder: Path) -> None:
    """Remove what a kill in the middle of writing ``key.json`` has left."""
    for path in folder.glob(f"{FILE_NAME}.*.partial"):
        path.unlink(missing_ok=True)


def mark(folder: Path, said: KeyFile, *, unfinished: bool, only: str | None = None) -> None:
    """Note in ``key.json`` whether the vault is on its way to another form; keep ``only`` one of the wrapped keys.

    Raises: StoreError.
    """
    _write(folder, replace(said, unfinished=unfinished, wrapped=said.wrapped if only is None else (only,)))


def unwrap(folder: Path, said: KeyFile, key: UserKey | None) -> dict[str, bytes]:
    """Return the data keys in ``key.json``, each under its wrapped form.

    Raises: ConfigError if no key is given, AccessDenied for a wrong one.
    """
    needs = "a passphrase" if said.kind == "passphrase" else "a key file"
    setting = "ANAMNOS_PASSPHRASE" if said.kind == "passphrase" else "ANAMNOS_KEY_FILE"
    if key is None:
        raise ConfigError(f"The vault {folder} is encrypted, and no key is given.", hint=f"Set {setting}.")
    if key.kind != said.kind:
        raise AccessDenied(f"The vault {folder} is opened with {needs}.", hint=f"Set {setting}.")
    wrapping = _wrapping_key(key, said.kdf)
    found = {each: _unwrapped(wrapping, each) for each in said.wrapped}
    if keys := {each: data_key for each, data_key in found.items() if data_key is not None}:
        return keys
    raise AccessDenied(f"The key does not open the vault {folder}.", hint=f"It is opened with {needs}: {setting}.")


def _write(folder: Path, said: KeyFile) -> None:
    words = {
        "format": _FORMAT,
        "key": said.kind,
        "kdf": dict(said.kdf),
        "wrapped": list(said.wrapped),
        "unfinished": said.unfinished,
    }
    try:
        write_whole(folder / FILE_NAME, (json.dumps(words, indent=2) + "\n").encode(), mode=0o600)
    except OSError as exc:
        raise StoreError(f"{folder / FILE_NAME} cannot be written: {exc.strerror}.", hint="Free some space.") from exc


def _wrapping_key(key: UserKey, kdf: Mapping[str, Any]) -> bytes:
    if key.kind == "file":
        return derive(key.secret, "wrapping")
    try:
        from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
    except ImportError as exc:
        raise MissingExtra("Encryption", "crypto") from exc
    salt = base64.b64decode(kdf["salt"])
    return Scrypt(salt, KEY_BYTES, n=kdf["n"], r=kdf["r"], p=kdf["p"]).derive(key.secret)


def _wrap(wrapping: bytes, data_key: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(wrapping).encrypt(nonce, data_key, _BOUND_TO)


def _unwrapped(wrapping: bytes, wrapped: str) -> bytes | None:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        sealed = base64.b64decode(wrapped, validate=True)
        return AESGCM(wrapping).decrypt(sealed[:_NONCE], sealed[_NONCE:], _BOUND_TO)
    except (InvalidTag, ValueError):
        return None


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decoded(text: bytes) -> bytes | None:
    """Return the 32 bytes that are written in hex or base64, or None."""
    for decode in (bytes.fromhex, lambda letters: base64.b64decode(letters, validate=True)):
        try:
            found: bytes = decode(text.decode("ascii"))
        except (ValueError, binascii.Error):
            continue
        if len(found) == KEY_BYTES:
            return found
    return None
