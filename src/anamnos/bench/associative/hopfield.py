"""Modern Hopfield network: its formulas, what it retrieves, and what its averages tell of clusters."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from anamnos.associative.arrays import json_array
from anamnos.associative.base import spec_array
from anamnos.associative.hopfield import HopfieldSlots, HopfieldSpec
from anamnos.bench.associative.experiment import Experiment, Setting, Table
from anamnos.bench.limits import Limit
from anamnos.bench.plots import line_chart

Vectors = NDArray[np.float32]
_BETAS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
_LONE, _CLUSTERS, _MEMBERS = 60, 15, 4


def run(setting: Setting) -> Experiment:
    """Return equality with attention, retrieval, energy and clusters. A minute for three seeds."""
    seeds = setting.seeds[:1] if setting.quick else setting.seeds
    sizes = ((32, 1_000), (64, 2_000)) if setting.quick else ((32, 10_000), (64, 100_000))
    apart = _from_attention(seeds[0], 100)
    rise = max(_energy_rise(seed) for seed in seeds)
    found = [_retrieval(dim, count, seeds, setting) for dim, count in sizes]
    clusters = [{"beta": beta, **_flags(beta, seeds)} for beta in (_BETAS[4:5] if setting.quick else _BETAS)]
    best = max(clusters, key=lambda row: row["right"])
    return Experiment(
        name="hopfield",
        title="The modern Hopfield network",
        said=(
            "One step is softmax attention with the stored vectors as keys and values. Retrieval: random unit vectors,"
            " cue = vector + noise of length 0.3, beta 20, one step.",
            f"Clusters: {_LONE} lone unit vectors of 64 dimensions and {_CLUSTERS} clusters of {_MEMBERS} with a cosine"
            " of about 0.9 within. Started at a stored vector, the state settles at it, or at the average of its"
            " cluster (a metastable state), as beta says; an item is flagged for consolidation if the weights there are"
            " spread over 1.5 slots or more, by the exponential of their entropy.",
        ),
        tables=(
            Table(
                ("dimensions", "vectors", "right, of 100", "mean cosine of what came out", "lowest"),
                [[str(row["dim"]), f"{row['count']:,}", f"{row['right']:.1f}", f"{row['cosine']:.5f}",
                  f"{row['lowest']:.5f}"] for row in found],
                f"Mean of {len(seeds)} seeds.",
            ),
            Table(
                ("beta", "flagged rightly", "of clusters' items", "of lone items", "slots, cluster", "slots, lone",
                 "cosine to the cluster's mean"),
                [[f"{row['beta']:g}", f"{row['right']:.3f}", f"{row['flagged']:.3f}", f"{row['lone']:.3f}",
                  f"{row['slots']:.2f}", f"{row['slots_lone']:.2f}", f"{row['to_mean']:.4f}"] for row in clusters],
                "Averages flag clusters.",
            ),
        ),
        figures={"attention_apart": apart, "energy_rise": rise, "retrieval": found, "clusters": clusters},
        limits=(
            Limit("one step beside softmax attention, largest difference", "at most", 1e-6, apart),
            Limit("largest rise of the energy in a step", "at most", 1e-5, rise),
            *(Limit(f"d = {row['dim']}, {row['count']:,} vectors: right of 100", "at least", 100, row["right"])
              for row in found),
            *(Limit(f"d = {row['dim']}, {row['count']:,} vectors: mean cosine", "at least", 0.999, row["cosine"])
              for row in found),
            Limit("items rightly flagged as of a cluster or not", "at least", 0.99, best["right"],
                  why=f"at beta {best['beta']:g}, the best of the table"),
        ),
        charts={} if setting.quick else {"hopfield_clusters": _chart(clusters)},
    )  # fmt: skip


def memory_of(vectors: Vectors, beta: float) -> HopfieldSlots:
    """Return a memory of these vectors, each with its number as value, without the cost of so many writes."""
    spec = HopfieldSpec(dim=vectors.shape[1], slots=len(vectors), beta=beta)
    state = {
        "spec": spec_array(spec),
        "items_codes": vectors,
        "items_times": np.full(len(vectors), np.nan),
        "items_notes": json_array([[number, None] for number in range(len(vectors))]),
    }
    return HopfieldSlots.from_state(spec, state)


def unit_vectors(rng: np.random.Generator, count: int, dim: int) -> Vectors:
    """Return random directions, (count, dim)."""
    vectors = rng.standard_normal((count, dim), dtype=np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def _from_attention(seed: int, cases: int) -> float:
    rng = np.random.default_rng(seed)
    apart = 0.0
    for _ in range(cases):
        slots, cue = unit_vectors(rng, 50, 32), rng.standard_normal(32).astype(np.float32)
        scores = 20.0 * (slots.astype(np.float64) @ cue)
        weights = np.exp(scores - scores.max())
        expected = weights / weights.sum() @ slots
        apart = max(apart, float(np.abs(memory_of(slots, 20.0).read(cue, steps=1)[0].code - expected).max()))
    return apart


def _energy_rise(seed: int) -> float:
    rng = np.random.default_rng(seed)
    memory, rise = memory_of(unit_vectors(rng, 200, 16), 8.0), -np.inf
    for _ in range(50):
        state = rng.standard_normal(16).astype(np.float32)
        for _ in range(6):
            before, state = memory.energy(state), memory.read(state, steps=1)[0].code.astype(np.float32)
            rise = max(rise, memory.energy(state) - before)
    return float(rise)


def _retrieval(dim: int, count: int, seeds: tuple[int, ...], setting: Setting) -> dict[str, Any]:
    right, cosines = 0, []
    for number, seed in enumerate(seeds):
        setting.progress(f"{count:,} vectors", number, len(seeds))
        rng = np.random.default_rng(seed)
        vectors = unit_vectors(rng, count, dim)
        memory = memory_of(vectors, 20.0)
        for asked in rng.choice(count, 100, replace=False).tolist():
            cue = vectors[asked] + rng.normal(scale=0.3 / np.sqrt(dim), size=dim).astype(np.float32)
            recall = memory.read(cue, steps=1)[0]
            right += recall.value == asked
            cosines.append(float(recall.code @ vectors[asked] / np.linalg.norm(recall.code)))
    mean, lowest = float(np.mean(cosines)), float(np.min(cosines))
    return {"dim": dim, "count": count, "right": right / len(seeds), "cosine": mean, "lowest": lowest}


def _flags(beta: float, seeds: tuple[int, ...]) -> dict[str, float]:
    """Return how well spread weights tell items of clusters from lone ones."""
    spread, of_cluster, to_mean = [], [], []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        centres = unit_vectors(rng, _CLUSTERS, 64)
        near = np.repeat(centres, _MEMBERS, axis=0) + rng.normal(scale=0.33 / 8, size=(_CLUSTERS * _MEMBERS, 64))
        near /= np.linalg.norm(near, axis=1, keepdims=True)
        means = np.repeat(near.reshape(_CLUSTERS, _MEMBERS, 64).mean(axis=1), _MEMBERS, axis=0)
        vectors = np.concatenate([near.astype(np.float32), unit_vectors(rng, _LONE, 64)])
        memory = memory_of(vectors, beta)
        for number, vector in enumerate(vectors):
            found = memory.read(vector, k=len(vectors))
            weights = np.array([recall.score for recall in found])
            spread.append(float(np.exp(-(weights * np.log(np.maximum(weights, 1e-30))).sum())))
            of_cluster.append(number < len(near))
            if of_cluster[-1]:
                lengths = np.linalg.norm(found[0].code) * np.linalg.norm(means[number])
                to_mean.append(float(found[0].code @ means[number] / lengths))
    slots, inside = np.array(spread), np.array(of_cluster)
    flagged = slots >= 1.5
    return {
        "right": float((flagged == inside).mean()),
        "flagged": float(flagged[inside].mean()),
        "lone": float(flagged[~inside].mean()),
        "slots": float(slots[inside].mean()),
        "slots_lone": float(slots[~inside].mean()),
        "to_mean": float(np.mean(to_mean)),
    }


def _chart(clusters: list[dict[str, float]]) -> str:
    return line_chart(
        {
            "rightly flagged": [(row["beta"], row["right"]) for row in clusters],
            "cosine to the cluster's mean": [(row["beta"], row["to_mean"]) for row in clusters],
        },
        title="Averages of the modern Hopfield network flag clusters",
        x_label="beta",
        y_label="share, cosine",
        log_x=True,
    )
