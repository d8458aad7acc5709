"""Lossless codes: bits per byte of the probabilistic circuit beside zlib, xz, zstd and PNG."""

from __future__ import annotations

import lzma
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anamnos.associative.circuits import CircuitModel
from anamnos.associative.circuits.coder import head_bytes
from anamnos.associative.codes import TopK
from anamnos.bench.associative.experiment import Experiment, Setting, Table
from anamnos.bench.associative.images import digits, mnist
from anamnos.bench.associative.png import png
from anamnos.bench.index.texts import embed_texts, sentences
from anamnos.bench.limits import Limit
from anamnos.bench.plots import Panel, bar_chart
from anamnos.embed import resolve_embedder

PUBLISHED = 1.2  # bits per pixel of MNIST, arXiv:2111.11632
FITTED, CODED = 20_000, 5_000  # vectors
_QUICK_FITTED, _QUICK_CODED = 400, 100
_SUBSPACES = (48, 96)
_CENTRES = 256
_ROUNDS = 10  # of k-means
_SDR = TopK(dim=384, length=512, active=20)
_DICTIONARY = 112_640  # bytes, the size that zstd takes if none is named
Rows = NDArray[np.uint8]


@dataclass(frozen=True)
class _Case:
    """Rows to fit on and rows to code.

    bits    of a symbol as one would store it: 8, or 1 for bits
    images  sides, if a row is a picture
    """

    name: str
    fitted: Rows
    coded: Rows
    alphabet: int
    bits: int = 8
    states: int = 16
    epochs: int = 3
    images: tuple[int, int] | None = None

    @property
    def bytes(self) -> float:
        return self.coded.size * self.bits / 8


@dataclass
class _Measured:
    """Bytes and seconds of one coder on one case; ``model`` is what both ends must have before."""

    size: float
    model: int = 0
    encode_s: float | None = None
    decode_s: float | None = None
    notes: dict[str, float] = field(default_factory=dict)


def run(setting: Setting) -> Experiment:
    """Return bits per byte, sizes of models and speed. A full run takes some 25 minutes on one core."""
    found: dict[str, dict[str, _Measured]] = {}
    cases = {}
    for done, case in enumerate(_cases(setting)):
        setting.progress(f"codec: {case.name}", done, 7)
        cases[case.name] = case
        found[case.name] = _measured(case, setting.seeds[0])
    rates = {name: {coder: 8 * m.size / cases[name].bytes for coder, m in of.items()} for name, of in found.items()}
    panels = [
        Panel(f"{name}: bits per byte", {c: {"code": r} for c, r in of.items()}, ("code",))
        for name, of in rates.items()
    ]
    figures = {
        name: {"bytes": cases[name].bytes, "rows": len(cases[name].coded), "fitted": len(cases[name].fitted)}
        | {coder: vars(measured) | {"bits_per_byte": rates[name][coder]} for coder, measured in of.items()}
        for name, of in found.items()
    }
    return Experiment(
        "codec",
        "Lossless codes by a probabilistic circuit",
        _SAID,
        [_table(cases[name], of) for name, of in found.items()],
        figures,
        list(_limits(found, rates)),
        {"codec": bar_chart(panels, title="What a byte costs: the circuit beside general coders")},
    )


_SAID = (
    "A hidden Chow-Liu tree is fitted to some rows and codes others. `circuit` is the code alone, for a model that is "
    "kept once with the store; `with its model` counts the model too. zlib, xz and zstd see the same rows in that "
    "layout which suits them best: rows, columns or packed bits; zstd's dictionary is learnt from rows that the "
    "circuit was fitted to. `alone` is the ideal code of each variable by its own frequencies among these rows.",
    "Vectors and their codes are of sentences of the data folder by the embedder of the vault; none of those coded is "
    "among those fitted.",
)


