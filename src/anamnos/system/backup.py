"""Backups of a vault, brought up to date in place if wanted, and vaults restored from them. See docs/formats/backup.md.

A backup is a folder with the database, the blobs, and ``backup.json``, which holds the SHA-256 and size of each file.
An incremental backup writes only those pages of the database that differ. They first go into a journal,
``backup.redo``, which counts once it is whole: a stop at any moment leaves the old backup or the new one. What was
erased in the vault since is overwritten in the backup, for its pages differ.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import struct
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from anamnos.cube import to_iso
from anamnos.errors import Busy, Corrupt, InvalidInput, MigrationNeeded, StoreError
from anamnos.store.files import sync_folder, wipe, write_whole

FORMAT = 1
MANIFEST, REDO, LOCK, DATABASE = "backup.json", "backup.redo", "backup.lock", "anamnos.db"
SIDE_FILES = ("anamnos.toml", "key.json")  # of the vault's folder, beside the database and the blobs
_OURS = ("blobs/", "index/", f"{DATABASE}-", f"{REDO}.", *SIDE_FILES)  # what else a backup, or a vault, may have
_MAGIC = b"anamnos redo 1\n\0"
_RECORD = struct.Struct("<QI")  # offset, length
_END = (2**64 - 1, 0)
_PIECE = 128 * 8192  # bytes compared at a time, in units of
_PAGE = 8192
_ATTEMPTS = 5

Read = Callable[[int, int], bytes]
"""Called with (offset, amount), returns bytes of the database file."""


@dataclass(frozen=True, slots=True)
class BackupReport:
    """What a backup did.

    sequence       the last change of the vault that is in it
    size_bytes     of all its files
    written_bytes  of those that differed from before
    """

    sequence: int
    size_bytes: int
    written_bytes: int


def whole(
    folder: Path,
    target: Path,
    copy_database: Callable[[str], None],
    sequence: Callable[[], int],
    vault: str,
    now: datetime,
) -> BackupReport:
    """Copy the vault in ``folder`` to a new or empty folder, while others read and write.

    copy_database  writes the vault's database, as it is at one moment, to a new file
    vault          the vault's own id
    Raises: InvalidInput if the target is there and not empty; Busy; StoreError. A stop leaves no half backup.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        newer = "Bring it up to date with --incremental, or name a new folder."
        hint = newer if (target / MANIFEST).exists() else "Name a new folder."
        raise InvalidInput(f"{target} is there already and is not an empty folder.", hint=hint)
    partial = target.with_name(f"{target.name}.partial-{uuid.uuid4().hex[:8]}")
    try:
        for _ in range(_ATTEMPTS):
            blobs, reached = _blobs(folder), sequence()
            partial.mkdir(parents=True)
            copy_database(str(partial / DATABASE))
            _copy_blobs(folder, partial)
            for name in SIDE_FILES:
                if (folder / name).exists():
                    shutil.copy2(folder / name, partial)
            if blobs <= _blobs(folder):  # else one was erased meanwhile that the copied database still refers to
                break
            shutil.rmtree(partial)
        else:
            raise _erased_again(folder)
        files = {_name(path, partial): _described(path) for path in _files(partial)}
        write_whole(partial / MANIFEST, _manifest(vault, reached, now, files))
        if target.exists():
            target.rmdir()
        partial.rename(target)
    except OSError as exc:
        raise _failed(target, exc) from exc
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    size = sum(entry["size_bytes"] for entry in files.values())
    return BackupReport(reached, size, size)


def increment(
    folder: Path,
    target: Path,
    held_still: Callable[[], AbstractContextManager[tuple[Read, int]]],
    sequence: Callable[[], int],
    vault: str,
    now: datetime,
) -> BackupReport:
    """Bring the backup in ``target`` up to date with the vault in ``folder``, while others read and write.

    held_still  lends the vault's database file while nothing is written to it, and its size
    vault       the vault's own id: a backup of another one is not touched
    Raises: InvalidInput if the target is no backup of this vault, or is in use as one itself; Busy, also if another
    backup to it is going on; StoreError.
    """
    held = read_manifest(target)
    if held["vault"] != vault:
        raise InvalidInput(f"{target} is the backup of another vault.", hint="Name a new folder, or that one's own.")
    log = target / f"{DATABASE}-wal"
    if log.exists() and log.stat().st_size:
        raise InvalidInput(f"{target} is in use as a vault.", hint="Close it, or name a new folder.")
    try:
        with _alone(target):
            for _ in range(_ATTEMPTS):
                blobs = _blobs(folder)
                _finish(target)
                report = _written(folder, target, held_still, sequence, vault, now)
                if blobs <= _blobs(folder):  # as in ``whole``
                    return report
    except OSError as exc:
        raise _failed(target, exc) from exc
    raise _erased_again(folder)


