"""States and payloads that nobody wrote by mistake: refused, or read without harm."""

import io
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from anamnos.associative import SYSTEMS, create, memory_class
from anamnos.associative.arrays import digest, json_array
from anamnos.associative.base import AssociativeMemory
from anamnos.associative.checks import LARGEST
from anamnos.associative.codes import TopK
from anamnos.associative.payload import from_payload, to_payload
from anamnos.errors import AnamnosError, Corrupt, InvalidInput
from anamnos.testing.fakes import seeded_ids
from associative_memories import KINDS, Kind

pytestmark = [
    pytest.mark.filterwarnings("ignore::anamnos.associative.base.CapacityWarning"),
    pytest.mark.filterwarnings("error::RuntimeWarning"),  # of numbers that are none
]
NOTES: list[Any] = [
    {},
    None,
    "abc",
    [1, 2, 3],
    [[1]] * 3,
    [[1, 2, 3]] * 3,
    [["a", "no id"]] * 3,
    ["a"] * 3,
    [None, 1, 2],
]


def filled(kind: Kind) -> tuple[AssociativeMemory, list[Any]]:
    memory, new_id, now = kind.make(), seeded_ids(3), datetime(2024, 5, 1, tzinfo=UTC)
    keys = kind.keys(np.random.default_rng(1), 3)
    for number, key in enumerate(keys):
        memory.write(key, f"value {number % 2}", cube_id=new_id(now), when=now)
    return memory, keys


def bent(name: str, array: Any) -> Iterator[Any]:
    """Yield an array in all the ways that it should not be."""
    if name in ("items_notes", "labels", "texts_labels", "folded_labels"):
        yield from (json_array(notes) for notes in NOTES)
        yield from (np.frombuffer(raw, np.uint8) for raw in (b"{", b"[" * 100_000, b"[[NaN, null]]", b"\xff"))
    yield from (np.nan_to_num(array).astype(kind) for kind in ("f8", "i8", "S4", "c16", "O"))
    yield from (array.reshape(-1), array[None], array[..., None], np.zeros((), array.dtype))
    if array.ndim:
        yield from (array[:-1], np.concatenate([array, array]), array[..., :-1])
    limits = np.iinfo(array.dtype) if array.dtype.kind in "iu" else None
    wrong = [limits.min, limits.max] if limits else [np.nan, np.inf, -1, np.finfo(array.dtype).max]
    for number in wrong:
        for places in (slice(None), slice(0, 1), slice(-1, None)):
            other = array.copy().reshape(-1)
            other[places] = number
            yield other.reshape(array.shape)


@pytest.mark.parametrize("name", KINDS)
def test_a_state_is_refused_or_harmless(name: str) -> None:
    kind = KINDS[name]
    memory, keys = filled(kind)
    state = memory.state_dict()
    for part in state.keys() - {"spec"}:
        for array in bent(part, state[part]):
            try:
                other = memory_class(kind.system)[0].from_state(memory.spec, {**state, part: array})
            except (Corrupt, InvalidInput):
                continue
            use(other, keys)


def use(memory: AssociativeMemory, keys: list[Any]) -> None:
    found = memory.read(keys[0], k=3)
    assert all(0 <= recall.score <= 1 and 0 <= recall.familiarity <= 1 for recall in found)
    assert 0 <= memory.familiarity(keys[1]) <= 1
    assert 0 <= memory.load().fill <= 1
    assert digest(from_payload(to_payload(memory)).state_dict()) == digest(memory.state_dict())
    memory.forget(key=keys[2])
    memory.consolidate()
    memory.read(keys[0])


def test_every_system_is_tried() -> None:
    assert {kind.system for kind in KINDS.values()} == set(SYSTEMS)


# --- payloads


