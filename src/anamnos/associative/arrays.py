"""States as plain arrays: notes among them, what is missing or out of bounds, and a checksum of all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from anamnos.errors import Corrupt

Array = NDArray[Any]


def need(
    state: Mapping[str, Array],
    name: str,
    shape: tuple[int, ...] | None = None,
    dtype: DTypeLike | None = None,
    *,
    least: float | None = None,
    most: float | None = None,
) -> Array:
    """Return an array of a state.

    dtype        that it must have, in any byte order; None: any of numbers
    least, most  bounds of what is in it; with one of them, or both, NaN and infinite numbers are out of bounds
    Raises: Corrupt if it is missing, of another shape or type, or out of bounds.
    """
    found = np.asarray(state[name]) if name in state else np.empty(0, dtype=np.object_)
    found = found.astype(found.dtype.newbyteorder("="), copy=False)
    other = found.dtype != (dtype or found.dtype) or found.shape != (found.shape if shape is None else shape)
    if other or found.dtype.kind not in "biuf":
        wanted = "numbers" if dtype is None else str(np.dtype(dtype))
        raise Corrupt(f"The state has no array {name!r} of {wanted}" + (f" of shape {shape}." if shape else "."))
    if least is not None or most is not None:
        check_bounds(name, found, least, most)
    return found


def check_bounds(name: str, array: Array, least: float | None = None, most: float | None = None) -> None:
    """Raise Corrupt unless all numbers in an array are finite and from ``least`` to ``most``."""
    low, high = (array.min(), array.max()) if array.size else (0, 0)
    finite = np.isfinite(low) and np.isfinite(high)  # NaN comes through both
    if array.size and not (finite and (least is None or low >= least) and (most is None or high <= most)):
        raise Corrupt(f"The array {name!r} of the state has numbers from {low} to {high}, which cannot be.")


def json_array(value: Any) -> Array:
    """Return JSON as an array of bytes."""
    return np.frombuffer(json.dumps(value, sort_keys=True, ensure_ascii=False).encode(), dtype=np.uint8)


def from_json_array(array: Array) -> Any:
    """Return what ``json_array`` was given. Raises: Corrupt."""
    try:
        if array.dtype != np.uint8:
            raise ValueError(f"{array.dtype} are no bytes")
        return json.loads(array.tobytes())
    except (ValueError, RecursionError) as exc:
        raise Corrupt("The state of the memory holds notes that are no JSON.") from exc


def stored_names(state: Mapping[str, Array], name: str) -> list[str]:
    """Return labels that are kept as texts of JSON, each once. Raises: Corrupt."""
    found = from_json_array(need(state, name))
    try:
        if not isinstance(found, list) or len({json.dumps(json.loads(text)) for text in found}) != len(found):
            raise ValueError("not distinct")
    except (TypeError, ValueError, RecursionError) as exc:
        raise Corrupt(f"The array {name!r} of the state does not hold labels.") from exc
    return found


def digest(state: Mapping[str, Array]) -> str:
    """Return a checksum of names, types, shapes and contents: equal for equal states."""
    summed = hashlib.blake2b(digest_size=16)
    for name in sorted(state):
        array = np.ascontiguousarray(state[name])
        summed.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        summed.update(array.tobytes())
    return summed.hexdigest()
