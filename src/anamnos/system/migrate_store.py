"""A vault's memories moved to another engine, or another folder, while others read and write.

The target follows the source's feed of changes from the first one on, and takes over its rows and numbers: so whatever
was noted by them (how far a job has come, what an index holds) means the same there. How far the target has come is its
own sequence number, so whoever is killed goes on from there. Once it has caught up, every version of every memory is
compared, while others still write. Then nobody can write to the source for as long as it takes to copy what has
changed since, to compare that and what was not alike before, and to copy what is in no feed (settings, jobs, records
…); and the source is marked as moved in the write that kept others out. Until all that is over, the target is marked
as well, and no vault can be opened on it.
"""

from __future__ import annotations

import json
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from itertools import groupby
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit, urlunsplit

import numpy as np
from filelock import FileLock, Timeout

from anamnos.config import FILE_NAME as SETTINGS_FILE
from anamnos.cube import CubeId, to_iso, utc_now
from anamnos.errors import Busy, ConfigError, Corrupt, InvalidInput, Moved, NotFound, StoreError
from anamnos.store.base import MIGRATING, MOVED_TO, MOVING, Store
from anamnos.store.files import wipe, write_whole
from anamnos.store.keys import UserKey
from anamnos.store.ledger import RecordKind
from anamnos.store.sqlite import SqliteStore
from anamnos.system.backup import DATABASE
from anamnos.system.vault import Vault
from anamnos.types import Change, Derived