def archive(*members: tuple[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", how) as made:
        for name, data in members:
            made.writestr(name, data)
    return file.getvalue()


def npy(array: Any, shape: str = "", *, dtype: str = "") -> bytes:
    """Return a NumPy file; ``shape`` and ``dtype`` are what its head says in place of the truth."""
    file = io.BytesIO()
    np.save(file, array)
    data = file.getvalue()
    if shape or dtype:
        told = f"{{'descr': '{dtype or array.dtype.str}', 'fortran_order': False, 'shape': {shape or array.shape}, }}"
        head = data[10 : 10 + int.from_bytes(data[8:10], "little")]
        data = data.replace(head, told.encode().ljust(len(head) - 1) + b"\n")
    return data


PLAIN = np.zeros(4, np.uint8)


@pytest.mark.parametrize(
    "payload",
    [
        archive(("spec.npy", npy(PLAIN, "(1000000000000,)"))),
        archive(("spec.npy", npy(PLAIN, "(-4, -1)"))),
        archive(("spec.npy", npy(PLAIN, "(3,)"))),
        archive(("spec.npy", npy(PLAIN, dtype="|O"))),
        archive(("spec.npy", npy(np.array(["abcd"])))),
        archive(("spec.npy", b"\x93NUMPY\x01\x00\xff\xff{")),
        archive(("spec.npy", b"")),
        archive(("spec.npy", npy(PLAIN)), how=zipfile.ZIP_LZMA),
        archive(("spec.npy", npy(PLAIN)), how=zipfile.ZIP_BZIP2),
        archive(("spec.npy", npy(PLAIN)), ("spec", npy(PLAIN))),
        archive(),
        b"PK\x05\x06" + bytes(18),
        npy(PLAIN),
    ],
)
def test_an_archive_that_lies_is_refused(payload: bytes) -> None:
    with pytest.raises(Corrupt):
        from_payload(payload)


def test_a_payload_that_would_grow_beyond_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    payload = to_payload(create("ca3", cells=400, active=8))
    assert len(payload) < 5_000
    monkeypatch.setattr("anamnos.associative.payload.MOST_BYTES", 400_000)
    with pytest.raises(Corrupt, match="400,000"):
        from_payload(payload)
    with pytest.raises(AnamnosError, match="400,000"):
        to_payload(create("ca3", cells=400, active=8))


# --- specs and vectors beyond all bounds


@pytest.mark.parametrize(
    ("system", "settings"),
    [
        ("sparsey", {"length": 10**12, "active": 8}),
        ("sparsey-belief", {"dim": 4, "modules": 10**9, "units": 256}),
        ("sparsey-belief", {"dim": 4, "lists": 1 << 24, "units": 256}),
        ("sparsey-belief", {"dim": 4, "tables": 10**9, "lists": 1, "room": 1}),
        ("sdm", {"locations": 10**12}),
        ("sdr-filter", {"length": 10**12, "active": 8}),
        ("key-value-bottleneck", {"dim": 10**12}),
        ("sparsey-sequence", {"length": 10**12}),
        ("sparsey-sequence", {"length": 64, "units": 32_000, "modules": 10**6}),
        ("ca3", {"cells": 10**12}),
        ("dense-hebbian", {"length": 10**12}),
        ("multitasking", {"length": 10**12}),
    ],
)
def test_a_memory_that_could_never_be_is_refused(system: str, settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        create(system, **settings)


def test_a_projection_that_could_never_be_is_refused() -> None:
    with pytest.raises(InvalidInput):
        TopK(10**9)


@pytest.mark.parametrize("name", ["sparsey-belief", "knn", "dual", "prototype", "key-value-bottleneck", "hopfield"])
def test_vectors_of_any_length_that_is_allowed_give_numbers(name: str) -> None:
    memory = KINDS[name].make()
    for size in (0, 1e-45, 1e-20, 1, LARGEST / 4):
        memory.write(np.full(16, size, dtype=np.float32), "one", cube_id=None)
    for size in (0, 1e-45, 1, LARGEST / 4):
        cue = np.full(16, size)
        assert 0 <= memory.familiarity(cue) <= 1
        assert all(0 <= recall.score <= 1 for recall in memory.read(cue, k=10))
    for size in (1e300, 1e38, np.inf, np.nan):
        with pytest.raises(InvalidInput):
            memory.write(np.full(16, size))


@pytest.mark.parametrize("name", KINDS)
def test_an_absurd_strength_is_refused_and_a_large_k_is_not(name: str) -> None:
    memory, keys = filled(KINDS[name])
    with pytest.raises(InvalidInput, match="strength"):
        memory.write(keys[0], strength=1e300)
    assert 1 <= len(memory.read(keys[0], k=10**18)) <= 3


@pytest.mark.parametrize("name", KINDS)
def test_keys_of_any_form_are_the_same_keys(name: str) -> None:
    memory, keys = filled(KINDS[name])
    key = keys[0]
    forms = [key.astype(np.float64), np.asfortranarray(key), np.repeat(key, 2, axis=-1)[..., ::2], key.tolist()]
    forms += [key.astype(key.dtype.newbyteorder(">")), np.frombuffer(key.tobytes(), key.dtype).reshape(key.shape)]
    if key.dtype == np.uint8:
        forms.append(key.astype(np.bool_))
    expected = [recall.to_dict() for recall in memory.read(key, k=3)]
    for form in forms:
        assert [recall.to_dict() for recall in memory.read(form, k=3)] == expected
        assert memory.forget(key=form).items in (0, 1)
        memory, _ = filled(KINDS[name])
