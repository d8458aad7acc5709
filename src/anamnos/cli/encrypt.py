"""Keep: ``encrypt``, ``decrypt`` and ``rotate-key``."""

from __future__ import annotations

from pathlib import Path

import click
from rich.text import Text

from anamnos.cli.context import Target, command, is_interactive, print_json, stdin_text
from anamnos.cli.render import console, safe
from anamnos.config import load_settings
from anamnos.errors import InvalidInput
from anamnos.store.keys import UserKey, make_key_file, read_key_file, user_key
from anamnos.system.encryption import check_plain
from anamnos.system.encryption import decrypt as decrypt_vault
from anamnos.system.encryption import encrypt as encrypt_vault
from anamnos.system.encryption import rotate_key as rotate_key_of_vault

_NAME_IT = "Set ANAMNOS_KEY_FILE or ANAMNOS_PASSPHRASE."


@command("encrypt", scope=False, embedder=False)
@click.option("--key-file", type=click.Path(path_type=Path), help="The file with the key; made if it is not there.")
@click.option("--passphrase", "ask", is_flag=True, help="Ask for a passphrase, or read it from standard input.")
def encrypt(target: Target, key_file: Path | None, ask: bool) -> None:
    """Encrypt the vault, in place.

    No other program may have it open. Without an option, the key is that of ANAMNOS_KEY_FILE or ANAMNOS_PASSPHRASE,
    one of which must be set from now on. Whoever loses the key loses the vault.

    \b
    Example:
      anamnos encrypt --key-file ~/anamnos.key
    """
    if key_file is not None and not ask:
        check_plain(target.folder)  # before a key is made that nothing is encrypted with
    key = _new_key(key_file, ask) or _set_key(target)
    if key is None:
        raise InvalidInput("No key is named.", hint=f"Say --key-file FILE or --passphrase. {_NAME_IT}")
    encrypt_vault(target.folder, key)
    _done(target, f"the vault is encrypted; from now on, set {_setting(key, key_file)}", key)


@command("decrypt", scope=False, embedder=False)
def decrypt(target: Target) -> None:
    """Make an encrypted vault plain, in place.

    No other program may have it open.

    \b
    Example:
      ANAMNOS_KEY_FILE=~/anamnos.key anamnos decrypt
    """
    decrypt_vault(target.folder, _needed_key(target))
    _done(target, "the vault is no longer encrypted", None)


@command("rotate-key", scope=False, embedder=False)
@click.option("--new-key-file", type=click.Path(path_type=Path), help="The new key; made if it is not there.")
@click.option("--new-passphrase", "ask", is_flag=True, help="Ask for a new passphrase, or read it from standard input.")
@click.option("--reencrypt", is_flag=True, help="Make a new data key too, and write the whole vault anew with it.")
def rotate_key(target: Target, new_key_file: Path | None, ask: bool, reencrypt: bool) -> None:
    """Open the vault with another key from now on.

    Takes no time, for only the key that encrypts the data is encrypted anew. If that one may be known to others, or
    an old key and an old copy of key.json, say --reencrypt; then no other program may have the vault open.

    \b
    Example:
      ANAMNOS_KEY_FILE=~/old.key anamnos rotate-key --new-key-file ~/new.key
    """
    old = _needed_key(target)
    new = _new_key(new_key_file, ask)
    if new is None and not reencrypt:
        raise InvalidInput("No new key is named.", hint="Say --new-key-file FILE, --new-passphrase or --reencrypt.")
    rotate_key_of_vault(target.folder, old, new, reencrypt=reencrypt)
    written = "the vault was written anew" if reencrypt else "the vault has another key"
    told = written if new is None else f"{written}; from now on, set {_setting(new, new_key_file)}"
    _done(target, told, new or old)


def _set_key(target: Target) -> UserKey | None:
    settings = load_settings(target.folder)
    return user_key(settings.key_file, settings.passphrase)


def _needed_key(target: Target) -> UserKey:
    key = _set_key(target)
    if key is None:
        raise InvalidInput("No key is named that the vault is opened with.", hint=_NAME_IT)
    return key


def _new_key(path: Path | None, ask: bool) -> UserKey | None:
    """Return the key that the options name, if they name one; a file that is not there is made."""
    if path is not None and ask:
        raise InvalidInput("A key file and a passphrase exclude each other.")
    if path is not None:
        if path.exists():
            return read_key_file(path)
        made = make_key_file(path)
        click.echo(f"made the key file {safe(str(path))}: keep a copy of it in another place", err=True)
        return made
    if not ask:
        return None
    if is_interactive():
        words = click.prompt("New passphrase", hide_input=True, confirmation_prompt=True, err=True)
    else:
        words = stdin_text()
    if not words:
        raise InvalidInput("The passphrase is empty.")
    return UserKey("passphrase", words.encode())


def _setting(key: UserKey, path: Path | None) -> str:
    """Return the setting that opens the vault, with its value if that may be shown."""
    if key.kind == "passphrase":
        return "ANAMNOS_PASSPHRASE"
    return "ANAMNOS_KEY_FILE" if path is None else safe(f"ANAMNOS_KEY_FILE={path.absolute()}")


def _done(target: Target, words: str, key: UserKey | None) -> None:
    """Say what was done; ``key`` is what the vault is opened with now."""
    if target.as_json:
        print_json({"vault": str(target.folder), "encrypted": key is not None, "key": key.kind if key else None})
    else:
        console().print(Text(words, style="green"), soft_wrap=True)
