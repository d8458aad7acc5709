"""Sparsey on MNIST: one pass, each image once, local rules only; in any order of the classes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anamnos.associative.readouts import FORMS, ClassField, Form
from anamnos.associative.sparsey.classifier import SparseyClassifier
from anamnos.associative.sparsey.csa import CsaParameters
from anamnos.associative.sparsey.net import MacGrid, SparseyNet
from anamnos.bench.associative.experiment import Experiment, Setting, Table
from anamnos.bench.associative.images import Images, digits, mnist
from anamnos.bench.limits import Limit
from anamnos.bench.plots import line_chart

_GRID = MacGrid()
_SMALL = MacGrid(side=5, stride=1, units=256, gate=0.9, freeze_unit=0.3)  # for 8 x 8 pixels
_SIZES = (1_000, 2_000, 5_000, 20_000, 60_000)
_FIRST = 5_000  # items of the critical period
_ABLATED = 20_000
_CHUNK = 500
_NO_GATE = 2.0  # more familiar than anything is
Bits = NDArray[np.uint8]
Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Task:
    """Images as input bits and as grey from 0 to 1, to learn from and to test with; how long the encoding took."""

    train: Bits
    train_labels: Labels
    test: Bits
    test_labels: Labels
    grey: tuple[NDArray[np.float32], NDArray[np.float32]]
    shape: tuple[int, int, int]
    grid: MacGrid
    encode_s: float
    test_encode_s: float


@dataclass(frozen=True, slots=True)
class _Run:
    """Accuracy by (items, form of the readout), and seconds; megabytes of weights and links."""

    right: Mapping[tuple[int, Form], float]
    learn_s: float
    read_s: float
    megabytes: float

    def at(self, form: Form, items: int | None = None) -> float:
        return self.right[items or max(size for size, _ in self.right), form]


def run(setting: Setting) -> Experiment:
    """Learn MNIST in several orders and sizes, beside what sees the same bits; small digits if it is not at hand."""
    real = setting.data is not None and not setting.quick
    seeds = setting.seeds[:1] if setting.quick else setting.seeds
    task = _mnist(setting) if real else _digits(setting)
    count = len(task.train)
    sizes = [*(size for size in _SIZES if size < count), count]
    first = min(_FIRST, count // 4)
    runs: dict[str, list[_Run]] = {"mixed": [], "sorted": [], "frozen": [], "frozen, sorted": []}
    for place, seed in enumerate(seeds):
        setting.progress("orders and sizes", place, len(seeds))
        mixed = np.random.default_rng(seed).permutation(count)
        by_class = mixed[np.argsort(task.train_labels[mixed], kind="stable")]
        runs["mixed"].append(_learn(task, mixed, seed, sizes))
        runs["sorted"].append(_learn(task, by_class, seed, [count]))
        for name, order in (("frozen", mixed), ("frozen, sorted", by_class)):
            runs[name].append(_learn(task, order, seed, [count], first=mixed[:first]))
    setting.progress("baselines", 0, 2)
    baselines = _baselines(task, sizes, setting)
    setting.progress("ablations", 1, 2)
    ablations = _ablations(task, seeds[0] if setting.quick else seeds[-1], min(_ABLATED, count))
    return Experiment(
        "sparsey_mnist",
        "Sparsey on MNIST" if real else "Sparsey on 8 x 8 digits",
        _said(task, real, first),
        [
            _by_size(runs["mixed"], baselines, sizes),
            _by_order(runs, baselines),
            _ablated(ablations),
            _costs(task, runs),
        ],
        {
            "runs": {name: [_json(one) for one in several] for name, several in runs.items()},
            "baselines": {name: dict(values) for name, values in baselines.items()},
            "ablations": ablations,
            "encode_s": task.encode_s,
        },
        _limits(task, runs) if real else [],
        {"sparsey_mnist": _chart(runs["mixed"], baselines)} if real else {},
    )


# --- data


def _mnist(setting: Setting) -> _Task:
    assert setting.data is not None  # noqa: S101  (asked before)
    images = mnist(setting.data)
    encoder = SparseyClassifier()
    train, encode_s = _encoded(encoder, images.train)
    test, test_s = _encoded(encoder, images.test)
    grey = images.train, images.test
    return _Task(train, images.train_labels, test, images.test_labels, grey, (14, 14, 12), _GRID, encode_s, test_s)


def _digits(setting: Setting) -> _Task:
    images = digits(0)
    if setting.quick:
        images = Images(*(part[:150] for part in images))  # type: ignore[arg-type]
    encoder = SparseyClassifier(code="bits", threshold=7 / 16, stand=False)
    train, encode_s = _encoded(encoder, images.train, 1)
    test, test_s = _encoded(encoder, images.test, 1)
    grey = images.train, images.test
    return _Task(train, images.train_labels, test, images.test_labels, grey, (8, 8, 1), _SMALL, encode_s, test_s)


def _encoded(encoder: SparseyClassifier, images: NDArray[np.float32], scale: int = 255) -> tuple[Bits, float]:
    start = time.process_time()
    parts = [encoder.encode(images[at : at + 1_000] * scale) for at in range(0, len(images), 1_000)]
    return np.concatenate(parts), time.process_time() - start


# --- learning


def _learn(
    task: _Task, order: NDArray[np.int64], seed: int, sizes: Sequence[int], *, first: NDArray[np.int64] | None = None,
    grid: MacGrid | None = None, net: SparseyNet | None = None,
) -> _Run:  # fmt: skip
    """Learn items in order, and test at some sizes; the features from ``first`` alone, without labels, if given."""
    net = net or SparseyNet(task.shape, (grid or task.grid,), seed)
    field = ClassField(net.size, int(task.train_labels.max()) + 1)
    right: dict[tuple[int, Form], float] = {}
    learn_s = read_s = 0.0
    if first is not None:
        start = time.process_time()
        net.learn(task.train[first])
        net.freeze()
        learn_s += time.process_time() - start
    done = 0
    for size in sizes:
        start = time.process_time()
        for at in range(done, size, _CHUNK):
            items = order[at : min(at + _CHUNK, size)]
            field.observe(net.units(net.learn(task.train[items])), task.train_labels[items])
        learn_s, done = learn_s + time.process_time() - start, size
        start = time.process_time()
        units = net.units(net.read(task.test))
        read_s = time.process_time() - start
        for form in FORMS:
            found = field.evidence(units, form).argmax(axis=1)
            right[size, form] = float((found == task.test_labels).mean())
    held = sum(level.weights.nbytes for level in net.grids) + field.counts.nbytes
    return _Run(right, learn_s, read_s, held / 1e6)


def _ablations(task: _Task, seed: int, count: int) -> dict[str, dict[str, float]]:
    """Return the accuracy of nets that lack a part."""
    order = np.random.default_rng(seed).permutation(len(task.train))[:count]
    free = replace(task.grid, gate=_NO_GATE, freeze_unit=1.0)
    whole = SparseyNet(task.shape, (task.grid,), seed)
    whole.learn(task.train[order])
    nets: dict[str, tuple[MacGrid, SparseyNet | None]] = {
        "as it is": (task.grid, None),
        "no gate": (replace(task.grid, gate=_NO_GATE), None),
        "no unit freezing": (replace(task.grid, freeze_unit=1.0), None),
        "no gate and no freezing": (free, None),
        "uniform choice (chi 0)": (replace(task.grid, parameters=CsaParameters(chi=0)), None),
        "random weights, as full, nothing learnt": (task.grid, _random(task, whole, seed)),
    }
    found: dict[str, dict[str, float]] = {}
    for name, (grid, net) in nets.items():
        one = _learn(task, order, seed, [count], grid=grid, net=net)
        found[name] = {form: one.at(form) for form in FORMS}
    return found


def _random(task: _Task, like: SparseyNet, seed: int) -> SparseyNet:
    """Return a frozen net whose units have as many weights set as those of another, but at random."""
    net, rng = SparseyNet(task.shape, like.levels, seed), np.random.default_rng(seed)
    grid, level = like.levels[0], net.grids[0]
    inputs, words = level.fields.shape[1], level.weights.shape[2] // grid.modules
    for mac, filled in enumerate(like.grids[0].filled):
        on = np.zeros((inputs, grid.modules, 64 * words), dtype=np.uint8)
        on[..., : grid.units] = rng.random((inputs, *filled.shape), dtype=np.float32) < filled / inputs
        packed = np.packbits(on, axis=-1, bitorder="little")
        level.weights[mac] = packed.reshape(inputs, -1).view("<u8")
        level.filled[mac] = on[..., : grid.units].sum(axis=0)
    net.freeze()
    return net


# --- what sees the same


def _baselines(task: _Task, sizes: Sequence[int], setting: Setting) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {"naive Bayes on the same bits": {}, "1-NN on the same bits": {}}
    for size in sizes:
        bits, labels = task.train[:size], task.train_labels[:size]
        found["naive Bayes on the same bits"][str(size)] = _naive_bayes(task, bits, labels)
        found["1-NN on the same bits"][str(size)] = _nearest(task, bits, labels)
    mixed = np.random.default_rng(0).permutation(len(task.train))
    by_class = mixed[np.argsort(task.train_labels[mixed], kind="stable")]
    found["MLP by SGD on grey, one pass"] = {
        name: float(np.mean([_mlp(task, order, seed) for seed in setting.seeds]))
        for name, order in (("mixed", mixed), ("sorted", by_class))
    }
    return found


def _naive_bayes(task: _Task, bits: Bits, labels: Labels) -> float:
    classes = int(task.train_labels.max()) + 1
    on = np.stack([bits[labels == one].sum(axis=0, dtype=np.float64) for one in range(classes)])
    seen = np.bincount(labels, minlength=classes).astype(np.float64)[:, None]
    likely = (on + 1) / (seen + 2)
    scores = task.test.astype(np.float32) @ (np.log(likely) - np.log(1 - likely)).T.astype(np.float32)
    scores = scores + np.log(1 - likely).sum(axis=1) + np.log(np.maximum(seen[:, 0], 1e-9))
    return float((scores.argmax(axis=1) == task.test_labels).mean())


def _nearest(task: _Task, bits: Bits, labels: Labels) -> float:
    """Return the accuracy of the nearest by cosine, on every fifth item of the test."""
    cues = task.test[::5].astype(np.float32)
    best, found = np.full(len(cues), -1.0, dtype=np.float32), np.zeros(len(cues), dtype=np.int64)
    for at in range(0, len(bits), 2_000):
        known = bits[at : at + 2_000].astype(np.float32)
        cosine = cues @ known.T / np.sqrt(np.maximum(known.sum(axis=1), 1))
        near = cosine.argmax(axis=1)
        better = cosine[np.arange(len(cues)), near] > best
        best[better], found[better] = cosine[np.arange(len(cues)), near][better], labels[at + near[better]]
    return float((found == task.test_labels[::5]).mean())


def _mlp(task: _Task, order: NDArray[np.int64], seed: int, hidden: int = 128, rate: float = 0.1) -> float:
    """Return the accuracy of a small network after one pass of gradient descent, 32 at a time."""
    rng, classes = np.random.default_rng(seed), int(task.train_labels.max()) + 1
    train, test = task.grey
    into = rng.normal(scale=np.sqrt(2 / train.shape[1]), size=(train.shape[1], hidden)).astype(np.float32)
    out = rng.normal(scale=np.sqrt(1 / hidden), size=(hidden, classes)).astype(np.float32)
    wanted = np.eye(classes, dtype=np.float32)
    for at in range(0, len(order), 32):
        seen, labels = train[order[at : at + 32]], task.train_labels[order[at : at + 32]]
        inside = np.maximum(seen @ into, 0)
        scores = inside @ out
        odds = np.exp(scores - scores.max(axis=1, keepdims=True))
        wrong = (odds / odds.sum(axis=1, keepdims=True) - wanted[labels]) / len(seen)
        back = (wrong @ out.T) * (inside > 0)
        out -= rate * inside.T @ wrong
        into -= rate * seen.T @ back
    return float(((np.maximum(test @ into, 0) @ out).argmax(axis=1) == task.test_labels).mean())


# --- the page


def _said(task: _Task, real: bool, first: int) -> list[str]:
    grid = task.grid
    return [
        f"{len(task.train):,} images to learn from, each shown once, {len(task.test):,} to test with. A level of"
        f" {SparseyNet(task.shape, (grid,)).grids[0].shape[0]}^2 macs over {grid.side} x {grid.side} cells, each of"
        f" {grid.modules} modules of {grid.units} units; a mac to which its input is familiar (G >= {grid.gate:g})"
        f" learns nothing, a unit with {grid.freeze_unit:.0%} of its weights set learns no more. Units are linked to"
        " classes by counts, by a union, or by a window over the last 1,000 items of each class."
        + (" Images are set upright by their own moments; 12 directions of edges in 14 x 14 cells." if real else ""),
        "Settings were chosen on images 50,000 to 59,999 of the training set; the test set served only for what stands"
        " here." if real else "A small sample: the figures are no results.",
        "Class-sorted: one class after the other, nothing repeated, learning open all the time. Frozen: features from"
        f" {first:,} images without labels, then frozen; after that the order cannot matter for counts and union.",
    ]  # fmt: skip


def _mean(runs: Sequence[_Run], form: Form, items: int | None = None) -> float:
    return float(np.mean([one.at(form, items) for one in runs]))


def _cell(values: Sequence[float]) -> str:
    return f"{np.mean(values):.4f}" + (f" ({min(values):.4f} to {max(values):.4f})" if len(values) > 1 else "")


def _by_size(runs: Sequence[_Run], baselines: Mapping[str, Mapping[str, float]], sizes: Sequence[int]) -> Table:
    rows = [[f"Sparsey, {form}", *(_cell([one.at(form, size) for one in runs]) for size in sizes)] for form in FORMS]
    for name, values in baselines.items():
        if str(sizes[-1]) in values:
            rows.append([name, *(f"{values[str(size)]:.4f}" for size in sizes)])
    head = ("Accuracy after", *(f"{size:,} images" for size in sizes))
    return Table(head, rows, "Mean over the seeds (worst to best); 1-NN on every fifth image of the test.")


def _by_order(runs: Mapping[str, Sequence[_Run]], baselines: Mapping[str, Mapping[str, float]]) -> Table:
    pairs = (("open learning", "mixed", "sorted"), ("features frozen first", "frozen", "frozen, sorted"))
    rows = [
        [f"Sparsey, {name}, {form}", *(_cell([one.at(form) for one in runs[order]]) for order in (mixed, sorted_))]
        for name, mixed, sorted_ in pairs
        for form in FORMS
    ]
    name = "MLP by SGD on grey, one pass"
    rows.append([name, *(f"{baselines[name][order]:.4f}" for order in ("mixed", "sorted"))])
    return Table(("All images, one pass", "mixed", "class after class"), rows, "The order of the classes")


def _ablated(ablations: Mapping[str, Mapping[str, float]]) -> Table:
    rows = [[name, *(f"{values[form]:.4f}" for form in FORMS)] for name, values in ablations.items()]
    return Table(("Without a part", *FORMS), rows, f"Up to {_ABLATED:,} images, one seed")


def _costs(task: _Task, runs: Mapping[str, Sequence[_Run]]) -> Table:
    one = runs["mixed"]
    learn_s, read_s = (float(np.median([getattr(r, name) for r in one])) for name in ("learn_s", "read_s"))
    return Table(
        ("What", "all", "per image"),
        [
            ["encode to learn", f"{task.encode_s:.1f} s", f"{1e3 * task.encode_s / len(task.train):.2f} ms"],
            ["learn", f"{learn_s:.1f} s", f"{1e3 * learn_s / len(task.train):.2f} ms"],
            ["encode to test", f"{task.test_encode_s:.1f} s", f"{1e3 * task.test_encode_s / len(task.test):.2f} ms"],
            ["read", f"{read_s:.1f} s", f"{1e3 * read_s / len(task.test):.2f} ms"],
            ["weights in bits and class counts", f"{one[0].megabytes:.0f} MB", ""],
        ],
        "Processor time of one thread; median of the seeds",
    )


def _limits(task: _Task, runs: Mapping[str, Sequence[_Run]]) -> list[Limit]:
    mixed, sorted_ = (_mean(runs[name], "counts") for name in ("mixed", "sorted"))
    frozen = [abs(_mean(runs["frozen"], form) - _mean(runs["frozen, sorted"], form)) for form in FORMS[:2]]
    total = task.encode_s + task.test_encode_s + float(np.median([one.learn_s + one.read_s for one in runs["mixed"]]))
    return [
        Limit("MNIST, one pass, mean of the seeds", "at least", 0.965, mixed),
        Limit("MNIST, one pass, the aim", "at least", 0.98, mixed),
        Limit("class after class, learning open: loss", "at most", 0.01, mixed - sorted_),
        Limit("class after class, features frozen: loss", "at most", 1e-12, max(frozen)),
        Limit("minutes for all of MNIST on one core", "at most", 2.0, total / 60, "min"),
    ]


def _chart(runs: Sequence[_Run], baselines: Mapping[str, Mapping[str, float]]) -> str:
    sizes = sorted({size for size, _ in runs[0].right})
    series = {f"Sparsey, {form}": [(float(n), _mean(runs, form, n)) for n in sizes] for form in FORMS}
    for name in ("naive Bayes on the same bits", "1-NN on the same bits"):
        series[name] = [(float(size), baselines[name][str(size)]) for size in sizes]
    return line_chart(
        series, title="MNIST by images seen, each once", x_label="images", y_label="accuracy", log_x=True,
        y_range=(0.9, 1.0),
    )  # fmt: skip


def _json(one: _Run) -> dict[str, Any]:
    right = {f"{form} {size}": value for (size, form), value in one.right.items()}
    return {"right": right, "learn_s": one.learn_s, "read_s": one.read_s, "megabytes": one.megabytes}
