"""Forgetting a person: what has to go, what stands in the way, and whether it is gone from the bytes."""

from __future__ import annotations

import mmap
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from anamnos.cube import CubeId, MemCube, Scope, State, check_name
from anamnos.errors import InvalidInput
from anamnos.store.base import Store
from anamnos.store.ledger import RecordKind
from anamnos.system.bundles.installed import id_in_bundle, is_installed
from anamnos.system.governance.access import Grant
from anamnos.system.governance.guard import ANY_STATE, Guard
from anamnos.types import Receipt, owner_of

_NEEDLES = 256  # pieces of erased texts that are looked for in the files
_PIECE = 24  # characters of each
_SHORTEST = 12  # bytes: a shorter one may be there by chance


@dataclass(frozen=True, slots=True)
class Doomed:
    """The memories of a person.

    own        in the person's scopes
    mentioned  elsewhere in the tenant, or in installed bundles, said by the person or naming it
    installed  those of ``own`` that have come back with a bundle
    """

    own: tuple[MemCube, ...]
    mentioned: tuple[MemCube, ...]
    installed: tuple[MemCube, ...]

    @property
    def cubes(self) -> tuple[MemCube, ...]:
        return (*self.own, *self.mentioned, *self.installed)


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The report of ``Memory.forget_person``.

    state      erased; erasing: another process still holds old pages; blocked: nothing was done
    own        how many memories of the person's scopes were erased
    mentioned  how many elsewhere that were said by the person or named it
    installed  how many of the person's that an installed bundle had brought back
    derived    how many that had been made from these
    roles      the erased memories by role
    names      places that a name was taken out of: pseudonyms of the audit, policies of other memories
    records    principals, grants, keys, rules and places of copies that named the person, and were removed
    blocked    ids of frozen memories that stand in the way
    copies     what this cannot reach: backups, exports and bundles written before, vaults that are mounted
    searched   pieces of the erased texts that were looked for in every file of the vault, and how many files
    residue    where such a piece was found, and no memory that is still there holds it; none is the promise
    """

    state: str
    own: int = 0
    mentioned: int = 0
    installed: int = 0
    derived: int = 0
    roles: dict[str, int] = field(default_factory=dict)
    names: int = 0
    records: int = 0
    blocked: tuple[CubeId, ...] = ()
    copies: tuple[str, ...] = ()
    searched: dict[str, int] = field(default_factory=dict)
    residue: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON data."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}


def forgotten(
    guard: Guard,
    folder: Path,
    scope: Scope,
    names: Sequence[str],
    erase: Callable[[Sequence[CubeId]], Receipt],
    *,
    mentions: bool,
    mounted: Sequence[str] = (),
) -> Forgotten:
    """Erase a person and return the report. See ``Memory.forget_person``.

    folder   of the vault, whose files are searched afterwards
    erase    erases memories with all that was derived from them
    mounted  folders of other vaults that join searches
    """
    store = guard.store
    called = tuple(dict.fromkeys(filter(None, (scope.user, *(check_name("names", name) for name in names)))))
    if mentions and not called:
        raise InvalidInput("There is no name to look for.", hint="Give names=…")
    found = doomed(store, scope, called, mentions=mentions)
    whole = closure(store, found.cubes)
    copies = tuple(f"{value['what']} {name}" for name, value in store.ledger.records("copy").items())
    copies += tuple(f"mounted {name}" for name in mounted)
    if held := tuple(cube.id for cube in whole if cube.lifecycle.state is State.FROZEN):
        guard.denied("forget")
        return Forgotten("blocked", blocked=held, copies=copies)
    wanted = pieces(store, whole, called if mentions else ())
    receipt = erase([cube.id for cube in found.cubes])
    store.jobs.forget(scope)
    places, records = _forget_names(guard, scope, called, {cube.id for cube in whole})
    clean = store.scrub()
    left, files = residue(store, folder, wanted)
    return Forgotten(
        state="erased" if clean and receipt.state != "erasing" else "erasing",
        own=len(found.own),
        mentioned=len(found.mentioned),
        installed=len(found.installed),
        derived=len(whole) - len(found.cubes),
        roles=dict(sorted(Counter(str(cube.role) for cube in whole).items())),
        names=places,
        records=records,
        copies=copies,
        searched={"pieces": len(wanted), "files": files},
        residue=tuple(left),
    )


# --- what has to go


def doomed(store: Store, scope: Scope, names: Sequence[str], *, mentions: bool) -> Doomed:
    """Return the memories of a scope, what bundles brought back of them, and, if asked, those elsewhere that name one
    of ``names``: in the words, labels, notes or origin of some version."""
    own: dict[CubeId, MemCube] = {}
    mentioned: dict[CubeId, MemCube] = {}
    installed: dict[CubeId, MemCube] = {}
    named, scopes = _pattern(names), store.scopes()
    for there in [one for one in scopes if scope.covers(one)]:
        own |= {cube.id: cube for cube in _just_in(store, there)}
    for there in [one for one in scopes if not scope.covers(one)]:
        bundle = is_installed(there)
        twins = {id_in_bundle(i, str(there.agent)) for i in own} if bundle else set()
        if not twins and not (mentions and (bundle or there.tenant == scope.tenant)):
            continue
        for cube in _just_in(store, there):
            if cube.id in twins:
                installed[cube.id] = cube
            elif mentions and any(named.search("\n".join(_words(v))) for v in _versions(store, cube)):
                mentioned[cube.id] = cube
    return Doomed(tuple(own.values()), tuple(mentioned.values()), tuple(installed.values()))


def closure(store: Store, cubes: Iterable[MemCube]) -> list[MemCube]:
    """Return memories with all that was derived from them, and so on."""
    found = {cube.id: cube for cube in cubes}
    todo = list(found)
    with store.write() as tx:
        for cube_id in todo:  # grows while it is walked
            for other in tx.dependents(cube_id):
                if other not in found and (cube := tx.current(other)) is not None:
                    found[other] = cube
                    todo.append(other)
    return list(found.values())


def _just_in(store: Store, scope: Scope) -> Iterator[MemCube]:
    """Yield the memories of exactly a scope, not of those that it covers."""
    after = None
    while page := store.list(scope, ANY_STATE, after=after, limit=1_000):
        yield from (cube for cube in page if cube.scope == scope)
        after = page[-1].id


def _versions(store: Store, cube: MemCube) -> list[MemCube]:
    return [cube] if cube.version == 1 else store.history(cube.id)


def _pattern(names: Iterable[str]) -> re.Pattern[str]:
    """Return what finds one of some names as whole words, whatever their case and the blanks between them."""
    each = "|".join(r"\s+".join(map(re.escape, name.split())) for name in names)
    return re.compile(rf"(?<![^\W_])(?:{each})(?![^\W_])" if each else r"(?!)", re.IGNORECASE)


def _words(cube: MemCube) -> Iterator[str]:
    """Yield all that a version says, in its words, labels, notes and origin."""
    notes, origin = cube.annotations, cube.provenance
    if isinstance(cube.content, str):
        yield cube.content
    yield from (text for text in (origin.actor, origin.source, cube.scope.session) if text)
    yield from (*origin.message_ids, *notes.entities, *notes.keywords, *notes.tags)
    yield from _strings(notes.data)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield name
            yield from _strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _strings(inner)


# --- names in what governance keeps


def _forget_names(guard: Guard, scope: Scope, called: Sequence[str], gone: set[CubeId]) -> tuple[int, int]:
    """Take a person out of what governance keeps; return how many names and how many records went."""
    ledger, named, records, places = guard.store.ledger, _pattern(called), 0, 0
    principal = owner_of(scope) if scope.session is None and (scope.user is None or scope.agent is None) else None
    registered = ledger.records("principal").get(principal) if principal is not None else None
    if registered is not None and registered["tenant"] != scope.tenant:
        principal = None  # who has that name is somebody else
    kinds: tuple[RecordKind, ...] = ("principal", "grant", "key")
    if guard.who() is None:  # rules and the places of copies are the whole vault's: no tenant takes them away
        kinds += ("rule", "copy")
    namesake = registered is None and any(
        owner_of(there) == principal and there.tenant != scope.tenant for there in guard.store.scopes()
    )
    with guard.store.write() as tx:
        guard.note(tx, "forget")  # before the name goes, which may be that of who asks
        for kind in kinds:
            for name, value in ledger.records(kind).items():
                if kind == "principal":
                    goes = name == principal
                elif kind == "grant":
                    grant = Grant.from_record(name, value)
                    goes = grant.principal == principal or grant.cube_id in gone
                elif kind == "key":
                    goes = value["owner"] == principal and scope.tenant in (value["tenants"] or (scope.tenant,))
                else:
                    goes = named.search(f"{name} {value}") is not None
                if goes:
                    tx.record(kind, name, None)
                    records += 1
        if principal is not None and not namesake:  # else it is the name of somebody else, too
            places = tx.forget_name(principal)
    return places, records


# --- whether it is gone


def pieces(store: Store, cubes: Sequence[MemCube], names: Sequence[str]) -> list[str]:
    """Return pieces of what memories say, in all versions, to look for in files once they are erased; and names."""
    texts = [v.content for cube in cubes for v in _versions(store, cube) if isinstance(v.content, str)]
    step = max(1, len(texts) * 2 // _NEEDLES)
    found: dict[str, None] = {}
    for text in texts[::step]:
        for start in (0, max(0, (len(text) - _PIECE) // 2)):
            found.setdefault(text[start : start + _PIECE], None)
    long = [piece for piece in [*found, *names] if len(piece.encode()) >= _SHORTEST]
    return list(dict.fromkeys(long))


def residue(store: Store, folder: Path, wanted: Sequence[str]) -> tuple[list[str], int]:
    """Return in which files of a folder which pieces still are, and how many files there are.

    What some memory that is there says as well is no residue.
    """
    found: dict[str, list[str]] = {}
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    for path in files:
        for piece in _in_file(path, wanted):
            found.setdefault(piece, []).append(str(path.relative_to(folder)))
    for cube, _, _ in store.export() if found else ():
        for piece in [piece for piece in found if any(piece in text for text in _words(cube))]:
            del found[piece]
    return [f"{', '.join(where)}: {piece!r}" for piece, where in found.items()], len(files)


def _in_file(path: Path, wanted: Sequence[str]) -> Iterator[str]:
    if path.stat().st_size == 0:  # cannot be mapped
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield from (piece for piece in wanted if data.find(piece.encode()) >= 0)