def restore(backup: Path, folder: Path) -> dict[str, Any]:
    """Make a new vault of a backup, after checking every byte of it, and return the backup's manifest.

    Raises: InvalidInput if there is no backup, or the folder is not new or empty; Busy if the backup is being written;
    Corrupt, naming the file, if it is damaged; StoreError. Then there is no vault.
    """
    folder = folder.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidInput(f"{folder} is there already and is not an empty folder.", hint="Name a new folder.")
    read_manifest(backup)
    partial = folder.with_name(f"{folder.name}.partial-{uuid.uuid4().hex[:8]}")
    try:
        with _alone(backup) if os.access(backup, os.W_OK) else nullcontext():  # a disk may be for reading only
            _finish(backup)
            manifest = read_manifest(backup)
            for name, entry in manifest["files"].items():
                _restore_file(backup, name, entry, partial / name)
        if folder.exists():
            folder.rmdir()
        partial.rename(folder)
    except OSError as exc:
        raise StoreError(f"{backup} could not be restored to {folder}: {exc.strerror}.") from exc
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def _restore_file(backup: Path, name: str, entry: dict[str, Any], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copyfile(backup / name, target)
    except FileNotFoundError as exc:
        raise Corrupt(f"{name} is missing in the backup {backup}.", hint="Use another backup.") from exc
    if _described(target) != entry:
        raise Corrupt(f"{name} in the backup {backup} is damaged, or was changed since.", hint="Use another backup.")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a backup. Raises: InvalidInput if the folder is none, MigrationNeeded if it
    is of a newer version of Anamnos."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        number, files = manifest["anamnos_backup"], manifest["files"]
        if isinstance(number, int) and number > FORMAT:
            raise MigrationNeeded(
                f"{folder} is a backup of format {number}; this version of Anamnos knows {FORMAT}.",
                hint="Upgrade with: pip install --upgrade anamnos",
            )
        outside = any(Path(name).is_absolute() or ".." in Path(name).parts for name in files)
        if number != FORMAT or outside or DATABASE not in files or not isinstance(manifest["vault"], str):
            raise ValueError("it is of another format")
    except FileNotFoundError as exc:
        raise InvalidInput(f"{folder} is not a backup: it has no {MANIFEST}.", hint="Name another folder.") from exc
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise InvalidInput(f"{folder} is not a backup that can be read: {exc}.") from exc
    return dict(manifest)


# --- one increment


def _written(
    folder: Path,
    target: Path,
    held_still: Callable[[], AbstractContextManager[tuple[Read, int]]],
    sequence: Callable[[], int],
    vault: str,
    now: datetime,
) -> BackupReport:
    """Write what differs, and return how much that was."""
    partial = target / f"{REDO}.partial"
    reached = sequence()
    with held_still() as (read, size), partial.open("wb") as file, (target / DATABASE).open("rb") as old:
        digest, written = _Hashed(file), 0
        digest.write(_MAGIC)
        whole = hashlib.sha256()
        for offset in range(0, size, _PIECE):
            new = read(min(_PIECE, size - offset), offset)
            whole.update(new)
            for start, page in _differing(new, old.read(len(new))):
                digest.write(_RECORD.pack(offset + start, len(page)) + page)
                written += len(page)
        digest.write(_RECORD.pack(*_END))
        entries: dict[str, Any] = {DATABASE: {"sha256": whole.hexdigest(), "size_bytes": size}}
        side = {name: (folder / name).read_bytes() for name in SIDE_FILES if (folder / name).exists()}
        entries |= {n: {"sha256": hashlib.sha256(d).hexdigest(), "size_bytes": len(d)} for n, d in side.items()}
        written += _copy_blobs(folder, target)
        entries |= {name: _described(target / name) for name in _blobs(folder) & _blobs(target)}
        tail = {
            "manifest": _manifest(vault, reached, now, entries).decode(),
            "side": {name: base64.b64encode(data).decode() for name, data in side.items()},
        }
        digest.write(json.dumps(tail).encode())
        file.write(digest.sha256.digest())
        file.flush()
        os.fsync(file.fileno())
    partial.replace(target / REDO)
    sync_folder(target)
    _finish(target)
    return BackupReport(reached, sum(entry["size_bytes"] for entry in entries.values()), written)


def _finish(target: Path) -> None:
    """Carry out the journal of a backup, if there is one; doing it twice changes nothing."""
    redo = target / REDO
    if not redo.exists():
        return
    data_size = redo.stat().st_size - hashlib.sha256().digest_size
    with redo.open("rb") as file:
        digest = hashlib.sha256()
        for start in range(0, data_size, _PIECE):
            digest.update(file.read(min(_PIECE, data_size - start)))
        if digest.digest() != file.read():
            raise Corrupt(f"{redo} is damaged. It was left as it is.", hint="Make a new backup.")
        file.seek(len(_MAGIC))
        with (target / DATABASE).open("r+b") as database:
            while (record := _RECORD.unpack(file.read(_RECORD.size))) != _END:
                database.seek(record[0])
                database.write(file.read(record[1]))
            tail = json.loads(file.read(data_size - file.tell()))
            entries = json.loads(tail["manifest"])["files"]
            database.truncate(entries[DATABASE]["size_bytes"])
            database.flush()
            os.fsync(database.fileno())
    for name, text in tail["side"].items():
        write_whole(target / name, base64.b64decode(text))
    write_whole(target / MANIFEST, tail["manifest"].encode())
    for path in _files(target):
        if (name := _name(path, target)) not in entries and name.startswith(_OURS):
            wipe(path)  # erased in the vault, or an index, which makes itself again
    redo.unlink()


def _differing(new: bytes, old: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, page) for each page of ``new`` that is not the same in ``old``."""
    if new != old:
        for start in range(0, len(new), _PAGE):
            page = new[start : start + _PAGE]
            if page != old[start : start + _PAGE]:
                yield start, page


class _Hashed:
    """Writes to a file and hashes what is written."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()

    def write(self, data: bytes) -> None:
        self.sha256.update(data)
        self._file.write(data)


def _manifest(vault: str, sequence: int, now: datetime, files: dict[str, Any]) -> bytes:
    head = {"anamnos_backup": FORMAT, "vault": vault, "made_at": to_iso(now), "sequence": sequence}
    return (json.dumps({**head, "files": files}, indent=1, sort_keys=True) + "\n").encode()


def _blobs(folder: Path) -> set[str]:
    return {_name(path, folder) for path in (folder / "blobs").glob("??/*") if len(path.name) == 64}


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _copy_blobs(folder: Path, target: Path) -> int:
    """Copy the blobs that are not there yet, and return how many bytes that were. One that is erased in this very
    moment is left out, which the caller notices."""
    written = 0
    for name in sorted(_blobs(folder)):
        source, copy = folder / name, target / name
        with suppress(FileNotFoundError):
            if not copy.exists() or copy.stat().st_size != source.stat().st_size:
                partial = copy.with_name(f"{copy.name}.partial")
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, partial)
                partial.replace(copy)
                written += copy.stat().st_size
    return written


@contextmanager
def _alone(backup: Path) -> Iterator[None]:
    """Keep others from bringing a backup up to date meanwhile. Raises: Busy if somebody is at it."""
    lock = FileLock(backup / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as exc:
        raise Busy(f"Somebody is writing the backup {backup}.", hint="Wait until that is done.") from exc
    try:
        yield
    finally:
        lock.release()


def _failed(target: Path, exc: OSError) -> StoreError:
    return StoreError(f"The backup to {target} failed: {exc.strerror or exc}.", hint="Free some space there.")


def _erased_again(folder: Path) -> Busy:
    return Busy(f"Memories were erased again and again while {folder} was copied.", hint="Try again.")


def _described(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "size_bytes": path.stat().st_size}
