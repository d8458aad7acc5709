"""The sets of vectors that indexes are measured on, their queries, and their exact nearest neighbours.

sift     SIFT descriptors, 4,500 x 128, as unit vectors: our index knows the cosine only
real     MiniLM vectors of sentences of books, encyclopedias and chats, about 220,000 x 384
million  1,000,000 x 384: ``real`` enlarged by vectors between and beside it
hard     200,000 x 384, a mixture of clusters of very different sizes

Queries are held out: no set holds one, and nothing was made from one. Everything is made once and kept as .npy files.
A set can be taken in part: its first n vectors are a fair sample, as all sets are shuffled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anamnos.bench.index.made import clustered, enlarged, unit
from anamnos.bench.index.texts import embed_texts, sentences
from anamnos.bench.timing import Progress, quiet
from anamnos.embed.base import Vectors
from anamnos.errors import InvalidInput

SETS = ("sift", "real", "million", "hard")
TRUE_NEIGHBOURS = 100
SELECTIVITIES = {"1": 0.01, "01": 0.001}
_HELD_OUT = 2_000
_MILLION, _HARD = 1_000_000, 200_000
_BLOCK = 16_384
_QUERIES_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class VectorSet:
    """A set, or its first vectors.

    vectors  .npy of unit vectors (at least ``count``, dim) float32, to be read in part through a memory map
    queries  .npy of unit vectors (n, dim) float32
    truth    .npy of the places of the 100 nearest of the first ``count`` vectors: (n, 100) int32, nearest first
    labels   .npz of name -> which of the first ``count`` vectors have it; see ``labelled``
    """

    name: str
    count: int
    vectors: Path
    queries: Path
    truth: Path
    labels: Path

    @property
    def key(self) -> str:
        """The name that results are kept under."""
        return f"{self.name}-{self.count}"

    def request(self) -> dict[str, Any]:
        """Return it as JSON, for a process that measures on it."""
        return {
            "set": self.name,
            "count": self.count,
            "vectors": str(self.vectors),
            "queries": str(self.queries),
            "truth": str(self.truth),
            "labels": str(self.labels),
        }


def vector_set(
    name: str, cache: Path, data: Path | None, *, count: int | None = None, seed: int = 0, progress: Progress = quiet
) -> VectorSet:
    """Return a set, made if ``cache`` does not hold it.

    data   folder of the public data sets; needed to make ``sift``, ``real`` and ``million``
    count  take only so many of its first vectors
    Raises: InvalidInput for an unknown set, or if data are missing.
    """
    if name not in SETS:
        raise InvalidInput(f"There is no set {name!r}.", hint=f"Choose of: {', '.join(SETS)}")
    cache.mkdir(parents=True, exist_ok=True)
    vectors, queries = cache / f"{name}.npy", cache / f"{name}.queries.npy"
    if not (vectors.exists() and queries.exists()):
        base, asked = _MAKERS[name](cache, data, seed, progress)
        _save(queries, asked)
        _save(vectors, base)
    there = int(np.load(vectors, mmap_mode="r").shape[0])
    count = min(count or there, there)
    part = "" if count == there else f"-{count}"
    truth = cache / f"{name}{part}.truth.npy"
    if not truth.exists():
        _save(truth, nearest(np.load(vectors, mmap_mode="r")[:count], np.load(queries), progress=progress)[0])
    labels = cache / f"{name}{part}.labels.npz"
    if not labels.exists():
        np.savez_compressed(labels, **labelled(np.load(vectors, mmap_mode="r")[:count], seed))  # type: ignore[arg-type]
    return VectorSet(name, count, vectors, queries, truth, labels)


def labelled(vectors: Vectors, seed: int) -> dict[str, NDArray[np.bool_]]:
    """Return which vectors have a label: 1 % or .1 % of all, drawn at random or nearest to a random vector, a topic.

    A topic has nothing to do with the queries: the worst case for an index that looks near the query first.
    """
    rng = np.random.default_rng(seed)
    found: dict[str, NDArray[np.bool_]] = {}
    for name, share in SELECTIVITIES.items():
        count = max(10, round(share * len(vectors)))
        drawn, topic = np.zeros((2, len(vectors)), dtype=np.bool_)
        drawn[rng.choice(len(vectors), size=count, replace=False)] = True
        centre = rng.standard_normal(vectors.shape[1], dtype=np.float32)
        topic[np.argpartition(-(vectors @ centre), count - 1)[:count]] = True
        found |= {f"random_{name}": drawn, f"topic_{name}": topic}
    return found


def nearest(
    vectors: Vectors, queries: Vectors, top_k: int = TRUE_NEIGHBOURS, progress: Progress = quiet
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the places of the ``top_k`` vectors nearest to each query, nearest first, and their cosines.

    vectors, queries  unit vectors; ``vectors`` may be a memory map
    """
    top_k = min(top_k, len(vectors))
    places = np.empty((len(queries), top_k), dtype=np.int32)
    cosines = np.full((len(queries), top_k), -2.0, dtype=np.float32)
    for start in range(0, len(vectors), _BLOCK):
        block = np.asarray(vectors[start : start + _BLOCK], dtype=np.float32)
        for first in range(0, len(queries), _QUERIES_AT_ONCE):
            some = slice(first, first + _QUERIES_AT_ONCE)
            scores = np.hstack([cosines[some], queries[some] @ block.T])
            known = np.broadcast_to(np.arange(start, start + len(block), dtype=np.int32), (len(scores), len(block)))
            numbers = np.hstack([places[some], known])
            best = np.argpartition(-scores, top_k - 1, axis=1)[:, :top_k]
            cosines[some], places[some] = (np.take_along_axis(x, best, axis=1) for x in (scores, numbers))
        progress("exact neighbours", min(start + _BLOCK, len(vectors)), len(vectors))
    order = np.lexsort((places, -cosines), axis=1)
    return np.take_along_axis(places, order, axis=1), np.take_along_axis(cosines, order, axis=1)