def _cases(setting: Setting) -> Iterator[_Case]:
    quick = setting.quick
    seen = digits(setting.seeds[0])
    known, new = ((16 * part).astype(np.uint8).clip(0, 15) for part in (seen.train, seen.test))
    yield _Case(
        "digits",
        known[:300] if quick else known,
        new,
        16,
        states=4 if quick else 16,
        epochs=2 if quick else 10,
        images=(8, 8),
    )
    fitted, coded = (_QUICK_FITTED, _QUICK_CODED) if quick else (FITTED, CODED)
    vectors = _vectors(setting, fitted + coded)
    if not quick:
        whole = (np.clip(np.round(vectors / np.abs(vectors[:fitted]).max() * 127), -127, 127) + 128).astype(np.uint8)
        yield _Case("MiniLM, int8", whole[:fitted], whole[fitted:], 256)
    for subspaces in _SUBSPACES[: 1 if quick else None]:
        codes = _quantised(vectors, fitted, 4 if quick else subspaces, 16 if quick else _CENTRES, setting.seeds[0])
        name = f"MiniLM, product quantiser {codes.shape[1]} x {int(codes.max()) + 1}"
        yield _Case(name, codes[:fitted], codes[fitted:], _CENTRES, states=4 if quick else 16, epochs=1 if quick else 3)
    if not quick:
        bits = _SDR.encode(vectors)
        yield _Case(f"MiniLM, bits {_SDR.active} of {_SDR.length}", bits[:fitted], bits[fitted:], 2, bits=1)
        yield _winners(vectors, fitted)
    if setting.data is not None and not quick:
        drawn = mnist(setting.data)
        train, test = ((255 * part).round().astype(np.uint8) for part in (drawn.train, drawn.test))
        yield _Case("MNIST", train, test, 256, states=32, images=(28, 28))


def _vectors(setting: Setting, count: int) -> NDArray[np.float32]:
    """Return vectors of sentences, or without data some that lie near a few directions."""
    held = None if setting.cache is None else setting.cache / "texts.npy"
    if held is not None and held.exists() and not setting.quick:
        return np.array(np.load(held, mmap_mode="r")[:count])
    if setting.data is not None and not setting.quick:
        return embed_texts(sentences(setting.data)[:count], resolve_embedder("auto"), setting.progress)
    random = np.random.default_rng(setting.seeds[0])
    made = random.standard_normal((count, 4)) @ random.standard_normal((4, 384)) + random.standard_normal((count, 384))
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), dtype=np.float32)


def _winners(vectors: NDArray[np.float32], fitted: int) -> _Case:
    """Return the codes that a Sparsey belief memory keeps per item: the winner of each of its modules."""
    from anamnos.associative.sparsey.belief import BeliefMemory, BeliefSpec

    memory = BeliefMemory(BeliefSpec(dim=vectors.shape[1]))
    codes = memory.encode(vectors)
    return _Case("MiniLM, Sparsey winners", codes[:fitted], codes[fitted:], memory.spec.units)


def _quantised(vectors: NDArray[np.float32], fitted: int, subspaces: int, centres: int, seed: int) -> Rows:
    """Return the codes of a product quantiser that has learnt from the first ``fitted`` vectors (k-means)."""
    random = np.random.default_rng(seed)
    found = []
    for part in np.split(vectors, subspaces, axis=1):
        known = part[:fitted]
        middle = known[random.choice(fitted, centres, replace=False)]
        for _ in range(_ROUNDS):
            near = _nearest(known, middle)
            sums = np.stack([np.bincount(near, column, centres) for column in known.T], axis=1)
            sizes = np.bincount(near, minlength=centres)[:, None]
            middle = np.where(sizes > 0, sums / np.maximum(sizes, 1), middle).astype(np.float32)
        found.append(_nearest(part, middle).astype(np.uint8))
    return np.stack(found, axis=1)


