"""What may be given to an associative memory: sizes, bits, spins, vectors, masks. Each raises InvalidInput."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anamnos.errors import InvalidInput

MOST_NUMBERS = 1 << 30
"""The largest array that a memory may need."""
LARGEST = 1e15
"""Number in a vector: beyond it, products of float32 overflow."""
MOST_STRENGTH = 1e9
"""Exposures that one write may count for."""


def check_choice(name: str, value: object, known: Sequence[str]) -> None:
    """Raise InvalidInput unless ``value`` is one of ``known``."""
    if value not in known:
        raise InvalidInput(f"{name} cannot be {value!r}.", hint=f"Use one of: {', '.join(known)}.")


def check_whole(name: str, value: object, *, least: int = 1, most: int | None = None) -> None:
    """Raise InvalidInput unless ``value`` is a whole number from ``least`` to ``most``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least or (most and value > most):
        bounds = f"from {least} to {most}" if most is not None else f"of at least {least}"
        raise InvalidInput(f"{name} must be a whole number {bounds}, got {value!r}.")


def check_positive(name: str, value: object, *, zero: bool = False) -> None:
    """Raise InvalidInput unless ``value`` is a finite number above 0, or 0 if that is allowed."""
    known = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not known or not (0 < value <= sys.float_info.max or (zero and value == 0)):  # type: ignore[operator]
        raise InvalidInput(f"{name} must be a number {'of at least' if zero else 'above'} 0, got {value!r}.")


def check_room(*sides: int) -> None:
    """Raise InvalidInput if an array of so many sides' product is more than a memory may need."""
    if math.prod(sides) > MOST_NUMBERS:
        raise InvalidInput(
            f"A memory of this spec needs an array of {' x '.join(f'{side:,}' for side in sides)} numbers.",
            hint=f"Make it smaller: {MOST_NUMBERS:,} are allowed.",
        )


def check_bits(name: str, value: ArrayLike, length: int) -> NDArray[np.uint8]:
    """Return bits as (length,) uint8 of 0 and 1. Raises: InvalidInput for another shape, or other values."""
    bits = np.asarray(value)
    if bits.shape != (length,) or bits.dtype.kind not in "buif" or not ((bits == 0) | (bits == 1)).all():
        raise InvalidInput(
            f"{name} must be {length} bits of 0 and 1, got {bits.dtype} of shape {bits.shape}.",
            hint="anamnos.associative.codes turns vectors and images into bits.",
        )
    return bits.astype(np.uint8)


def check_signs(name: str, value: ArrayLike, length: int) -> NDArray[np.int8]:
    """Return spins as (length,) int8 of -1 and +1. Raises: InvalidInput."""
    spins = np.asarray(value)
    if spins.shape != (length,) or spins.dtype.kind not in "if" or not (np.abs(spins) == 1).all():
        raise InvalidInput(f"{name} must be {length} numbers that are -1 or +1, got {spins.dtype} of {spins.shape}.")
    return spins.astype(np.int8)


def check_vector(name: str, value: ArrayLike, length: int) -> NDArray[np.float32]:
    """Return a finite vector as (length,) float32. Raises: InvalidInput, also beyond ``LARGEST``."""
    vector = np.asarray(value)
    if vector.shape != (length,):
        raise InvalidInput(f"{name} must be {length} finite numbers, got {vector.dtype} of shape {vector.shape}.")
    return check_vectors(name, vector[None], length).reshape(length)


def check_vectors(name: str, value: ArrayLike, length: int) -> NDArray[np.float32]:
    """Return finite vectors as (n, length) float32. Raises: as ``check_vector``."""
    vectors = np.asarray(value)
    if vectors.ndim != 2 or vectors.shape[1] != length or vectors.dtype.kind not in "buif":
        raise InvalidInput(f"{name} must be numbers of shape (n, {length}), got {vectors.dtype} of {vectors.shape}.")
    if not (np.abs(vectors.astype(np.float64, copy=False)) <= LARGEST).all():
        raise InvalidInput(f"{name} must be finite, up to {LARGEST:g}.", hint="Divide vectors by their norm.")
    return vectors.astype(np.float32)


def check_mask(mask: ArrayLike | None, length: int) -> NDArray[np.bool_]:
    """Return where a cue is known as (length,) bool; everywhere if there is no mask. Raises: InvalidInput."""
    if mask is None:
        return np.ones(length, dtype=np.bool_)
    known = np.asarray(mask)
    if known.shape != (length,) or known.dtype != np.bool_ or not known.any():
        raise InvalidInput(f"mask must be {length} booleans, not all false, got {known.dtype} of shape {known.shape}.")
    return known


def check_reading(k: int, steps: int | None, temperature: float, rng: np.random.Generator | None) -> None:
    """Raise InvalidInput for arguments of ``read`` that cannot be."""
    check_whole("k", k)
    if steps is not None:
        check_whole("steps", steps)
    check_positive("temperature", temperature, zero=True)
    if temperature > 0 and rng is None:
        raise InvalidInput("A temperature above 0 needs rng.", hint="Give it numpy.random.default_rng(seed).")
