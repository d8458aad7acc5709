"""The bundles of a vault: made of its memories, loaded into them, or installed beside them and kept up to date.

Loaded memories become the vault's own. Installed ones stay the bundle's: nobody can change them, they join the searches
of the scopes that they were installed for, and go when the bundle is revoked. What is installed stands in the settings.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from anamnos.cube import CubeId, MemCube, Scope, Substrate, check_unit, to_iso
from anamnos.errors import AccessDenied, AnamnosError, Conflict, InvalidInput, NotFound, StoreError
from anamnos.store.base import EmbedderInfo, Transaction
from anamnos.system.bundles.conflicts import Mode, each_once, settled
from anamnos.system.bundles.format import Manifest
from anamnos.system.bundles.hub import download, find, is_address, published
from anamnos.system.bundles.installed import WEIGHT, Installed, as_installed, chosen, is_installed
from anamnos.system.bundles.reading import Bundle, open_bundle
from anamnos.system.bundles.writing import write_bundle
from anamnos.system.exchange import Exported
from anamnos.system.governance.sensitivity import redacted
from anamnos.system.scope_hash import scope_hash
from anamnos.system.vault import Vault
from anamnos.types import Derived, Op, OpKind, Receipt

INSTALLED_TRUST, SIGNED_TRUST = 0.5, 0.8  # of what anybody may have made; of what the named signer has
MODEL_KEY = "model_signature"  # in annotations.data of an activation cube: the model that it fits
_SETTING = "bundle:"  # in front of the name, for what was installed


@dataclass(frozen=True, slots=True)
class Updated:
    """What an update did to an installed bundle.

    outcome  ``missing``: its hub does not name it any more, and it stays as it is
    version  the one that is, or was, installed
    reason   why it was revoked
    """

    name: str
    outcome: Literal["current", "updated", "revoked", "missing"]
    version: str
    reason: str = ""


class Derive(Protocol):
    def __call__(self, items: Sequence[Exported], /) -> list[Derived | None]:
        """Return what each version is found by."""


class Write(Protocol):
    def __call__(self, ops: Sequence[Op], also: Callable[[Transaction], None], /) -> Receipt:
        """Apply operations, and whatever else, in one transaction."""


class Bundles:
    """The bundles of one open vault.

    info, derive, keys, write, clock  what only the open memory knows: its embedder, and how it writes
    require  called with what is about to be done; raises AccessDenied if it may not be
    hides    whether what is sensitive must be hidden from who asks
    copied   told where memories were written to
    """

    def __init__(
        self,
        vault: Vault,
        *,
        info: Callable[[], EmbedderInfo],
        derive: Derive,
        keys: Callable[[Sequence[Exported]], Mapping[tuple[CubeId, int], bytes]],
        write: Write,
        clock: Callable[[], datetime],
        require: Callable[[str], None] = lambda verb: None,
        hides: Callable[[], bool] = lambda: False,
        copied: Callable[[str, Path], None] = lambda what, path: None,
    ) -> None:
        self._vault = vault
        self._info = info
        self._derive = derive
        self._keys = keys
        self._write = write
        self._clock = clock
        self._require = require
        self._hides = hides
        self._copied = copied

    # --- the vault's own memories

    def create(
        self,
        path: str | Path,
        scope: Scope | None,
        *,
        name: str,
        version: str = "1",
        description: str = "",
        licence: str = "",
        substrates: Iterable[Substrate | str] = tuple(Substrate),
        key: str | Path | None = None,
        audit: bool = False,
        redact: bool = False,
    ) -> Manifest:
        """Write the memories of a scope (None: of all), with all versions, to a bundle, and return its manifest.

        path   a new or empty folder, or a new file whose name ends in .zip
        key    file of a private key to sign with; see ``anamnos.system.bundles.signing.make_keys``
        audit  add what the audit holds of these memories, with pseudonyms for names
        redact  e-mail addresses, phone and card numbers, keys … are written as labels, their texts without vectors
        Memories of installed bundles are left out. The rest as ``write_bundle``.
        """
        self._require("bundle create")
        ids: set[CubeId] = set()

        def own(cube: MemCube) -> bool:
            if is_installed(cube.scope):
                return False
            ids.add(cube.id)
            return True

        manifest = write_bundle(
            Path(path),
            self._vault.store,
            self._vault.blobs,
            scope,
            self._info(),
            self._clock(),
            name=name,
            version=version,
            description=description,
            licence=licence,
            substrates=substrates,
            key=None if key is None else Path(key),
            audit=self._audited(ids) if audit else None,
            also=own,
            shown=redacted if redact or self._hides() else None,
        )
        self._copied("bundle", Path(path))
        return manifest

    def _audited(self, ids: Collection[CubeId]) -> Iterator[Mapping[str, Any]]:
        after = 0
        while entries := self._vault.store.ledger.entries(after=after):
            yield from (entry.to_dict() for entry in entries if entry.cube_id in ids)
            after = entries[-1].seq

    def load(
        self,
        path: str | Path,
        *,
        conflict: Mode = "skip",
        signer: str | None = None,
        principals: Mapping[str, str] | None = None,
        known: Collection[str] = (),
        skip_activation: bool = False,
        model_signature: str | None = None,
        trust: float = 1.0,
    ) -> Receipt:
        """Make the memories of a bundle the vault's own, all or nothing; vectors of another embedder are made anew.

        conflict    what to do where a memory is here and says something else: ``skip``, ``overwrite`` (ours goes, with
                    what was derived from it) or ``branch`` (theirs becomes its next version)
        signer      the public key, or its file, that the bundle must be signed by
        principals  names of readers and writers there -> their names here
        known       further principals that are known here; registered ones are, and whoever has memories
        skip_activation  leave out activation memory; else it must be of ``model_signature``
        trust       the most that these memories are trusted, in [0, 1]
        Raises: as ``open_bundle``; InvalidInput for unknown principals or another model; Conflict if a memory belongs
        to somebody else here, AccessDenied if one is frozen, or of an installed bundle. Then nothing has changed.
        """
        self._require("bundle load")
        check_unit("trust", trust)
        with open_bundle(Path(path), signer=signer) as bundle:
            items = self._usable(bundle, skip_activation, model_signature)
            people = self._principals(items, principals or {}, known)
            items = [replace(item, cube=_adopted(item.cube, people, trust)) for item in items]
            plan = settled(items, self._vault.store, conflict)
            ops = [Op(OpKind.DELETE, target=cube_id) for cube_id in each_once(plan.replace, self._vault.store)]
            keys = self._keys([*plan.restore, *plan.branch])
            for item, derived in zip(plan.restore, self._derive(plan.restore), strict=True):
                key = keys[item.cube.id, item.cube.version]
                ops.append(Op(OpKind.RESTORE, cube=item.cube, derived=derived, key=key))
            for item, derived in zip(plan.branch, self._derive(plan.branch), strict=True):
                key = keys[item.cube.id, item.cube.version]
                free = self._vault.store.find([key]).get(key, item.cube.id) == item.cube.id
                ops.append(Op(OpKind.UPDATE, item.cube.id, item.cube, derived=derived, key=key if free else b""))
            self.refuse_changes(ops)  # nor does one bundle smuggle memories into another that is installed
            return self._apply(bundle, ops, lambda tx: None)

    def _usable(self, bundle: Bundle, skip_activation: bool, model_signature: str | None) -> list[Exported]:
        """Return the memories of a bundle that fit this vault. Raises: InvalidInput for those that do not."""
        items = bundle.cubes(self._info())
        if skip_activation:
            return [item for item in items if item.cube.substrate is not Substrate.ACTIVATION]
        for item in items:
            made_by = item.cube.annotations.data.get(MODEL_KEY)
            if item.cube.substrate is Substrate.ACTIVATION and (made_by is None or made_by != model_signature):
                raise InvalidInput(
                    f"Memory {item.cube.id} is activation memory of the model {made_by!r}, not of {model_signature!r}.",
                    hint="Leave activation memory out: skip_activation=True.",
                )
        return items

    def _principals(
        self, items: Sequence[Exported], names: Mapping[str, str], known: Collection[str]
    ) -> dict[str, str]:
        """Return what each principal of these memories is called here. Raises: InvalidInput for an unknown one."""
        scopes = [*self._vault.store.scopes(), *(item.cube.scope for item in items)]
        here = {*known, *self._vault.store.ledger.records("principal")}
        here |= {f"user:{s.user}" for s in scopes if s.user} | {f"agent:{s.agent}" for s in scopes if s.agent}
        named = {p for item in items for p in (*item.cube.policy.readers, *item.cube.policy.writers)}
        if unknown := sorted(named - here - set(names)):
            raise InvalidInput(
                f"The bundle names principals that are not known here: {', '.join(unknown)}.",
                hint="Say who they are here: principals={'there': 'here'}, or --principal there=here.",
            )
        return {name: names.get(name, name) for name in named}

    # --- memories of others

    def install(
        self,
        source: str | Path,
        name: str | None = None,
        *,
        version: str | None = None,
        signer: str | None = None,
        into: Scope | None = None,
        weight: float = WEIGHT,
        trust: float | None = None,
    ) -> Installed:
        """Install a bundle beside the vault's memories, or another version of it, and return what was installed.

        source   a bundle; or a hub (folder or address), if ``name`` says which of its bundles
        version  of a hub's bundle, to stay at; None: the newest, which ``update`` replaces by newer ones
        signer   the public key, or its file, that it must be signed by. Once installed, a bundle is only replaced by
                 one with the same signer
        into     whose searches its memories join; None: everybody's
        trust    the most that its memories are trusted, in [0, 1]; None: 0.8 if ``signer`` is named, else 0.5, which is
                 too little for the first places (see ``anamnos.system.governance.trust``)
        Only current versions are installed. Raises: as ``open_bundle`` and ``hub.find``; Conflict if a bundle of
        another signer is installed under that name.
        """
        self._require("bundle install")
        trust = check_unit("trust", trust if trust is not None else SIGNED_TRUST if signer else INSTALLED_TRUST)
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight <= 1:
            raise InvalidInput(f"weight must be a number in (0, 1], got {weight!r}.")
        joins = None if into is None else scope_hash(into)
        if name is None:
            if version is not None:
                raise InvalidInput("version is for a bundle of a hub.", hint="Name the bundle too.")
            if is_address(str(source)):
                raise InvalidInput(f"{source} is an address.", hint="From a hub: anamnos bundle subscribe ADDRESS NAME")
            return self._install(Path(source), _Wish(signer, None, False, joins, float(weight), trust))
        location = str(source) if is_address(str(source)) else str(Path(source).absolute())
        wish = _Wish(signer, location, version is not None, joins, float(weight), trust)
        return self._fetched(location, name, version, wish)

    def _fetched(self, location: str, name: str, version: str | None, wish: _Wish) -> Installed:
        """Install a bundle of a hub."""
        wanted = find(location, name, version)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "bundle.zip"
            download(location, wanted, file)
            return self._install(file, wish, name)

    def _install(self, path: Path, wish: _Wish, name: str | None = None) -> Installed:
        with open_bundle(path, signer=wish.signer) as bundle:
            manifest = bundle.manifest
            if name is not None and manifest.name != name:
                raise InvalidInput(f"The bundle that {wish.location} calls {name} calls itself {manifest.name}.")
            before = self._find(manifest.name)
            if before is not None and before.signer not in (None, manifest.signer):
                raise Conflict(
                    f"{manifest.name} {before.version} is installed, signed by {before.signer}; this one is not.",
                    hint="Uninstall that one first, if you trust this one.",
                )
            items = chosen(bundle.cubes(self._info()))
            installed = Installed(
                name=manifest.name,
                version=manifest.version,
                id=manifest.id,
                signer=manifest.signer,
                location=wish.location,
                pinned=wish.pinned,
                into=wish.into,
                weight=wish.weight,
                trust=wish.trust,
                memories=len(items),
                installed_at=str(to_iso(self._clock())),
            )
            items = as_installed(items, installed)
            ops = [] if before is None else self._deletions(before)
            ops += [
                Op(OpKind.RESTORE, cube=item.cube, derived=derived)
                for item, derived in zip(items, self._derive(items), strict=True)
            ]
            register = json.dumps(asdict(installed))
            self._apply(bundle, ops, lambda tx: tx.set_setting(_SETTING + manifest.name, register))
        return installed

    def update(self) -> list[Updated]:
        """Bring every installed bundle that came from a hub up to date, and return what happened to each.

        A revoked one is replaced by a newer version, or erased; one that its hub no longer names stays as it is.
        Raises: the first error (ProviderError or NotFound if a hub cannot be reached, BadSignature …), after all the
        others are up to date.
        """
        self._require("bundle update")
        done, errors = [], []
        for one in self.installed():
            try:
                if one.location is not None:
                    done.append(self._updated(one, one.location))
            except AnamnosError as exc:
                errors.append(exc)
        if errors:
            raise errors[0]
        return done

    def _updated(self, one: Installed, location: str) -> Updated:
        versions = [each for each in published(location) if each.name == one.name]
        place = next((place for place, each in enumerate(versions) if each.version == one.version), None)
        if place is None:
            return Updated(one.name, "missing", one.version)
        usable = [each for each in versions[place + 1 :] if each.revoked is None]
        if usable and not one.pinned:
            wish = _Wish(one.signer, location, False, one.into, one.weight, one.trust)
            return Updated(one.name, "updated", self._fetched(location, one.name, usable[-1].version, wish).version)
        if (reason := versions[place].revoked) is not None:
            self.uninstall(one.name)
            return Updated(one.name, "revoked", one.version, reason)
        return Updated(one.name, "current", one.version)

    def uninstall(self, name: str) -> Receipt:
        """Erase the memories of an installed bundle. Raises: NotFound."""
        self._require("bundle uninstall")
        found = self._find(name)
        if found is None:
            raise NotFound(f"No bundle {name!r} is installed.", hint="anamnos bundle list shows those that are.")
        return self._clean(self._write(self._deletions(found), lambda tx: tx.set_setting(_SETTING + name, None)))

    def installed(self) -> list[Installed]:
        """Return the installed bundles, by name."""
        return [Installed(**json.loads(value)) for value in self._vault.store.settings(_SETTING).values()]

    # --- inside

    def refuse_changes(self, ops: Sequence[Op]) -> None:
        """Raise AccessDenied if an operation would add to, or change, the memories of an installed bundle."""
        for op in ops:
            if op.cube is not None and is_installed(op.cube.scope) and op.kind is not OpKind.TOUCH:
                raise AccessDenied(
                    f"The scope {op.cube.scope} belongs to an installed bundle: its memories cannot be changed.",
                    hint="anamnos bundle load makes a bundle's memories your own.",
                )

    def _find(self, name: str) -> Installed | None:
        value = self._vault.store.setting(_SETTING + name)
        return None if value is None else Installed(**json.loads(value))

    def _deletions(self, installed: Installed) -> list[Op]:
        ids = list(dict.fromkeys(cube.id for cube, _, _ in self._vault.store.export(installed.scope)))
        return [Op(OpKind.DELETE, target=cube_id) for cube_id in each_once(ids, self._vault.store)]

    def _apply(self, bundle: Bundle, ops: Sequence[Op], also: Callable[[Transaction], None]) -> Receipt:
        """Carry out operations of which the blobs are in a bundle; if they fail, the blobs are gone again."""
        refs = {ref for op in ops if op.cube is not None and not isinstance(ref := op.cube.content, str)}

        def put(tx: Transaction) -> None:  # in the same turn: nobody can clear one away before it is referred to
            for ref in refs:
                self._vault.blobs.put(bundle.read(f"blobs/{ref.sha256[:2]}/{ref.sha256}"), ref.media_type)
            also(tx)

        try:
            return self._clean(self._write(ops, put))
        except BaseException:
            with suppress(StoreError):
                self._vault.drop_unused_blobs()
            raise

    def _clean(self, receipt: Receipt) -> Receipt:
        if not receipt.count("deleted"):
            return receipt
        self._vault.drop_unused_blobs()
        return replace(receipt, state="erased" if self._vault.store.scrub() else "erasing")


@dataclass(frozen=True, slots=True)
class _Wish:
    """How a bundle is to be installed: the fields are those of ``Installed``."""

    signer: str | None
    location: str | None
    pinned: bool
    into: str | None
    weight: float
    trust: float


def _adopted(cube: MemCube, people: Mapping[str, str], trust: float) -> MemCube:
    """Return a memory as it is here: readers and writers by their names here, and not trusted too far."""
    policy = replace(
        cube.policy,
        readers=tuple(people[name] for name in cube.policy.readers),
        writers=tuple(people[name] for name in cube.policy.writers),
    )
    provenance = replace(cube.provenance, trust=min(trust, cube.provenance.trust))
    return replace(cube, policy=policy, provenance=provenance)
