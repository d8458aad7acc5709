"""Encoders: what is alike gets like codes, and what is given wrongly is refused."""

import numpy as np
import pytest

from anamnos.associative.codes import TopK, edge_bits, overlap, signs, symbol_bits
from anamnos.errors import InvalidInput


def test_like_vectors_share_bits() -> None:
    rng = np.random.default_rng(0)
    encoder, vector = TopK(64, 512, 20), rng.normal(size=64)
    near, far = vector + 0.1 * rng.normal(size=64), rng.normal(size=64)
    bits = encoder.encode(np.stack([vector, near, far]))
    assert bits.sum(axis=1).tolist() == [20, 20, 20]
    assert overlap(bits[0], bits[1]) > 10 > overlap(bits[0], bits[2])
    assert (TopK(64, 512, 20).encode(vector) == bits[0]).all()


def test_a_symbol_always_has_the_same_bits() -> None:
    assert (symbol_bits("Naxos") == symbol_bits("Naxos")).all()
    assert symbol_bits("Naxos").sum() == 40
    assert overlap(symbol_bits("Naxos"), symbol_bits("Paros")) < 10


def test_an_edge_has_its_direction() -> None:
    image = np.zeros((1, 8, 8), dtype=np.uint8)
    image[:, :, 4:] = 255  # light to the right
    bits = edge_bits(image)
    assert bits.shape == (1, 12, 4, 4)
    assert bits[0, :, 2, 1:3].any(axis=1).nonzero()[0].tolist() == [0]
    assert edge_bits(np.zeros((2, 8, 8), dtype=np.uint8)).sum() == 0


def test_nothing_is_positive() -> None:
    assert signs([-2.0, 0.0, 3.0]).tolist() == [-1, 1, 1]


def test_what_cannot_be_encoded_is_refused() -> None:
    for call in (
        lambda: TopK(4, 8, 9),
        lambda: TopK(4).encode(np.ones(5)),
        lambda: TopK(4).encode([np.nan] * 4),
        lambda: symbol_bits("x", length=4, active=5),
        lambda: edge_bits(np.zeros((1, 7, 8), dtype=np.uint8)),
    ):
        with pytest.raises(InvalidInput):
            call()
