"""The state of an associative memory as bytes: the payload of a MemCube.

A NumPy archive (``.npz``) of plain arrays, with the spec and a checksum; nothing in it is ever run.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import Any

import numpy as np

from anamnos.associative.base import Array, AssociativeMemory, digest, from_json_array
from anamnos.cube import CubeId
from anamnos.errors import Corrupt, InvalidInput

MEDIA_TYPE = "application/vnd.anamnos.associative+npz"
_CHECKSUM = "checksum"


def to_payload(memory: AssociativeMemory) -> bytes:
    """Return the state of a memory as bytes; the same state gives the same bytes."""
    state = memory.state_dict()
    file = io.BytesIO()
    summed = np.frombuffer(digest(state).encode(), dtype=np.uint8)
    arrays: dict[str, Any] = {**{name: state[name] for name in sorted(state)}, _CHECKSUM: summed}
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def from_payload(payload: bytes) -> AssociativeMemory:
    """Return the memory of a payload. Raises: Corrupt if it is damaged, InvalidInput if its system is not known."""
    from anamnos.associative import SYSTEMS, memory_class

    state = read_state(payload)
    made_with = from_json_array(state.get("spec", np.empty(0, np.uint8)))
    system = made_with.get("system") if isinstance(made_with, dict) else None
    if system not in SYSTEMS:
        raise InvalidInput(f"The payload is of the system {system!r}, which is not known.", hint="Update Anamnos.")
    kind, spec = memory_class(system)
    memory: AssociativeMemory = kind.from_state(spec.from_dict(made_with), state)
    return memory


def cubes_in(payload: bytes) -> tuple[CubeId, ...]:
    """Return the cubes that the items of a payload stand for, each once. Raises: Corrupt if it is damaged."""
    state = read_state(payload)
    if "items_notes" not in state:
        return ()
    return tuple(dict.fromkeys(CubeId(cube_id) for _, cube_id in from_json_array(state["items_notes"]) if cube_id))


def read_state(payload: bytes) -> dict[str, Array]:
    """Return the arrays of a payload. Raises: Corrupt unless they are what was written."""
    try:
        with np.load(io.BytesIO(payload), allow_pickle=False) as held:
            state = {name: held[name] for name in held.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError) as exc:
        raise Corrupt(f"The payload is no archive of arrays: {exc}.") from exc
    summed = state.pop(_CHECKSUM, np.empty(0, np.uint8))
    if summed.tobytes() != digest(state).encode():
        raise Corrupt("The payload is not what was written: its checksum does not fit.")
    return state
