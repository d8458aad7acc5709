"""Keep: ``doctor``. It changes no memory, and works where the vault is damaged or not there."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import apsw
import click
from rich.text import Text

from anamnos import __version__
from anamnos.cli.config import masked, setting_rows
from anamnos.cli.context import Target, command, print_json
from anamnos.cli.render import console, safe, size
from anamnos.cli.setup import RUNTIME, model_folder, package_version
from anamnos.errors import AnamnosError, StoreError
from anamnos.memory import Memory
from anamnos.store.migrations import SCHEMA_VERSION

OK, WARN, FAIL = "ok", "warn", "fail"
_STYLES = {OK: "green", WARN: "yellow", FAIL: "bold red"}
_PACKAGES = ("apsw", "click", "filelock", "numpy", "platformdirs", "rich")
_LITTLE_SPACE = 500 * 2**20
_OLDEST_SQLITE = (3, 42)  # the first with real deletion in its keyword tables


class Check(NamedTuple):
    """One line of the report; ``status`` is ok, warn or fail."""

    name: str
    status: str
    detail: str


@command("doctor")
def doctor(target: Target) -> None:
    """Check the installation and the vault, line by line.

    Changes no memory. Ends with exit status 7 if a line says fail.

    \b
    Example:
      anamnos doctor --vault my-vault
    """
    checks = [*_installation(), *_settings(target), *_place(target.folder), *_vault(target)]
    failed = any(check.status == FAIL for check in checks)
    if target.as_json:
        print_json({"ok": not failed, "checks": [check._asdict() for check in checks]})
    else:
        out = console()
        for check in checks:
            status = Text(f"{check.status:<5}", style=_STYLES[check.status])
            out.print(status, Text(f"{check.name:<14}"), Text(safe(check.detail)))
    if failed:
        raise click.exceptions.Exit(StoreError.exit_code)


def _installation() -> Iterator[Check]:
    yield Check("anamnos", OK, __version__)
    yield Check("python", OK, f"{platform.python_version()} ({sys.executable})")
    found = {name: package_version(name) for name in _PACKAGES}
    found["apsw"] = apsw.apsw_version()  # which may be installed as apsw-sqlite3mc
    missing = [name for name, number in found.items() if number is None]
    detail = f"missing: {', '.join(missing)}" if missing else ", ".join(f"{n} {v}" for n, v in found.items())
    yield Check("packages", FAIL if missing else OK, detail)
    sqlite = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    yield Check("sqlite", OK if sqlite >= _OLDEST_SQLITE else FAIL, f"{apsw.sqlite_lib_version()} (apsw)")
    extra = {name: package_version(name) for name in RUNTIME}
    missing = [name for name, number in extra.items() if number is None]
    if missing:
        hint = "pip install 'anamnos[embed]'"
        yield Check("minilm runtime", WARN, f"missing: {', '.join(missing)}; install with: {hint}")
    else:
        yield Check("minilm runtime", OK, ", ".join(f"{n} {v}" for n, v in extra.items()))
    folder = model_folder()
    yield Check("minilm model", OK if folder else WARN, str(folder or "not here; get it with: anamnos setup"))


def _settings(target: Target) -> Iterator[Check]:
    try:
        for row in setting_rows(target):
            if row["name"] in ("embedder", "model_dir", "recipe") and row["value"]:
                yield Check(row["name"], OK, f"{row['value']} ({row['source']})")
    except AnamnosError as exc:
        yield Check("settings", FAIL, f"{exc.message} {exc.hint}")


def _place(folder: Path) -> Iterator[Check]:
    there = folder.is_dir()
    yield Check("vault", OK if there else WARN, f"{folder}" + ("" if there else " (not there yet)"))
    above = next((path for path in (folder, *folder.absolute().parents) if path.exists()), Path("/"))
    writable = os.access(above, os.W_OK) and above.is_dir()
    yield Check("writable", OK if writable else FAIL, "yes" if writable else f"{above} cannot be written")
    free = shutil.disk_usage(above).free
    yield Check("free disk", OK if free > _LITTLE_SPACE else WARN, size(free))


def _vault(target: Target) -> Iterator[Check]:
    with suppress(AnamnosError):  # of settings that cannot be read something is said above
        if target.on_server():
            yield from _opened(target)
            return
    path = target.folder / "anamnos.db"
    if not path.exists():
        yield Check("database", WARN, "no memories yet; the first anamnos add makes them")
        return
    if (target.folder / "key.json").exists():
        yield Check("encryption", OK, "on")
        yield from _opened(target)
        return
    try:
        schema = _schema(path)
    except apsw.Error as exc:
        yield Check("database", FAIL, f"{path} is damaged or no database ({exc}); restore a backup")
        return
    if schema != SCHEMA_VERSION:
        newer = schema > SCHEMA_VERSION
        advice = "update anamnos" if newer else "it is brought up to date when it is next opened"
        yield Check("schema", FAIL if newer else WARN, f"{schema}, this version has {SCHEMA_VERSION}: {advice}")
        return
    yield Check("schema", OK, str(schema))
    yield from _opened(target)


def _opened(target: Target) -> Iterator[Check]:
    try:
        with target.open() as memory:
            for look in (_embedder, _counts, _index, _agreement):
                yield look(memory)
    except AnamnosError as exc:
        yield Check("open", FAIL, f"{exc.message} {exc.hint}".strip())


def _schema(path: Path) -> int:
    """Return the schema's number without changing the file. Raises: apsw.Error if it is no database."""
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        db.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        return int(db.pragma("user_version"))
    finally:
        db.close()


def _embedder(memory: Memory) -> Check:
    wanted, held = memory.settings.embedder, memory.vault.store.embedder()
    how = f"{masked(wanted)}, as set" if wanted != "auto" else "auto: the vault's own" if held else "auto"
    return Check("embedder used", OK, f"{memory.embedder.id}, {memory.embedder.dim} numbers ({how})")


def _counts(memory: Memory) -> Check:
    found = memory.stats()
    return Check("memories", OK, f"{found['memories']:,} in {found['scopes']:,} scopes")


def _index(memory: Memory) -> Check:
    parts = memory.vault.sizes()
    behind = not (memory.vault.folder / "index").exists()
    note = ", not made yet: the first search makes it" if behind else ""
    return Check("index", OK, f"{size(parts['index'])}{note}")


def _agreement(memory: Memory) -> Check:
    problems = memory.verify()
    return Check(
        "agreement", FAIL if problems else OK, "; ".join(problems) or "rows, keywords, vectors and blobs agree"
    )
