"""What many small macs see of an image: set upright, then its edges."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anamnos.errors import InvalidInput

_SPREAD = 0.196, 0.143  # of down and across, in sides: what images of digits have on average
_AT_ONCE = 1_000


def upright(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return images in which the light stuff stands upright, in the middle, and is of about one size.

    images  (n, height, width) uint8, light on dark
    By the moments of each image alone: the shear that makes down and across independent is undone, the centre of mass
    moved to the middle, and half of the difference (by ratio) to the mean spread taken away, each way. Values between
    pixels are interpolated. Nothing is learnt. Source: moment normalisation, common for digits; the halves are ours.
    """
    given = np.asarray(images)
    if given.ndim != 3 or given.dtype != np.uint8:
        raise InvalidInput(f"images must be uint8 of shape (n, height, width), got {given.dtype} of {given.shape}.")
    parts = [_upright(given[start : start + _AT_ONCE]) for start in range(0, len(given), _AT_ONCE)]
    return np.concatenate(parts) if parts else given


def _upright(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    light = images.astype(np.float32)
    _, height, width = light.shape
    down, across = np.arange(height, dtype=np.float32), np.arange(width, dtype=np.float32)
    mass = np.maximum(light.sum(axis=(1, 2)), 1e-6)
    rows, columns = light.sum(axis=2), light.sum(axis=1)
    y0, x0 = rows @ down / mass, columns @ across / mass
    dy, dx = down - y0[:, None], across - x0[:, None]
    yy, xx = (rows * dy**2).sum(axis=1) / mass, (columns * dx**2).sum(axis=1) / mass
    xy = np.einsum("nyx,ny,nx->n", light, dy, dx, optimize=True) / mass
    shear = xy / np.maximum(yy, 1e-6)
    tall = np.sqrt(np.sqrt(np.maximum(yy, 0.25)) / (_SPREAD[0] * height))
    wide = np.sqrt(np.sqrt(np.maximum(xx - shear * xy, 0.25)) / (_SPREAD[1] * width))
    from_y = (down - (height - 1) / 2) * tall[:, None]
    from_x = (across - (width - 1) / 2) * wide[:, None]
    y = np.broadcast_to((from_y + y0[:, None])[:, :, None], light.shape)
    x = from_x[:, None, :] + (shear[:, None] * from_y + x0[:, None])[:, :, None]
    return np.asarray(np.minimum(_between(light, y, x) + 0.5, 255), dtype=np.uint8)


def _between(light: NDArray[np.float32], y: NDArray[np.float32], x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the light at places between pixels; dark beyond the border."""
    count, height, width = light.shape
    padded = np.pad(light, ((0, 0), (1, 2), (1, 2))).reshape(-1)
    y, x = np.clip(y + 1, 0, height + 1), np.clip(x + 1, 0, width + 1)
    top, left = y.astype(np.int32), x.astype(np.int32)
    low, right = y - top, x - left
    at = (np.arange(count, dtype=np.int32)[:, None, None] * (height + 3) + top) * (width + 3) + left
    above = padded[at] * (1 - right) + padded[at + 1] * right
    below = padded[at + width + 3] * (1 - right) + padded[at + width + 4] * right
    return np.asarray(above * (1 - low) + below * low, dtype=np.float32)