def facts(chosen: VectorSet, neighbours: int = 10, wide: int = 50) -> dict[str, Any]:
    """Return shape, the median cosine of the 10th nearest, and local intrinsic dimension (median, from 50 neighbours).

    Source of the latter: maximum likelihood estimator of Levina and Bickel, NIPS 2004.
    """
    vectors, queries = np.load(chosen.vectors, mmap_mode="r"), np.load(chosen.queries)
    truth = np.load(chosen.truth)[:, :wide]
    cosines = np.stack([vectors[row] @ query for row, query in zip(truth, queries, strict=True)])
    distances = np.sqrt(np.maximum(2 - 2 * cosines.astype(np.float64), 1e-9))
    logs = np.log(distances[:, -1:] / distances[:, :-1])
    own = chosen.vectors.with_name(f"{chosen.name}.euclidean.npy")  # what the set itself calls the nearest
    return {
        "count": chosen.count,
        "dim": int(vectors.shape[1]),
        "queries": len(queries),
        "cosine_of_10th": round(float(np.median(cosines[:, neighbours - 1])), 3),
        "local_dimension": round(float(np.median(1 / np.maximum(logs.mean(axis=1), 1e-9))), 1),
        **(
            {"euclidean_shared": _shared(truth[:, :neighbours], np.load(own))}
            if own.exists() and chosen.count == len(vectors)
            else {}
        ),
    }


def _shared(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Return the share of neighbours that two lists of them have in common."""
    return round(float(np.mean([len(np.intersect1d(a, b)) / len(a) for a, b in zip(first, second, strict=True)])), 4)


def _sift(cache: Path, data: Path | None, seed: int, progress: Progress) -> tuple[Vectors, Vectors]:
    path = _folder(data) / "ann_sift5k" / "sift5k.npz"
    if not path.exists():
        raise InvalidInput(f"There is no file {path}.", hint="It holds SIFT descriptors: arrays base and query.")
    with np.load(path) as held:
        _save(cache / "sift.euclidean.npy", held["neighbors"])
        return unit(held["base"].astype(np.float32)), unit(held["query"].astype(np.float32))


def _real(cache: Path, data: Path | None, seed: int, progress: Progress) -> tuple[Vectors, Vectors]:
    embedded = cache / "texts.npy"
    if not embedded.exists():
        from anamnos.embed import resolve_embedder

        _save(embedded, embed_texts(sentences(_folder(data)), resolve_embedder("minilm-int8"), progress))
    rows = unit(np.load(embedded))
    return rows[_HELD_OUT:], rows[:_HELD_OUT]


def _million(cache: Path, data: Path | None, seed: int, progress: Progress) -> tuple[Vectors, Vectors]:
    real = vector_set("real", cache, data, seed=seed, progress=progress)
    return enlarged(np.load(real.vectors), _MILLION, seed, progress), np.load(real.queries)


def _hard(cache: Path, data: Path | None, seed: int, progress: Progress) -> tuple[Vectors, Vectors]:
    rows = clustered(_HARD + _HELD_OUT, seed=seed)
    return rows[_HELD_OUT:], rows[:_HELD_OUT]


_MAKERS: dict[str, Callable[[Path, Path | None, int, Progress], tuple[Vectors, Vectors]]] = {
    "sift": _sift,
    "real": _real,
    "million": _million,
    "hard": _hard,
}


def _folder(data: Path | None) -> Path:
    if data is None:
        raise InvalidInput("The vectors have to be made first.", hint="Name the folder of the data sets: --data DIR")
    return data


def _save(path: Path, array: NDArray[Any]) -> None:
    partial = path.with_name(f"{path.name}.partial.npy")
    np.save(partial, np.ascontiguousarray(array))
    partial.replace(path)
