"""Encoders: vectors, images and symbols to the codes that associative memories take.

A sparse distributed representation (SDR) is an array of bits, uint8 of 0 and 1, of which few are on; its meaning lies
in which. Two SDRs are as alike as they share bits.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anamnos.associative.checks import check_room, check_whole
from anamnos.errors import InvalidInput

Bits = NDArray[np.uint8]


@dataclass(frozen=True)
class TopK:
    """Vectors to SDRs that are alike where the vectors are: a fixed random projection, the largest entries on.

    dim     of the vectors
    length  bits
    active  how many of them are on
    seed    of the projection
    """

    dim: int
    length: int = 2_048
    active: int = 40
    seed: int = 0

    def __post_init__(self) -> None:
        check_whole("dim", self.dim)
        check_whole("length", self.length, least=2)
        check_whole("active", self.active, most=self.length)
        check_room(self.dim, self.length)

    def encode(self, vectors: ArrayLike) -> Bits:
        """Return the bits of one vector (dim,) or of several (n, dim). Raises: InvalidInput."""
        given = np.asarray(vectors, dtype=np.float32)
        if given.ndim not in (1, 2) or given.shape[-1] != self.dim or not np.isfinite(given).all():
            raise InvalidInput(f"vectors must be finite, of shape ({self.dim},) or (n, {self.dim}); got {given.shape}.")
        return top_bits(given @ self._directions, self.active)

    @cached_property
    def _directions(self) -> NDArray[np.float32]:
        random = np.random.Generator(np.random.PCG64(self.seed))
        return random.standard_normal((self.dim, self.length), dtype=np.float32)


def top_bits(values: NDArray[np.floating], active: int) -> Bits:
    """Return bits of the shape of ``values``: on at the ``active`` largest along the last axis, the first of equals."""
    order = np.argsort(-values, axis=-1, kind="stable")[..., :active]
    bits = np.zeros(values.shape, dtype=np.uint8)
    np.put_along_axis(bits, order, np.uint8(1), axis=-1)
    return bits


def signs(values: ArrayLike) -> NDArray[np.int8]:
    """Return -1 and +1 as int8: the sign of each value, +1 for 0."""
    return np.where(np.asarray(values) >= 0, 1, -1).astype(np.int8)


def symbol_bits(symbol: str, length: int = 2_048, active: int = 40) -> Bits:
    """Return the SDR of a symbol: always the same for the same, and no more alike than chance for others."""
    check_whole("length", length, least=2)
    check_whole("active", active, most=length)
    seed = int.from_bytes(hashlib.blake2b(symbol.encode(), digest_size=8).digest(), "big")
    bits = np.zeros(length, dtype=np.uint8)
    bits[np.random.Generator(np.random.PCG64(seed)).choice(length, size=active, replace=False)] = 1
    return bits


def overlap(first: ArrayLike, second: ArrayLike) -> NDArray[np.int64]:
    """Return how many bits are on in both, along the last axis."""
    both = np.asarray(first, dtype=np.int64) * np.asarray(second, dtype=np.int64)
    return np.asarray(both.sum(axis=-1), dtype=np.int64)


def edge_bits(images: ArrayLike, *, threshold: float = 0.15, directions: int = 12) -> Bits:
    """Return where images have an edge, by its direction: (n, directions, height / 2, width / 2).

    images  (n, height, width) uint8 of even sides, 0 dark to 255 light
    A pixel has an edge if its grey, blurred by [1 2 1] / 4 both ways, has a central difference longer than
    ``threshold`` (of grey in [0, 1]); the direction keeps which side is light. A bit is on if one of 2 x 2 pixels has
    that edge.
    """
    grey = np.asarray(images)
    if grey.ndim != 3 or grey.shape[1] % 2 or grey.shape[2] % 2 or grey.dtype != np.uint8:
        raise InvalidInput(f"images must be uint8 of shape (n, even, even), got {grey.dtype} of {grey.shape}.")
    found = [_edges(grey[start : start + 1_000], threshold, directions) for start in range(0, len(grey), 1_000)]
    return np.concatenate(found) if found else np.zeros((0, directions, *(n // 2 for n in grey.shape[1:])), np.uint8)


def _edges(grey: NDArray[np.uint8], threshold: float, directions: int) -> Bits:
    light = np.pad(grey.astype(np.float32) / 255, ((0, 0), (2, 2), (2, 2)))
    light = (light[:, :-2] + 2 * light[:, 1:-1] + light[:, 2:]) / 4
    light = (light[:, :, :-2] + 2 * light[:, :, 1:-1] + light[:, :, 2:]) / 4
    down = (light[:, 2:, 1:-1] - light[:, :-2, 1:-1]) / 2
    right = (light[:, 1:-1, 2:] - light[:, 1:-1, :-2]) / 2
    steep = np.hypot(down, right) > threshold
    turn = np.arctan2(down, right) / (2 * np.pi)
    bins = np.floor((turn % 1) * directions).astype(np.int64) % directions
    bits = np.zeros((len(grey), directions, *grey.shape[1:]), dtype=np.uint8)
    image, row, column = np.nonzero(steep)
    bits[image, bins[image, row, column], row, column] = 1
    height, width = grey.shape[1] // 2, grey.shape[2] // 2
    blocks = bits.reshape(len(grey), directions, height, 2, width, 2)
    return np.asarray(blocks.max(axis=(3, 5)), dtype=np.uint8)
