"""Sparsey codes as a coarse quantiser: what an index by them finds, beside buckets drawn at random."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from anamnos.bench.associative.experiment import Experiment, Setting, Table
from anamnos.bench.index.texts import embed_texts, sentences
from anamnos.bench.limits import Limit
from anamnos.bench.plots import line_chart
from anamnos.cube import CubeId
from anamnos.embed import resolve_embedder
from anamnos.embed.base import Vectors
from anamnos.index.buckets import BucketIndex
from anamnos.index.exact_resident import ResidentIndex
from anamnos.index.lsh import LshIndex
from anamnos.index.sparsey import SparseyIndex
from anamnos.store.base import EmbedderInfo, Store
from anamnos.types import Change

_STORED, _ASKED, _TOP = 100_000, 200, 10
_PROBES = (1, 2, 4, 8)
_USUAL = 4  # probes, as in the settings of both


class _Vectors:
    """The part of a store that an index in memory follows; row r + 1 is vector r."""

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors

    def sequence(self) -> int:
        return len(self._vectors)

    def changes(self, after: int, limit: int = 1_000) -> Sequence[Change]:
        numbers = range(after + 1, min(after + limit, len(self._vectors)) + 1)
        return [Change(number, "written", number, CubeId(str(number))) for number in numbers]

    def vectors(self, rows: NDArray[np.int64], info: EmbedderInfo) -> Vectors:
        return np.asarray(self._vectors[rows - 1], dtype=np.float32)


def run(setting: Setting) -> Experiment:
    """Return recall@10, time and rows compared over 100,000 sentences: some two minutes."""
    stored, asked = _vectors(setting)
    exact = ResidentIndex(cast(Store, _Vectors(stored)), EmbedderInfo("bench", stored.shape[1]))
    exact.catch_up()
    every = np.arange(1, len(stored) + 1, dtype=np.int64)
    true = [set(exact.search(cue, _TOP, every)[0].tolist()) for cue in asked]
    rows: list[dict[str, Any]] = [{"index": "all compared", "probes": 0, **_measured(exact, asked, every, true)}]
    for done, (name, kind) in enumerate((("lsh", LshIndex), ("sparsey", SparseyIndex))):
        for probes in (_USUAL,) if setting.quick else _PROBES:
            setting.progress("indexes", done, 2)
            index: BucketIndex = kind(exact, probes=probes, scans=0, **({"period": 1} if kind is SparseyIndex else {}))
            start = time.process_time()
            index.catch_up()
            built = time.process_time() - start
            rows.append({"index": name, "probes": probes, "built_s": built, **_measured(index, asked, every, true)})
    usual = {row["index"]: row for row in rows if row["probes"] in (0, _USUAL)}
    chart = line_chart(
        {
            name: [(100 * row["compared"], row["recall"]) for row in rows if row["index"] == name]
            for name in ("lsh", "sparsey")
        },
        title="What an index finds by what it compares",
        x_label="rows compared, %",
        y_label=f"recall@{_TOP}",
        y_range=(0.5, 1.0),
    )
    cells = [
        [row["index"], str(row["probes"] or ""), f"{row['recall']:.3f}", f"{row['compared']:.1%}", f"{row['ms']:.2f}"]
        for row in rows
    ]
    return Experiment(
        "coarse_quantiser",
        "Sparsey codes as a coarse quantiser",
        [
            f"{len(stored):,} vectors of sentences, {len(asked)} others as queries, none of which anything was fitted"
            " on. A search looks into a few buckets of each of 32 tables, and compares the rows that it meets most"
            " often. `lsh` has buckets by random directions; in `sparsey` each unit learnt one stored vector in a"
            " single trial. Times are of one core's own time."
        ],
        [Table(("index", "buckets looked into, per table", f"recall@{_TOP}", "rows compared", "ms"), cells)],
        {"rows": rows},
        [Limit(f"recall@{_TOP} of sparsey less that of lsh", "at least", 0.0,
               usual["sparsey"]["recall"] - usual["lsh"]["recall"])],
        {"coarse-quantiser": chart},
    )  # fmt: skip


def _vectors(setting: Setting) -> tuple[Vectors, Vectors]:
    """Return what is stored and what is asked; made-up clusters without data."""
    if setting.quick or setting.data is None:
        rng = np.random.default_rng(0)
        centres = rng.normal(size=(50, 64))
        made = centres[rng.integers(50, size=2_020)] + 0.7 * rng.normal(size=(2_020, 64))
        found = np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), dtype=np.float32)
        return found[20:], found[:20]
    cached = None if setting.cache is None else setting.cache / "near_duplicates.npy"
    if cached is not None and cached.exists():
        found = np.load(cached)
    else:
        texts = sentences(setting.data)[-_STORED - _ASKED :]
        found = embed_texts(texts, resolve_embedder("minilm-int8"), setting.progress)
    return found[: len(found) - _ASKED][:_STORED], found[-_ASKED:]


def _measured(index: Any, asked: Vectors, rows: NDArray[np.int64], true: Sequence[set[int]]) -> dict[str, float]:
    found = [index.search(cue, _TOP, rows)[0] for cue in asked]
    start = time.process_time()
    for cue in asked:
        index.search(cue, _TOP, rows)
    spent = time.process_time() - start
    compared = float(len(rows))
    if isinstance(index, BucketIndex):
        compared = float(np.mean([len(index.candidates(cue, _TOP, rows)) for cue in asked]))
    right = [len(want & set(got.tolist())) / _TOP for want, got in zip(true, found, strict=True)]
    return {"recall": float(np.mean(right)), "compared": compared / len(rows), "ms": 1_000 * spent / len(asked)}