Progress = Callable[[int, int], None]
LOCK = "migrate.lock"
_BATCH = 500  # changes, or cubes, at a time
_PASSES = 10  # before others are kept from writing, however many changes there are still to copy then
_ALL = 2**31 - 1
_STORE_LINE = re.compile(r"^\s*store\s*=.*\n?", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class MoveReport:
    """What moving a vault's memories did, or what ``verify_only`` found.

    to           where they are now
    memories     how many there are
    entries      of the audit
    repaired     cubes that had not become alike by following the feed of changes, and were copied once more
    frozen_s     seconds for which others could not write to the source
    switched     whether they live there from now on
    differences  what the target has otherwise than the source, one sentence each
    """

    to: str
    memories: int
    entries: int
    repaired: int
    frozen_s: float
    switched: bool
    differences: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON data."""
        data = {field.name: getattr(self, field.name) for field in fields(self)}
        return data | {"differences": list(self.differences)}


# --- a vault


def migrate_vault(
    folder: Path,
    to: str,
    open_server: Callable[[str], Store | None],
    *,
    server: str = "",
    key: UserKey | None = None,
    drop_source: bool = False,
    verify_only: bool = False,
    progress: Progress | None = None,
) -> MoveReport:
    """Move the memories of a vault to another engine, or to a new vault in another folder.

    to           the address of a server, ``postgresql://…``, or a folder
    open_server  returns the store, not opened, of an address
    server       where the vault's memories are now; empty: in its own SQLite file
    drop_source  overwrite and remove the file that they were in, once they are all in the other place
    verify_only  compare the two, and change nothing
    A kill at any moment loses nothing: call it again. Raises: InvalidInput if the target holds other memories;
    ConfigError if it would not be encrypted though the vault is; Busy if somebody else is moving this vault, or its
    embedder was changed meanwhile; NotFound; StoreError and its kinds.
    """
    to_server = "://" in to
    where = without_password(to) if to_server else str(Path(to).absolute())
    if server and without_password(server) == where:
        server = ""  # they are there already, but perhaps not all is done
    if drop_source and server:
        raise InvalidInput("The memories are on a server: nothing can be dropped from here.", hint="Drop them there.")
    if not server and not (folder / DATABASE).exists():
        raise NotFound(f"There are no memories to move in {folder}.", hint="Name another folder with --vault.")
    if not server and where == str(folder.absolute()):
        raise InvalidInput(f"{folder} is where the memories are.", hint="Name another folder, or a server.")
    if verify_only and not to_server and not (Path(to) / DATABASE).exists():
        raise NotFound(f"There is no vault in {to}.", hint="Move the memories there first.")
    with _alone(folder):
        source = Vault(folder, store=open_server(server) if server else None, key=None if server else key)
        with closing(source.open(moving=True)):
            if to_server and source.data_key is not None:
                raise ConfigError(
                    f"The vault {folder} is encrypted; on the server its memories would not be.",
                    hint="Have the server encrypt its disk, run anamnos decrypt, and move the memories then.",
                )
            target = _target(folder, to, open_server(to) if to_server else None, key)
            with closing(target.open(moving=True)):
                blobs = None if _same(source, target) else _Blobs(source, target)
                report = copy_store(
                    source.store, target.store, where, also=blobs, verify_only=verify_only, progress=progress
                )
                if report.switched:
                    _finish(source, target, where if to_server else "", without_password(server), drop_source)
    return report


def _target(folder: Path, to: str, store: Store | None, key: UserKey | None) -> Vault:
    if store is not None:
        return Vault(folder, store=store)
    return Vault(Path(to), key=None if Path(to).absolute() == folder.absolute() else key)


def _same(source: Vault, target: Vault) -> bool:
    return source.folder.absolute() == target.folder.absolute()


def without_password(url: str) -> str:
    """Return the address of a server without a password, which belongs in no file.

    >>> without_password("postgresql://ann:secret@host:5432/db")
    'postgresql://ann@host:5432/db'
    """
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}{at}{host}"))


class _Blobs:
    """Copies the blobs of one vault to another one when called, and returns which of them cannot be read there."""

    def __init__(self, source: Vault, target: Vault) -> None:
        self.source = source
        self.target = target

    def __call__(self, verify_only: bool) -> list[str]:
        if verify_only:
            return self.target.verify_blobs()
        wanted = self.source.store.blob_names()
        for name in sorted(wanted):
            if not self.target.blobs.path(name).exists():  # each is put there whole
                self.target.blobs.put(self.source.blobs.read(name), "application/octet-stream")
        self.target.blobs.keep_only(wanted)
        return []


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as exc:
        raise Busy(f"Somebody is moving the vault {folder} already.", hint="Wait until that is done.") from exc
    except OSError as exc:
        raise StoreError(f"{folder} cannot be written: {exc.strerror}.", hint="Make the folder writable.") from exc
    try:
        yield
    finally:
        lock.release()


def _finish(source: Vault, target: Vault, to_server: str, from_server: str, drop_source: bool) -> None:
    """Have the settings of the target's folder say where the memories are, and let the target be opened.

    The old store stays as a copy that no erasing reaches, which is noted, until it is dropped.
    """
    ours, theirs = source.folder / SETTINGS_FILE, target.folder / SETTINGS_FILE
    if ours == theirs or not theirs.exists():
        text = ours.read_text("utf-8") if ours.exists() else ""
        said = f"store = {json.dumps(to_server)}\n" if to_server else ""
        if (new := said + _STORE_LINE.sub("", text)) != text or ours != theirs:
            write_whole(theirs, new.encode())
    name = from_server or str((source.folder / DATABASE).absolute())
    with target.store.write() as tx:
        tx.record("copy", name, {"what": "old store", "at": to_iso(utc_now())})
        if tx.setting(MIGRATING) is not None:
            tx.set_setting(MIGRATING, None)
    if drop_source:
        source.close()
        _drop(source, other_folder=not _same(source, target))
        with target.store.write() as tx:
            tx.record("copy", name, None)


def _drop(vault: Vault, *, other_folder: bool) -> None:
    """Overwrite and remove what was moved: the database, its indexes, and what else has a copy in another folder."""
    assert isinstance(vault.store, SqliteStore)  # noqa: S101  (of a vault without a server)
    vault.store.wipe()
    for part in ("index", "blobs") if other_folder else ("index",):
        for path in (vault.folder / part).rglob("*"):
            if path.is_file():
                wipe(path)
        shutil.rmtree(vault.folder / part, ignore_errors=True)


# --- a store


def copy_store(
    source: Store,
    target: Store,
    where: str,
    *,
    also: Callable[[bool], list[str]] | None = None,
    verify_only: bool = False,
    progress: Progress | None = None,
) -> MoveReport:
    """Make one store what another is, and mark that as moved to ``where``; both are open.

    also  copies what is not in the store, and returns what is missing then; with True it only looks
    The target stays marked by ``MIGRATING``; the caller takes that away last of all. Raises: as ``migrate_vault``.
    """
    also = also or (lambda verify_only: [])
    moved = source.setting(MOVED_TO)
    if moved not in (None, where):
        raise Moved(f"These memories have moved to {moved} already.", hint="Name that place, or move them from there.")
    if verify_only:
        return _verified(source, target, where, also)
    _begin(source, target, where)
    if moved is not None:
        return MoveReport(where, *_counts(target), 0, 0.0, switched=True)
    for _ in range(_PASSES):
        copied = _follow(source, target, progress)
        _copy_audit(source, target)
        also(False)
        if copied < _BATCH:
            break
    reached = target.sequence()
    suspects = {cube_id for cube_id, _ in _differing(source, target)}
    began = time.monotonic()
    with source.write() as tx:  # from here on nobody else writes
        _follow(source, target, progress)
        if source.embedder() != target.embedder():
            raise _embedder_changed()
        suspects |= {change.cube_id for page in _pages(source, reached) for change in page}
        repaired = 0
        for batch in _batches(suspects):
            repaired += _copy(source, target, batch)
        _copy_rest(source, target)
        wrong = [*also(False), *_differences(source, target, only=suspects)]
        if wrong:
            raise StoreError(f"The copy is not like the original: {wrong[0]}.", hint="Run: anamnos verify")
        _mark(target, tx.setting("vault"), verified=True)
        tx.set_setting(MOVED_TO, where)
        tx.set_setting(MOVING, None)
    return MoveReport(where, *_counts(target), repaired, round(time.monotonic() - began, 3), switched=True)


def _begin(source: Store, target: Store, where: str) -> None:
    """Mark the target as being filled from this vault. Raises: InvalidInput if it holds anything else."""
    vault = source.setting("vault")
    if vault is None:
        vault = uuid.uuid4().hex
        source.set_setting("vault", vault)
    mark = target.setting(MIGRATING)
    moved = source.setting(MOVED_TO) is not None
    if not moved and source.setting(MOVING) is None:
        source.set_setting(MOVING, where)
    if mark is None:
        if moved and target.setting("vault") == vault:
            return  # all is done, but perhaps for what the caller does last
        if target.sequence() or target.settings("") or target.ledger.last():
            raise InvalidInput(f"{where} holds memories already.", hint="Name an empty database, or a new folder.")
        _mark(target, vault, verified=False)
        mark = str(target.setting(MIGRATING))
    said = json.loads(mark)
    if said["vault"] != vault:
        raise InvalidInput(f"Memories of another vault are on their way to {where}.", hint="Name another place.")
    if moved and not said["verified"]:
        raise Corrupt(f"The memories have moved, but not to what is in {where} now.", hint="Restore a backup.")
    if not moved:
        _use_embedder(source, target)


def _mark(target: Store, vault: str | None, *, verified: bool) -> None:
    with target.write() as tx:
        tx.set_setting(MIGRATING, json.dumps({"vault": vault, "verified": verified}))


def _use_embedder(source: Store, target: Store) -> None:
    """Have the target use the embedder of the source; vectors of another one go, with the cubes that have them."""
    info = source.embedder()
    if info is None or target.embedder() == info:
        return
    ids = {cube.id for cube, _, _ in target.export()}
    for batch in _batches(ids):
        with target.write() as tx:
            for cube_id in batch:
                tx.clear(cube_id)
    target.use_embedder(info)
    for batch in _batches(ids):
        _copy(source, target, batch)


def _batches(ids: Iterable[CubeId]) -> Iterator[list[CubeId]]:
    ordered = sorted(ids)
    return (ordered[start : start + _BATCH] for start in range(0, len(ordered), _BATCH))


def _pages(store: Store, after: int) -> Iterator[list[Change]]:
    """Yield the changes behind a number."""
    while page := store.changes(after):
        yield page
        after = page[-1].seq


def _embedder_changed() -> Busy:
    return Busy("The vault's embedder was changed meanwhile.", hint="Run it again: it goes on from here.")


def _follow(source: Store, target: Store, progress: Progress | None) -> int:
    """Copy what has changed in the source from the target's last change until now; return how many changes."""
    began, end = target.sequence(), source.sequence()
    while target.sequence() < end:
        changes = source.changes(target.sequence(), _BATCH)
        try:
            _copy(source, target, sorted({change.cube_id for change in changes}), changes)
        except ConfigError as exc:
            if source.embedder() == target.embedder():
                raise
            raise _embedder_changed() from exc
        if progress:
            progress(changes[-1].seq, max(changes[-1].seq, end))
    return target.sequence() - began


def _copy(source: Store, target: Store, cube_ids: Iterable[CubeId], changes: Sequence[Change] = ()) -> int:
    """Have the target hold of these cubes what the source does, and note the changes, in one write.

    Returns how many it held otherwise.
    """
    wanted = set(cube_ids)
    while True:
        found = source.versions(wanted)
        keys = [each.key for each in found if each.key and each.cube.time.superseded_at is None]
        others = set(target.find(keys).values()) - wanted  # which had a key once that another one has now
        if not others:
            break
        wanted |= others
    new = {cube_id: list(group) for cube_id, group in groupby(found, lambda each: each.cube.id)}
    old = {cube_id: list(group) for cube_id, group in groupby(target.versions(wanted), lambda each: each.cube.id)}
    differing = [i for i in sorted(wanted) if _pictures(new.get(i, [])) != _pictures(old.get(i, []))]
    with target.write() as tx:
        for cube_id in differing:
            if cube_id in old:
                tx.clear(cube_id)
        for cube_id in differing:
            for stored in new.get(cube_id, ()):
                tx.restore(stored)
        tx.follow(changes)
    return len(differing)


def _copy_audit(source: Store, target: Store) -> None:
    names, last = source.ledger.names(), target.ledger.last()
    while True:
        entries = source.ledger.entries(after=0 if last is None else last.seq)
        with target.write() as tx:
            tx.restore_audit(entries, names)
        if not entries:
            return
        last = entries[-1]


def _copy_rest(source: Store, target: Store) -> None:
    """Copy what the feed of changes does not tell of."""
    _copy_audit(source, target)
    with target.write() as tx:
        for kind in get_args(RecordKind):
            want, have = source.ledger.records(kind), target.ledger.records(kind)
            for name in {**want, **have}:
                if want.get(name) != have.get(name):
                    tx.record(kind, name, want.get(name))
        settings, held = _settings(source), _settings(target)
        for name in {**settings, **held}:
            if settings.get(name) != held.get(name):
                tx.set_setting(name, settings.get(name))
    target.jobs.restore(source.jobs.list(limit=_ALL), source.jobs.recurring(), source.jobs.paused())
    for scope in {*source.working.scopes(), *target.working.scopes()}:
        target.working.save(scope, source.working.load(scope))


# --- comparing


def _verified(source: Store, target: Store, where: str, also: Callable[[bool], list[str]]) -> MoveReport:
    """Compare the two, while nobody writes to the source unless it has moved."""
    began = time.monotonic()
    if source.setting(MOVED_TO) is None:
        with source.write():
            wrong = [*_differences(source, target), *also(True)]
        frozen = time.monotonic() - began
    else:
        wrong, frozen = [*_differences(source, target), *also(True)], 0.0
    return MoveReport(where, *_counts(target), 0, round(frozen, 3), switched=False, differences=tuple(wrong))


def _differences(source: Store, target: Store, only: Iterable[CubeId] | None = None) -> list[str]:
    """Return what the target has otherwise.

    only  after all cubes have been compared: those to look at again. Feed and audit are then taken
          to be alike if they end alike: each batch of them was taken over whole, and the audit is a chain
    """
    wrong: list[str] = []
    feeds, audits = source.sequence() == target.sequence(), source.ledger.last() == target.ledger.last()
    if only is None:
        feeds = _same_pages(lambda after: source.changes(after), lambda after: target.changes(after))
        entries, others = source.ledger.entries, target.ledger.entries
        audits = _same_pages(lambda after: entries(after=after), lambda after: others(after=after))
        wrong += [f"memory {cube_id} {what}" for cube_id, what in _differing(source, target)]
    else:
        for batch in _batches(only):
            if _pictures(source.versions(batch)) != _pictures(target.versions(batch)):
                wrong.append(f"some memory from {batch[0]} to {batch[-1]} differs")
    if source.count() != target.count():
        wrong.append(f"there are {target.count()} memories instead of {source.count()}")
    wrong += [] if feeds else ["the feeds of changes differ"]
    wrong += [] if audits else ["the audits differ"]
    parts: dict[str, Callable[[Store], Any]] = {
        "embedders": lambda store: store.embedder(),
        "names in the audit": lambda store: store.ledger.names(),
        "records of governance": lambda store: {kind: store.ledger.records(kind) for kind in get_args(RecordKind)},
        "settings": _settings,
        "jobs": lambda store: (store.jobs.list(limit=_ALL), store.jobs.recurring(), store.jobs.paused()),
        "working memories": lambda store: {scope: store.working.load(scope) for scope in store.working.scopes()},
    }
    return wrong + [f"the {name} differ" for name, part in parts.items() if part(source) != part(target)]


def _differing(source: Store, target: Store) -> Iterator[tuple[CubeId, str]]:
    """Yield, by id, which cubes differ in any version, and how."""
    ours, theirs = _by_cube(source), _by_cube(target)
    one, other = next(ours, None), next(theirs, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one[0] < other[0]):
            assert one is not None  # noqa: S101
            yield one[0], "is missing"
            one = next(ours, None)
        elif one is None or other[0] < one[0]:
            yield other[0], "is not in the source"
            other = next(theirs, None)
        else:
            if one[1] != other[1]:
                yield one[0], "differs"
            one, other = next(ours, None), next(theirs, None)


def _by_cube(store: Store) -> Iterator[tuple[CubeId, list[Any]]]:
    """Yield each cube's id, and what can be compared of its versions, by id."""
    groups = groupby(store.export(), lambda item: item[0].id)
    batch: list[tuple[CubeId, list[Any]]] = []
    for cube_id, versions in groups:
        batch.append((cube_id, [(cube, _portrait(derived), key) for cube, derived, key in versions]))
        if len(batch) == _BATCH:
            yield from _with_rows(store, batch)
            batch = []
    yield from _with_rows(store, batch)


def _with_rows(store: Store, batch: list[tuple[CubeId, list[Any]]]) -> Iterator[tuple[CubeId, list[Any]]]:
    rows = iter(store.rows_of((cube.id, cube.version) for _, versions in batch for cube, _, _ in versions).tolist())
    for cube_id, versions in batch:
        yield cube_id, [(next(rows), *version) for version in versions]


def _pictures(stored: Iterable[Any]) -> list[Any]:
    return [(each.row, each.cube, _portrait(each.derived), each.key) for each in stored]


def _portrait(derived: Derived | None) -> tuple[bytes, bytes | None, bytes] | None:
    """Return what a version is found by in a form that can be compared, bit by bit."""
    if derived is None:
        return None
    vector = None if derived.vector is None else np.asarray(derived.vector, dtype="<f4").tobytes()
    return derived.terms.astype("<u4").tobytes(), vector, derived.tokens


def _same_pages(ours: Callable[[int], list[Any]], theirs: Callable[[int], list[Any]]) -> bool:
    after = 0
    while (page := ours(after)) or theirs(after):
        if page != theirs(after):
            return False
        after = page[-1].seq
    return True


def _settings(store: Store) -> dict[str, str]:
    return {name: value for name, value in store.settings("").items() if name not in (MIGRATING, MOVED_TO, MOVING)}


def _counts(store: Store) -> tuple[int, int]:
    """Return how many memories and audit entries there are."""
    last = store.ledger.last()
    return store.count(), 0 if last is None else last.seq


__all__ = ["MoveReport", "copy_store", "migrate_vault", "without_password"]
