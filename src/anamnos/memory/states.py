"""The verbs for memories that are no text: the state of an associative memory, kept in the vault as a cube."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

from anamnos.associative.base import AssociativeMemory
from anamnos.associative.payload import MEDIA_TYPE, MOST_BYTES, cubes_in, from_payload, to_payload
from anamnos.cube import Annotations, BlobRef, CubeId, MemCube, Provenance, Role, Scope, Substrate, check_name
from anamnos.errors import InvalidInput, NotFound
from anamnos.memory.checks import check_scope
from anamnos.memory.core import Core
from anamnos.system.codec import is_packed, pack, unpack
from anamnos.types import Op, OpKind, Receipt

_OPERATOR = "save_state/1"


class States(Core):
    """Saving and loading associative memories."""

    def save_state(self, name: str, state: AssociativeMemory, scope: Scope) -> Receipt:
        """Keep an associative memory in the vault under a name; again under the same name, it is the next version.

        The cube has substrate neural and role state; its content is a file of the vault, encrypted if that is. It is
        derived from the cubes that the memory was written with: deleting one of them deletes all its versions, since
        what was superposed cannot be taken out. To keep the rest, load it before, ``forget`` the cube in it, save anew.
        Raises: InvalidInput, NotFound if one of those cubes is not there; then nothing has changed.
        """
        check_scope(scope)
        payload = to_payload(state)
        sources = cubes_in(payload)
        for cube_id in sources:
            self._get(cube_id, replace(scope, agent=None, session=None))
        key = _key(check_name("name", name), scope)
        notes = {"state": {"name": name, **state.spec.to_dict(), "load": state.load().to_dict()}}
        blobs, before = self.vault.blobs, self.vault.store.blob_names()
        how: Any = self.settings.codec
        kept = payload if how == "none" else pack(payload, how)
        ref = blobs.put(kept, MEDIA_TYPE)
        try:
            receipt = self._write([self._state_op(key, ref, scope, sources, notes)])
        except BaseException:
            if ref.sha256 not in before and ref.sha256 not in self.vault.store.blob_names():
                blobs.delete(ref.sha256)
            raise
        blobs.put(kept, MEDIA_TYPE)  # nobody knew of it until now, so somebody may have cleared it away
        return receipt

    def load_state(self, name: str, scope: Scope, *, version: int | None = None) -> AssociativeMemory:
        """Return an associative memory that was saved. Raises: NotFound, Corrupt."""
        check_scope(scope)
        found = self.vault.store.find([key := _key(check_name("name", name), scope)]).get(key)
        if found is None:
            raise NotFound(f"There is no state {name!r} in the scope {scope}.")
        content = self._get(found, scope, version=version).content
        if isinstance(content, str):
            raise InvalidInput(f"{name} is a text, no state.")
        kept = self.vault.blobs.get(content)
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


def _key(name: str, scope: Scope) -> bytes:
    """Return what makes a state of this name and scope one and the same."""
    named = json.dumps(["state", scope.tenant, scope.user, scope.agent, scope.session, name], ensure_ascii=False)
    return hashlib.blake2b(named.encode(), digest_size=16).digest()
