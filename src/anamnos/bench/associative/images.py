"""Small images with labels: the 8 x 8 digits of scikit-learn and MNIST."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from anamnos.errors import MissingExtra

_MNIST = "train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"


class Images(NamedTuple):
    """Images from 0 to 1, (n, pixels), and what they show; some to learn from, others to test with."""

    train: NDArray[np.float32]
    train_labels: NDArray[np.int64]
    test: NDArray[np.float32]
    test_labels: NDArray[np.int64]


def digits(seed: int) -> Images:
    """Return the 1,797 digits of scikit-learn in another order per seed, 1,200 of them to learn from.

    Raises: MissingExtra without scikit-learn.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as exc:
        raise MissingExtra("The benchmark on digits", "dev") from exc
    found = load_digits()
    order = np.random.default_rng(seed).permutation(len(found.data))
    pixels = np.asarray(found.data[order] / 16, dtype=np.float32)
    labels = np.asarray(found.target[order], dtype=np.int64)
    return Images(pixels[:1_200], labels[:1_200], pixels[1_200:], labels[1_200:])


def mnist(folder: Path) -> Images:
    """Return MNIST out of its four files in ``folder``/mnist."""
    raw = [gzip.decompress((folder / "mnist" / f"{name}-ubyte.gz").read_bytes()) for name in _MNIST]
    grey = [np.frombuffer(part[16:], np.uint8).reshape(-1, 784) for part in raw[::2]]
    pixels: list[NDArray[np.float32]] = [np.divide(part, 255, dtype=np.float32) for part in grey]
    labels = [np.frombuffer(part[8:], np.uint8).astype(np.int64) for part in raw[1::2]]
    return Images(pixels[0], labels[0], pixels[1], labels[1])


def rotated(images: NDArray[np.float32], degrees: float) -> NDArray[np.float32]:
    """Return square images (n, pixels) turned about their middle, linear between pixels, dark outside."""
    side = int(np.sqrt(images.shape[1]))
    angle, middle = np.radians(degrees), (side - 1) / 2
    down, right = np.mgrid[:side, :side] - middle
    y = np.cos(angle) * down - np.sin(angle) * right + middle
    x = np.sin(angle) * down + np.cos(angle) * right + middle
    padded = np.pad(images.reshape(-1, side, side), ((0, 0), (1, 2), (1, 2)))
    top, left = np.clip(np.floor(y), -1, side).astype(int), np.clip(np.floor(x), -1, side).astype(int)
    part_y, part_x = np.clip(y - top, 0, 1), np.clip(x - left, 0, 1)
    corners = [padded[:, top + a + 1, left + b + 1] for a in (0, 1) for b in (0, 1)]
    weights = [wy * wx for wy in (1 - part_y, part_y) for wx in (1 - part_x, part_x)]
    turned = sum(corner * weight for corner, weight in zip(corners, weights, strict=True))
    return np.asarray(turned, dtype=np.float32).reshape(len(images), -1)
