"""The state of an associative memory as bytes: the payload of a MemCube.

A NumPy archive (``.npz``) of plain arrays, with the spec and a checksum; nothing in it is ever run.
"""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from typing import Any

import numpy as np

from anamnos.associative.arrays import Array, digest, from_json_array
from anamnos.associative.base import AssociativeMemory
from anamnos.cube import CubeId
from anamnos.errors import Corrupt, InvalidInput, LimitExceeded

MEDIA_TYPE = "application/vnd.anamnos.associative+npz"
_CHECKSUM = "checksum"
MOST_BYTES = 1 << 32
"""That the arrays of a payload may take. Deflated at best a thousand times smaller: a small payload is never large."""
_SPARE = 1 << 16  # for heads and checksum
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_UNREADABLE = (ValueError, TypeError, OSError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error)


def to_payload(memory: AssociativeMemory) -> bytes:
    """Return the state of a memory as bytes; the same state gives the same bytes. Raises: LimitExceeded."""
    state = memory.state_dict()
    if (size := sum(array.nbytes for array in state.values())) > MOST_BYTES - _SPARE:
        raise LimitExceeded(f"The state of this memory has {size:,} bytes; a payload may have {MOST_BYTES:,}.")
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
        with zipfile.ZipFile(io.BytesIO(payload)) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > MOST_BYTES:
                raise Corrupt(f"The payload would take more than the {MOST_BYTES:,} bytes that are allowed.")
            state = {member.filename.removesuffix(".npy"): _array(archive, member) for member in members}
    except _UNREADABLE as exc:
        raise Corrupt(f"The payload is no archive of arrays: {exc}.") from exc
    if len(state) < len(members):
        raise Corrupt("The payload holds several arrays of one name.")
    summed = state.pop(_CHECKSUM, np.empty(0, np.uint8))
    if summed.tobytes() != digest(state).encode():
        raise Corrupt("The payload is not what was written: its checksum does not fit.")
    return state


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    """Return an array of an archive; it never takes more than there is. Raises: what ``_UNREADABLE`` names."""
    if member.compress_type not in _PACKED:
        raise ValueError(f"{member.filename} is packed in another way")
    file = io.BytesIO(archive.read(member))
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"{member.filename} is of version {version}")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.kind not in "biuf" or math.prod(shape) * dtype.itemsize != member.file_size - file.tell():
        raise ValueError(f"{member.filename} does not hold the numbers that it says")
    flat = np.frombuffer(file.getbuffer(), dtype=dtype, offset=file.tell())
    return flat.reshape(shape, order="F" if fortran else "C").copy()
