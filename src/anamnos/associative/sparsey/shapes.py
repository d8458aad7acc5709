"""Small synthetic videos of moving shapes: 12 classes that only the order of their frames tells apart.

A bar moves in 8 directions, a ring grows or shrinks, a bar turns left or right. Every class has a partner that is the
same film run backwards, so no single frame and no sum of frames says which it is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anamnos.associative.checks import check_positive, check_whole
from anamnos.errors import InvalidInput

Bits = NDArray[np.uint8]

_HEADINGS = ("east", "south-east", "south", "south-west", "west", "north-west", "north", "north-east")
CLASSES: tuple[str, ...] = (*(f"bar {name}" for name in _HEADINGS), "ring out", "ring in", "turn right", "turn left")
"""Names of the classes, by number."""
_SPEED = 1.1  # pixels per frame
_BAR, _THICK = 4.5, 1.0  # half of a moving bar, in pixels


def backwards(label: int) -> int:
    """Return the class whose films are those of ``label`` run backwards."""
    check_whole("label", label, least=0, most=len(CLASSES) - 1)
    return (label + 4) % 8 if label < 8 else label ^ 1


def moving_shapes(
    per_class: int, rng: np.random.Generator, *, side: int = 16, frames: int = 10, jitter: int = 1, noise: float = 0.003
) -> tuple[Bits, NDArray[np.int64]]:
    """Return films (12 * per_class, frames, side * side) of 0 and 1 and their labels, class by class.

    jitter  pixels by which the whole film may be moved, each way
    noise   share of the bits that are flipped
    Raises: InvalidInput.
    """
    check_whole("per_class", per_class)
    check_whole("side", side, least=8)
    check_whole("frames", frames, least=2)
    check_whole("jitter", jitter, least=0)
    check_positive("noise", noise, zero=True)
    labels = np.repeat(np.arange(len(CLASSES)), per_class)
    films = np.stack([_film(int(label), rng.integers(-jitter, jitter + 1, size=2), side, frames) for label in labels])
    flipped = rng.random(films.shape) < noise
    return (films ^ flipped).astype(np.uint8), labels


def warp(film: ArrayLike, speed: float) -> Bits:
    """Return a film run at another speed: 2 leaves out every second frame, 0.5 shows each twice.

    Raises: InvalidInput unless there are frames, and the speed is above 0.
    """
    given = np.asarray(film, dtype=np.uint8)
    check_positive("speed", speed)
    if given.ndim != 2 or not len(given):
        raise InvalidInput(f"film must be of shape (frames, bits), got {given.shape}.")
    shown = np.floor(np.arange(0, len(given) - 1e-9, speed)).astype(np.int64)
    return np.asarray(given[shown])


def _film(label: int, moved: NDArray[np.int64], side: int, frames: int) -> NDArray[np.bool_]:
    """Return one film without noise, (frames, side * side)."""
    first = min(label, backwards(label))
    middle = (side - 1) / 2
    down, right = np.meshgrid(np.arange(side) - middle - moved[0], np.arange(side) - middle - moved[1], indexing="ij")
    time = np.arange(frames)[:, None, None]
    angle = np.full(time.shape, first * np.pi / 4) if first < 8 else np.pi / frames * time
    ahead, aside = right * np.cos(angle) + down * np.sin(angle), down * np.cos(angle) - right * np.sin(angle)
    if first < 8:
        place = (time - (frames - 1) / 2) * _SPEED
        shape = (np.abs(ahead - place) <= _THICK) & (np.abs(aside) <= _BAR)
    elif first == 8:
        shape = np.abs(np.hypot(down, right) - 1.0 - 5.0 * time / (frames - 1)) <= 0.7
    else:
        shape = (np.abs(aside) <= _THICK) & (np.hypot(down, right) <= side / 2 - 1.5)
    film = np.broadcast_to(shape, (frames, side, side)).reshape(frames, -1)
    return film if label == first else film[::-1]