def _nearest(points: NDArray[np.float32], middle: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.asarray(np.argmin((middle**2).sum(axis=1) - 2 * points @ middle.T, axis=1), dtype=np.int64)


def _measured(case: _Case, seed: int) -> dict[str, _Measured]:
    start = time.perf_counter()
    model = CircuitModel.fit(case.fitted, alphabets=case.alphabet, states=case.states, epochs=case.epochs, seed=seed)
    fit_s = time.perf_counter() - start
    circuit, code = _timed(case, model.encode, model.decode, case.coded)
    held = model.to_bytes()
    circuit.model = len(held)
    ideal = -float(model.log_likelihood(case.coded).sum()) / np.log(256)
    circuit.notes = {"fit_s": fit_s, "ideal": ideal, "heads": head_bytes(code)}
    found = {"circuit": circuit, "with its model": _Measured(len(code) + len(held))}
    found["alone"] = _Measured(_alone(case))
    for name, (packs, unpacks) in _general(case).items():
        layouts = {layout: packs(data) for layout, data in _layouts(case.coded, case).items()}
        best = min(layouts, key=lambda layout: len(layouts[layout]))
        found[name], _ = _timed(case, packs, unpacks, _layouts(case.coded, case)[best])
    if case.images is not None:
        pictures = case.coded.reshape(-1, *case.images)
        found["PNG, one per image"] = _Measured(sum(len(png(picture)) for picture in pictures))
        found["PNG, one for all"] = _Measured(len(png(_mosaic(pictures))))
    return found


def _timed(
    case: _Case, encode: Callable[[Any], bytes], decode: Callable[[bytes], Any], data: Any
) -> tuple[_Measured, bytes]:
    start = time.perf_counter()
    code = encode(data)
    between = time.perf_counter()
    back = decode(code)
    end = time.perf_counter()
    if not np.array_equal(back, data):
        raise AssertionError(f"A coder did not give back what it was given: {case.name}.")
    return _Measured(len(code), 0, between - start, end - between), code


def _alone(case: _Case) -> float:
    bits = 0.0
    for known, new in zip(case.fitted.T, case.coded.T, strict=True):
        counts = np.bincount(known, minlength=case.alphabet) + 0.5
        bits -= float(np.log2(counts / counts.sum())[new].sum())
    return bits / 8


def _layouts(rows: Rows, case: _Case) -> dict[str, bytes]:
    turned = np.ascontiguousarray(rows.T)
    found = {"rows": rows.tobytes(), "columns": turned.tobytes()}
    if case.alphabet == 2:
        found |= {"packed rows": np.packbits(rows).tobytes(), "packed columns": np.packbits(turned).tobytes()}
    elif case.alphabet <= 16:
        found |= {"packed rows": (rows[:, ::2] << 4 | rows[:, 1::2]).tobytes()}
    return found


def _general(case: _Case) -> dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]]:
    found: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
        "zlib -9": (lambda data: zlib.compress(data, 9), zlib.decompress),
        "xz -9": (lambda data: lzma.compress(data, preset=9), lzma.decompress),
    }
    try:
        zstd: Any = import_module("zstandard")
    except ImportError:
        return found
    found["zstd -19"] = (zstd.ZstdCompressor(level=19).compress, zstd.ZstdDecompressor().decompress)
    samples = [row.tobytes() for row in case.fitted[:10_000]]
    try:
        learnt = zstd.train_dictionary(_DICTIONARY, samples)
    except zstd.ZstdError:  # too few rows
        return found
    packer = zstd.ZstdCompressor(level=19, dict_data=learnt)
    found["zstd -19, dictionary"] = (packer.compress, zstd.ZstdDecompressor(dict_data=learnt).decompress)
    return found


def _mosaic(pictures: Rows) -> Rows:
    """Return all pictures as one, as near to a square as they fill."""
    count, height, width = pictures.shape
    across = next(n for n in range(int(count**0.5), 0, -1) if count % n == 0)
    tiled = pictures.reshape(count // across, across, height, width).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(tiled.reshape(count // across * height, across * width))


def _table(case: _Case, found: Mapping[str, _Measured]) -> Table:
    fit = found["circuit"].notes["fit_s"]
    rows = []
    for name, measured in found.items():
        speed = [
            "" if seconds is None else f"{case.bytes / 1e6 / max(seconds, 1e-9):.3g}"
            for seconds in (measured.encode_s, measured.decode_s)
        ]
        rate = 8 * measured.size / case.bytes
        rows.append(
            [name, f"{measured.size:,.0f}", f"{rate:.3f}", f"{measured.model:,}" if measured.model else "", *speed]
        )
    caption = (
        f"{case.name}: {len(case.coded):,} rows of {case.coded.shape[1]} ({case.bytes:,.0f} bytes) coded, "
        f"{len(case.fitted):,} fitted in {fit:.0f} s with {case.states} states"
    )
    return Table(("coder", "bytes", "bits per byte", "model, bytes", "encode MB/s", "decode MB/s"), rows, caption)


def _limits(found: Mapping[str, Mapping[str, _Measured]], rates: Mapping[str, Mapping[str, float]]) -> Iterator[Limit]:
    of = found["digits"]
    yield Limit("digits: circuit by zlib -9", "at most", 0.9, of["circuit"].size / of["zlib -9"].size)
    yield Limit("digits: circuit by pixels on their own", "at most", 1.0, of["circuit"].size / of["alone"].size)
    longest = max(
        c.size - c.notes["heads"] - 1.01 * c.notes["ideal"] for c in (each["circuit"] for each in found.values())
    )
    yield Limit("code beyond 1.01 x -log2 p and its heads", "at most", 4, longest, "bytes", "32 bits")
    if "MNIST" in rates:
        yield Limit("MNIST: bits per pixel", "at most", PUBLISHED, rates["MNIST"]["circuit"], why="arXiv:2111.11632")
