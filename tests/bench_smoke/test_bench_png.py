"""Pictures as PNG: what a reader that follows the standard gets back."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

from anamnos.bench.associative.png import png


def read(data: bytes) -> np.ndarray:
    """Return the picture of a grey PNG, undoing its filters byte by byte."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    place, chunks = 8, {}
    while place < len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        body = data[place + 8 : place + 8 + length]
        assert struct.unpack_from(">I", data, place + 8 + length)[0] == zlib.crc32(kind + body)
        chunks[kind], place = body, place + 12 + length
    width, height, *form = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert form == [8, 0, 0, 0, 0] and chunks[b"IEND"] == b""
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1).tolist()
    found = [[0] * (width + 1)]
    for kind, *line in lines:
        now = [0]
        for place, value in enumerate(line):
            a, b, c = now[-1], found[-1][place + 1], found[-1][place]
            p = a + b - c
            paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            now.append((value + (0, a, b, (a + b) // 2, paeth)[kind]) % 256)
        found.append(now)
    return np.array(found, dtype=np.uint8)[1:, 1:]


@pytest.mark.parametrize("kind", ["noise", "slope", "flat", "one pixel"])
def test_picture_comes_back_from_its_png(kind: str):
    random = np.random.default_rng(0)
    down, right = np.mgrid[:20, :30]
    picture = {
        "noise": random.integers(0, 256, (20, 30)),
        "slope": (7 * down + 5 * right + random.integers(0, 3, (20, 30))) % 256,
        "flat": np.full((20, 30), 200),
        "one pixel": np.array([[255]]),
    }[kind].astype(np.uint8)
    assert (read(png(picture)) == picture).all()
    if kind == "slope":
        assert len(png(picture)) < 0.8 * len(zlib.compress(picture.tobytes(), 9))
