"""SDRs: the laws of matching and of unions in exact numbers, beside what random SDRs do."""

from __future__ import annotations

from typing import Any

import numpy as np

from anamnos.associative import sdr
from anamnos.bench.associative.experiment import Experiment, Setting, Table
from anamnos.bench.limits import Limit
from anamnos.bench.plots import line_chart

_PUBLISHED = (
    # cells, active, synapses, threshold, false matches
    (10_000, 300, 24, 12, 8.3758e-13),
    (10_000, 64, 24, 12, 4.0416e-21),
    (2_000, 40, 20, 10, 4.9436e-13),
    (2_048, 40, 20, 12, 5.7728e-17),
    (2_048, 40, 40, 20, 2.4913e-26),
    (100_000, 2_000, 6, 6, 6.3531e-11),
    (100_000, 2_000, 8, 8, 2.5251e-14),
    (100_000, 2_000, 10, 10, 1.0016e-17),
    (100_000, 2_000, 12, 6, 5.2939e-8),
    (100_000, 2_000, 16, 8, 2.8172e-10),
    (100_000, 2_000, 20, 10, 1.5419e-12),
    (100_000, 2_000, 24, 12, 8.5869e-15),
    (100_000, 2_000, 40, 10, 4.9154e-9),
    (100_000, 2_000, 80, 10, 4.6257e-6),
)
_PUBLISHED_UNIONS = ((10, 1.30e-30), (20, 3.37e-20), (40, 3.01e-11), (100, 2.5e-3))  # of 40 in 2,048 bits
_CELLS, _ACTIVE, _SYNAPSES = 200, 20, 10


def run(setting: Setting) -> Experiment:
    """Return the laws beside the published numbers, random SDRs, and a filter. Ten seconds."""
    found = [sdr.false_positive(n, a, s, theta) for n, a, s, theta, _ in _PUBLISHED]
    same = [f"{ours:.4e}" == f"{theirs:.4e}" for ours, (*_, theirs) in zip(found, _PUBLISHED, strict=True)]
    unions = [sdr.union_contains(2_048, 40, items) for items, _ in _PUBLISHED_UNIONS]
    same += [abs(ours / theirs - 1) < 0.005 for ours, (_, theirs) in zip(unions, _PUBLISHED_UNIONS, strict=True)]
    draws = 2_000 if setting.quick else 100_000
    matches = _matches(draws, setting.seeds[0])
    filters = _filter(setting)
    return Experiment(
        name="sdr",
        title="Neurons on SDRs, and the filter of what was seen",
        said=(
            "How probably a segment matches a random SDR, and a union contains one: in exact whole numbers. The last"
            " two segments know two and four patterns by 20 synapses each.",
            "The filter fills a union up to its bound and begins the next; what it lets through by chance is counted on"
            " random SDRs that were never written.",
        ),
        tables=(
            Table(
                ("cells", "active", "synapses", "threshold", "published", "found"),
                [[*(f"{x:,}" for x in case[:4]), f"{case[4]:.4e}", f"{ours:.4e}"]
                 for case, ours in zip(_PUBLISHED, found, strict=True)],
                "False matches of a segment.",
            ),
            Table(
                ("SDRs of 40 in 2,048 bits", "published", "found"),
                [[str(items), f"{theirs:.3g}", f"{ours:.4e}"]
                 for (items, theirs), ours in zip(_PUBLISHED_UNIONS, unions, strict=True)],
                "False containment in a union.",
            ),
            Table(
                ("threshold", "law", "counted", "standard errors off"),
                [[str(row["theta"]), f"{row['law']:.5f}", f"{row['counted']:.5f}", f"{row['off']:+.2f}"]
                 for row in matches],
                f"{draws:,} random SDRs of {_ACTIVE} in {_CELLS}, on a segment of {_SYNAPSES} synapses.",
            ),
            Table(
                ("items", "unions", "stated bound", "law at this fill", "counted"),
                [[f"{row['items']:,}", str(row["unions"]), f"{row['bound']:.3g}", f"{row['expected']:.4f}",
                  f"{row['counted']:.4f}"] for row in filters],
                "Filter of 512 bits, 20 of them on, with an error of at most 0.002 per union.",
            ),
        ),
        figures={"false_positive": found, "unions": unions, "monte_carlo": matches, "filter": filters},
        limits=(
            Limit("published numbers met to their digits", "at least", 1.0, float(np.mean(same))),
            Limit("threshold 3: counted beside the law", "at most", 3.0, abs(matches[2]["off"]), "standard errors"),
            Limit(
                "filter: counted beside the stated bound", "at most", 1.0,
                max(row["counted"] / row["bound"] for row in filters), why="bound times unions, at every size",
            ),
        ),
        charts={"sdr_union": _chart(setting)},
    )  # fmt: skip


def _matches(draws: int, seed: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    places = rng.permuted(np.tile(np.arange(_CELLS, dtype=np.int16), (draws, 1)), axis=1)[:, :_ACTIVE]
    shared = (places < _SYNAPSES).sum(axis=1)
    rows = []
    for theta in range(1, 7):
        law, counted = sdr.false_positive(_CELLS, _ACTIVE, _SYNAPSES, theta), float((shared >= theta).mean())
        error = (law * (1 - law) / draws) ** 0.5
        rows.append({"theta": theta, "law": law, "counted": counted, "off": (counted - law) / error})
    return rows


def _filter(setting: Setting) -> list[dict[str, Any]]:
    rng = np.random.default_rng(setting.seeds[0])
    spec = sdr.SdrFilterSpec(length=512, active=20, error=0.002, unions=200)
    memory, new = sdr.SdrFilter(spec), _random(rng, 300 if setting.quick else 5_000, 512, 20)
    rows: list[dict[str, Any]] = []
    for items in (20, 100) if setting.quick else (20, 100, 300, 1_000):
        for key in _random(rng, items - memory.load().items, 512, 20):
            memory.write(key)
        unions = len(memory.state_dict()["starts"])
        rows.append(
            {
                "items": items,
                "unions": unions,
                "bound": unions * spec.error,
                "expected": memory.load().expected_error,
                "counted": float(np.mean([memory.contains(key) for key in new])),
            }
        )
    return rows


def _chart(setting: Setting) -> str:
    rng = np.random.default_rng(setting.seeds[0])
    sizes, trials = (10, 20, 30, 40, 50, 60, 80, 100, 140), 200 if setting.quick else 2_000
    counted = []
    for items in sizes:
        codes = _random(rng, trials // 10 * items, 512, 20).reshape(trials // 10, items, 512)
        unions, new = codes.max(axis=1), _random(rng, trials, 512, 20).astype(np.int64)
        counted.append((items, float((new @ unions.T == 20).mean())))
    return line_chart(
        {
            "law, p^20": [(items, sdr.union_contains(512, 20, items)) for items in sizes],
            "counted": counted,
        },
        title="A random SDR in the union of others (20 of 512 bits)",
        x_label="SDRs in the union",
        y_label="falsely contained",
        y_range=None,
    )


def _random(rng: np.random.Generator, count: int, length: int, active: int) -> Any:
    bits = np.zeros((count, length), dtype=np.uint8)
    places = rng.permuted(np.tile(np.arange(length, dtype=np.int16), (count, 1)), axis=1)[:, :active]
    np.put_along_axis(bits, places.astype(np.intp), np.uint8(1), axis=1)
    return bits
