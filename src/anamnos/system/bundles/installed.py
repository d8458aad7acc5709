"""What an installed bundle is, and what becomes of its memories: they lie in a scope of their own, for all to read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from anamnos.cube import CubeId, MemCube, Policy, Scope, State, Substrate, Visibility
from anamnos.system.exchange import Exported

TENANT = "bundle:"  # in front of the name: the tenant of a bundle's memories
WEIGHT = 0.8  # of a hit from elsewhere beside one of the user's own. Source: ours; MemOS gives none


@dataclass(frozen=True, slots=True)
class Installed:
    """A bundle whose memories are in the vault.

    id        of the bundle, see ``Manifest``
    location  the hub that it came from; None: a file
    pinned    stay at this version
    into      hash of the scope whose searches it joins; None: of all
    weight    of its hits, in (0, 1]
    trust     the most that its memories are trusted, in [0, 1]
    memories  how many there are
    """

    name: str
    version: str
    id: str
    signer: str | None
    location: str | None
    pinned: bool
    into: str | None
    weight: float
    trust: float
    memories: int
    installed_at: str

    @property
    def scope(self) -> Scope:
        return Scope(f"{TENANT}{self.name}", agent=self.name)


def is_installed(scope: Scope) -> bool:
    """Return whether what is in a scope belongs to an installed bundle."""
    return scope.tenant.startswith(TENANT)


def chosen(items: Sequence[Exported]) -> list[Exported]:
    """Return what of a bundle is installed: what holds now, and does not fit one model only."""
    current = [item for item in items if item.cube.time.superseded_at is None]
    return [item for item in current if item.cube.substrate is not Substrate.ACTIVATION]


def as_installed(items: Sequence[Exported], installed: Installed) -> list[Exported]:
    """Return memories as they are when installed: under ids and in a scope of the bundle's, open to all, for nobody to
    change. Links and sources outside of the bundle are dropped."""
    ids = {item.cube.id: id_in_bundle(item.cube.id, installed.name) for item in items}
    return [replace(item, cube=_as_installed(item.cube, installed, ids), key=b"") for item in items]


def _as_installed(cube: MemCube, installed: Installed, ids: dict[CubeId, CubeId]) -> MemCube:
    life = cube.lifecycle
    note = {
        "bundle": installed.name,
        "version": installed.version,
        "signer": installed.signer,
        "operator": cube.provenance.operator,
    }
    return replace(
        cube,
        id=ids[cube.id],
        scope=replace(installed.scope, session=cube.scope.session),
        parent_id=None if cube.parent_id is None else ids.get(cube.parent_id),
        provenance=replace(
            cube.provenance,
            operator="import/1",
            derived_from=tuple(ids[i] for i in cube.provenance.derived_from if i in ids),
            trust=min(installed.trust, cube.provenance.trust),
        ),
        lifecycle=replace(
            life,
            state=State.GENERATED if life.state is State.FROZEN else life.state,  # a hold holds where it was put
            uses=0,
            last_used_at=None,
        ),
        policy=Policy(Visibility.PUBLIC, sensitivity=cube.policy.sensitivity),
        annotations=replace(cube.annotations, data={**cube.annotations.data, "import": note}),
        links=tuple(replace(link, target=ids[link.target]) for link in cube.links if link.target in ids),
    )


def id_in_bundle(cube_id: CubeId, name: str) -> CubeId:
    """Return the id of a bundle's memory here: it sorts as it did, and is that of no memory of our own."""
    return CubeId(cube_id[:24] + hashlib.sha256(f"{name}\0{cube_id}".encode()).hexdigest()[:12])
