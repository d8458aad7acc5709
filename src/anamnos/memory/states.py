"""The verbs for memories that are no text: the state of an associative memory, kept in the vault as a cube."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

from anamnos.associative.base import AssociativeMemory
from anamnos.associative.payload import MEDIA_TYPE, MOST_BYTES, cubes_in, from_payload, to_payload
from anamnos.cube import Annotations, BlobRef, CubeId, MemCube, Provenance, Role, Scope, Substrate, check_name
from anamnos.errors import AccessDenied, Conflict, NotFound
from anamnos.memory.checks import check_scope
from anamnos.memory.core import Core
from anamnos.system.codec import is_packed, pack, unpack
from anamnos.system.governance.sensitivity import LABELS
from anamnos.types import Op, OpKind, Receipt

_OPERATOR = "save_state/1"


class States(Core):
    """Saving and loading associative memories."""

    def save_state(self, name: str, state: AssociativeMemory, scope: Scope) -> Receipt:
        """Keep an associative memory in the vault under a name; again under the same name, it is the next version.

        The cube has substrate neural and role state; its content is a file of the vault, encrypted if that is. It is
        derived from the cubes that the memory was written with: deleting one of them deletes all its versions, since
        what was superposed cannot be taken out. To keep the rest, load it before, ``forget`` the cube in it, save anew.
        Raises: InvalidInput; NotFound if one of those cubes is not there; Conflict if somebody else saved under this
        name at the same time. Then nothing has changed.
        """
        check_scope(scope)
        payload = to_payload(state)
        sources = cubes_in(payload)
        for cube_id in sources:
            self._get(cube_id, _owners(scope))
        key = _key(check_name("name", name), scope)
        notes = {"state": {"name": name, **state.spec.to_dict(), "load": state.load().to_dict()}}
        how: Any = self.settings.codec
        kept = payload if how == "none" else pack(payload, how)
        ref = BlobRef(hashlib.sha256(kept).hexdigest(), len(kept), MEDIA_TYPE)
        receipt = self._write_with_blobs([self._state_op(key, ref, scope, sources, notes)], {ref: kept})
        if receipt.outcomes == ("unchanged",) and self._get(receipt.ids[0], scope).content != ref:
            self.vault.drop_unused_blobs()
            raise Conflict(f"Somebody else saved {name!r} just now.", hint="Load it, and make the change again.")
        return receipt

    def load_state(self, name: str, scope: Scope, *, version: int | None = None) -> AssociativeMemory:
        """Return an associative memory that was saved. Raises: NotFound, AccessDenied, Corrupt."""
        check_scope(scope)
        found = self.vault.store.find([key := _key(check_name("name", name), scope)]).get(key)
        try:
            cube = None if found is None else self._get(found, scope, version=version)
        except NotFound:  # whose words would tell that there is one which is closed to the principal
            cube = None
        if cube is None or isinstance(cube.content, str):
            which = f"state {name!r}" + (f" version {version}" if version is not None else "")
            raise NotFound(f"There is no {which} in the scope {scope}.")
        if self._guard.hides() and set(cube.policy.sensitivity) & set(LABELS):
            self._guard.denied("load_state", cube.id)
            raise AccessDenied(f"The state {name!r} holds what is delicate.", hint="That needs the right sensitive.")
        self._guard.read("load_state", cube.id)
        kept = self.vault.blobs.get(cube.content)
        return from_payload(unpack(kept, most_bytes=MOST_BYTES) if is_packed(kept) else kept)

    def _state_op(
        self, key: bytes, ref: BlobRef, scope: Scope, sources: tuple[CubeId, ...], notes: dict[str, Any]
    ) -> Op:
        known = self.vault.store.find([key]).get(key)
        made = Provenance(operator=_OPERATOR, derived_from=sources)
        if known is None:
            cube = MemCube(
                id=self._new_id(self._clock()),
                content=ref,
                scope=scope,
                substrate=Substrate.NEURAL,
                role=Role.STATE,
                provenance=made,
                annotations=Annotations(data=notes),
            )
            return Op(OpKind.ADD, cube=self._guard.admitted(cube), key=key)
        old = self._get(known, scope)
        cube = old.next_version(content=ref, provenance=made, annotations=replace(old.annotations, data=notes))
        return Op(OpKind.UPDATE, target=known, cube=self._guard.admitted(cube), key=key)


def _owners(scope: Scope) -> Scope:
    """Return the widest scope of the same owner, whose cubes a state may be made of."""
    if scope.user is not None:
        return replace(scope, agent=None, session=None)
    return replace(scope, session=None) if scope.agent is not None else scope


def _key(name: str, scope: Scope) -> bytes:
    """Return what makes a state of this name and scope one and the same."""
    named = json.dumps(["state", scope.tenant, scope.user, scope.agent, scope.session, name], ensure_ascii=False)
    return hashlib.blake2b(named.encode(), digest_size=16).digest()
