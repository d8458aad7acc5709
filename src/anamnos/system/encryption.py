"""A plain vault made an encrypted one, and back, and with another key. See docs/explanation/encryption.md.

Each works on a vault that nobody has open, in its folder. The database is copied in its new form beside the old one,
which it then replaces at once: that is the moment from which the vault has the new form. ``key.json`` says from before
it until after it that the vault is on its way; whatever the other form has left behind goes when the vault is next
opened, which is what each of these does at its end, and what the next user does after a kill.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from anamnos.errors import ConfigError, Corrupt, NotFound
from anamnos.store import keys
from anamnos.store.blobs import BlobStore
from anamnos.store.keys import UserKey
from anamnos.store.sqlite import SqliteStore
from anamnos.store.sqlite_file import is_plain
from anamnos.store.sqlite_vfs import check_can_encrypt
from anamnos.system.vault import Vault

_WAIT_S = 5.0  # for others to leave


def encrypt(folder: Path, key: UserKey) -> None:
    """Encrypt a plain vault. A kill leaves it plain or encrypted, and whole; then doing it again is right.

    Raises: NotFound if there is no vault, ConfigError if it is encrypted, Busy if it is open elsewhere, StoreError
    (disk full); then it is as it was.
    """
    check_plain(folder)
    Vault(folder).open().close()  # brings an older schema up to date, and clears up after a kill
    data_key = os.urandom(keys.KEY_BYTES)
    _change(folder, None, data_key, lambda: keys.write(folder, [data_key], key, unfinished=True))
    Vault(folder, key=key).open().close()


def check_plain(folder: Path) -> None:
    """Raise what ``encrypt`` would, unless there is a plain vault and an engine that can encrypt it."""
    if not _found(folder):
        raise ConfigError(f"The vault {folder} is encrypted already.", hint="Another key: anamnos rotate-key")
    check_can_encrypt(folder / "anamnos.db")


def decrypt(folder: Path, key: UserKey) -> None:
    """Make an encrypted vault plain. A kill leaves it encrypted or plain, and whole.

    Raises: as ``encrypt``; AccessDenied for a wrong key.
    """
    data_key = _unlocked(folder, key)
    _change(folder, data_key, None, lambda: keys.mark(folder, _said(folder), unfinished=True))
    Vault(folder).open().close()


def rotate_key(folder: Path, old: UserKey, new: UserKey | None = None, *, reencrypt: bool = False) -> None:
    """Have a vault opened with another key from now on.

    new        None: the same as before, if only the data key is to be another
    reencrypt  make a new data key too, and write everything anew with it; else only ``key.json`` is written
    A kill leaves the vault with the old key or the new one, and whole.
    Raises: as ``decrypt``.
    """
    data_key = _unlocked(folder, old)
    if reencrypt:
        fresh = os.urandom(keys.KEY_BYTES)
        _change(folder, data_key, fresh, lambda: keys.write(folder, [data_key, fresh], old, unfinished=True))
        _unlocked(folder, old)
    if new is not None:
        with closing(_opened(folder, old)) as vault, vault.store.write():  # nobody is giving it another data key
            keys.write(folder, [_data_key(vault)], new)


def _change(folder: Path, old: bytes | None, new: bytes | None, note: Callable[[], None]) -> None:
    """Write the database and the blobs anew. ``note`` is called once nobody else is in."""
    store = SqliteStore(folder / "anamnos.db", busy_timeout_s=_WAIT_S, key=old).open()
    names = store.blob_names()
    store.close()
    before, after = (BlobStore(folder / "blobs", key) for key in (old, new))

    def prepare() -> None:
        note()
        before.drop_partials()
        for name in names:
            after.put(before.read(name), "application/octet-stream")  # the name of a blob is of its bytes alone

    store.rewrite(new, prepare)


def _found(folder: Path) -> bool:
    """Return whether the vault is plain. Raises: NotFound if there is none."""
    plain = is_plain(folder / "anamnos.db")
    if plain is None:
        raise NotFound(f"There is no vault in {folder}.", hint="Name another folder with --vault or ANAMNOS_VAULT.")
    return plain


def _unlocked(folder: Path, key: UserKey) -> bytes:
    """Return the data key of an encrypted vault, after clearing up what a kill may have left."""
    with closing(_opened(folder, key)) as vault:
        return _data_key(vault)


def _opened(folder: Path, key: UserKey) -> Vault:
    if _found(folder):
        raise ConfigError(f"The vault {folder} is not encrypted.", hint="Encrypt it with: anamnos encrypt")
    return Vault(folder, key=key).open()


def _data_key(vault: Vault) -> bytes:
    if vault.data_key is None:
        raise ConfigError(f"The vault {vault.folder} has just been decrypted.", hint="Nothing is left to do.")
    return vault.data_key


def _said(folder: Path) -> keys.KeyFile:
    said = keys.read(folder)
    if said is None:
        raise Corrupt(f"{folder / keys.FILE_NAME} is gone.", hint="Restore it from a backup of the vault.")
    return said
