"""Packed payloads: whatever is put in comes out, never longer than a head more, and damage is noticed."""

from __future__ import annotations

import io
import lzma
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anamnos.associative import create
from anamnos.associative.circuits import CircuitModel
from anamnos.associative.payload import from_payload, to_payload
from anamnos.errors import Corrupt, InvalidInput
from anamnos.system.codec import CODECS, is_packed, pack, unpack

HEAD = 48


def archive(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def related(count: int, variables: int = 20, seed: int = 0) -> np.ndarray:
    """Return rows that a circuit understands: a hidden coin that seldom turns, and a symbol of its four each time."""
    random = np.random.default_rng(seed)
    coin = np.cumsum(random.random((count, variables)) < 0.1, axis=1) + random.integers(0, 2, (count, 1))
    return (coin % 2 * 4 + random.integers(0, 4, coin.shape)).astype(np.uint8)


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=400), st.sampled_from(CODECS))
def test_any_bytes_come_back_and_grow_by_a_head_at_most(payload: bytes, codec: str):
    packed = pack(payload, codec)
    assert is_packed(packed) and unpack(packed) == payload
    assert len(packed) <= len(payload) + HEAD


@pytest.mark.parametrize("codec", CODECS)
def test_arrays_of_every_kind_come_back(codec: str):
    payload = archive(
        words=np.arange(6_000, dtype=">u8").reshape(1_000, 6),
        spins=np.sign(related(800).astype(np.int8) - 3.5).astype(np.int8),
        far=(related(700).astype(np.int64) - 10**12),
        floats=np.linspace(0, 1, 1_200).reshape(600, 2),
        flags=related(600) > 3,
        whole=np.array(5),
        none=np.zeros((0, 4)),
        odd=related(600)[:, :1],
        cube=related(600).reshape(60, 10, 20),
    )
    assert unpack(pack(payload, codec)) == payload


def test_rows_with_a_pattern_gain_by_a_circuit_and_others_fall_back():
    payload = archive(rows=related(4_000))
    xz, pc = (len(pack(payload, codec)) for codec in ("xz", "pc"))
    assert pc < 0.95 * xz
    random = archive(rows=np.random.default_rng(0).integers(0, 256, (800, 8), dtype=np.uint8))
    assert len(pack(random, "pc")) <= len(random) + HEAD


def test_memory_comes_back_from_its_packed_state():
    memory = create("hopfield", dim=4)
    for number in range(20):
        memory.write(np.eye(4)[number % 4] * (number + 1), value={"n": number})
    payload = to_payload(memory)
    for codec in CODECS:
        assert to_payload(from_payload(unpack(pack(payload, codec)))) == payload


def test_small_payloads_gain_by_a_model_that_is_kept_elsewhere():
    model = CircuitModel.fit(related(3_000), alphabets=8, states=4, epochs=3)
    payload = archive(rows=related(600, seed=1))
    packed = pack(payload, "pc", models=[model])
    assert len(packed) < 0.85 * min(len(pack(payload, "pc")), len(pack(payload, "xz")))
    assert unpack(packed, models=[model]) == payload
    with pytest.raises(InvalidInput, match="needs the circuit"):
        unpack(packed)


def test_damage_and_cuts_never_give_a_payload():
    for codec in CODECS:
        payload = archive(rows=related(600), note=np.frombuffer(b"a note", dtype=np.uint8))
        packed = pack(payload, codec)
        random = np.random.default_rng(2)
        for place in [*range(HEAD + 8), *random.integers(0, len(packed), 60).tolist()]:
            damaged = packed[:place] + bytes([packed[place] ^ 4]) + packed[place + 1 :]
            try:
                assert unpack(damaged) == payload  # a bit that means nothing, as the padding of xz
            except (Corrupt, InvalidInput):
                continue
            assert place >= HEAD or 8 <= place < 16  # nothing checks the length of arrays' archives but a limit
        for length in [0, 3, HEAD - 1, HEAD, *range(HEAD, len(packed), 97)]:
            if length < len(packed):
                with pytest.raises((Corrupt, InvalidInput)):
                    unpack(packed[:length])


def test_what_is_not_packed_or_newer_or_too_large_is_refused():
    with pytest.raises(Corrupt, match="no packed payload"):
        unpack(b"PK\x03\x04 an archive")
    packed = pack(bytes(1_000), "zlib")
    with pytest.raises(Corrupt, match="not known"):
        unpack(packed[:4] + b"\x02" + packed[5:])
    with pytest.raises(InvalidInput, match="more than the 999"):
        unpack(packed, most_bytes=999)
    with pytest.raises(InvalidInput, match="allowed are"):
        unpack(pack(archive(rows=related(2_000)), "pc"), most_bytes=39_999)
    with pytest.raises(InvalidInput, match="codec"):
        pack(b"", "gzip")  # type: ignore[arg-type]


def test_many_small_arrays_are_no_way_around_the_limit():
    packed = pack(
        archive(**{f"part_{number}": np.random.default_rng(number).integers(4, size=20_000) for number in range(10)}),
        "xz",
    )
    assert packed[5] == 3
    assert len(unpack(packed, most_bytes=1_600_000)) > 0
    with pytest.raises(InvalidInput, match="allowed are"):
        unpack(packed, most_bytes=1_599_999)


def test_a_head_without_end_is_damage():
    told = lzma.compress(b"[" * 100_000)
    head = struct.pack("<4sBBHQ32s", b"ANPK", 1, 3, 0, 100, bytes(32))
    with pytest.raises(Corrupt, match="damaged"):
        unpack(head + struct.pack("<I", len(told)) + told)


def test_bomb_is_not_unpacked_beyond_what_its_head_says():
    packed = pack(bytes(10_000_000), "zlib")
    head = bytearray(packed)
    head[8:16] = struct.pack("<Q", 10)
    with pytest.raises(Corrupt):
        unpack(bytes(head), most_bytes=100)
