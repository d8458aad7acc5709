"""Continual learning: classes that come one after the other, inputs that drift, few examples, feedback."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from anamnos.bench.associative.class_incremental import after_each_pair, learners, rotations
from anamnos.bench.associative.experiment import Experiment, Setting, Table
from anamnos.bench.associative.images import Images, digits, mnist
from anamnos.bench.associative.permuted_digits import Guarding, forgetting
from anamnos.bench.associative.tagged_texts import (
    SETS,
    Tagged,
    from_examples,
    given_unasked,
    with_feedback,
    without_examples,
)
from anamnos.bench.limits import Limit
from anamnos.bench.plots import line_chart
from anamnos.errors import AnamnosError

_ANGLES = tuple(range(0, 61, 10))
_EXAMPLES = (1, 5, 20)
_BOTTLENECK, _PROTOTYPES, _HEAD = "key-value bottleneck", "prototypes (ProtoCL)", "linear head, SGD"


class _Page:
    """What the parts of the experiment add to."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.tables: list[Table] = []
        self.figures: dict[str, Any] = {}
        self.limits: list[Limit] = []
        self.charts: dict[str, str] = {}


def run(setting: Setting) -> Experiment:
    """Measure the discrete key-value bottleneck, AdaNPC, dual memory networks, ProtoCL and orthogonal projection."""
    page = _Page()
    parts: list[tuple[str, Callable[[_Page, Setting], None]]] = [
        ("classes of digits", _digits),
        ("rotated digits", _rotated),
        ("classes of MNIST", _mnist),
        ("permuted tasks", _permuted),
        ("texts", _texts),
    ]
    for number, (name, part) in enumerate(parts):
        setting.progress(name, number, len(parts))
        part(page, setting)
    return Experiment("continual", "Continual learning", page.said, page.tables, page.figures, page.limits, page.charts)


def _digits(page: _Page, setting: Setting) -> None:
    page.said.append(
        "Ten classes come in five pairs, each once; after each pair all ten are tested. Digits: 8 x 8 pixels as they"
        " are, 1,200 to learn from and 597 to test with, split and order of classes drawn anew per seed."
        " The bottleneck has 64 heads of 256 keys."
    )
    runs: dict[str, list[list[float]]] = {}
    for seed in _seeds(setting):
        images = _some(digits(seed), setting)
        for order in _orders(seed):
            for name, make in learners(images, seed).items():
                runs.setdefault(name, []).append(after_each_pair(make, images, order))
    _after_each(page, "digits", runs)
    last = {name: np.array(lines)[:, -1] for name, lines in runs.items()}
    page.limits += [
        Limit("digits in pairs: key-value bottleneck", "at least", 0.85, float(last[_BOTTLENECK].mean())),
        Limit("digits in pairs: linear head", "at most", 0.30, float(last[_HEAD].mean()), why="the contrast"),
        Limit("digits in pairs: effect of the order on the bottleneck", "at most", 0.03, _by_order(last[_BOTTLENECK])),
        Limit("digits in pairs: ProtoCL", "at least", 0.88, float(last[_PROTOTYPES].mean())),
        Limit("digits in pairs: effect of the order on ProtoCL", "at most", 1e-9, _by_order(last[_PROTOTYPES])),
    ]


def _mnist(page: _Page, setting: Setting) -> None:
    if setting.data is None or setting.quick:
        return
    images = mnist(setting.data)
    runs = {name: [after_each_pair(make, images, range(10))] for name, make in learners(images, 0).items()}
    page.said.append(
        "MNIST: all 60,000 and 10,000 images, raw pixels, the pairs in the order of the digits, one seed; the"
        " neighbours keep 1,000 images per pair."
    )
    _after_each(page, "mnist", runs)


def _after_each(page: _Page, name: str, runs: Mapping[str, Sequence[Sequence[float]]]) -> None:
    mean = {learner: np.mean(lines, axis=0) for learner, lines in runs.items()}
    page.figures[f"pairs_of_{name}"] = {learner: np.round(lines, 4).tolist() for learner, lines in runs.items()}
    page.tables.append(
        Table(
            ("learner", *(f"after {2 * n} classes" for n in range(1, 6))),
            [(learner, *(f"{value:.3f}" for value in line)) for learner, line in mean.items()],
            f"Accuracy on all ten classes, {name}",
        )
    )
    page.charts[f"continual_{name}"] = line_chart(
        {learner: [(2.0 * n, float(v)) for n, v in enumerate(line, 1)] for learner, line in mean.items()},
        title=f"Classes in pairs, each seen once ({name})",
        x_label="classes that came",
        y_label="accuracy on all ten",
    )


def _rotated(page: _Page, setting: Setting) -> None:
    angles = _ANGLES[::3] if setting.quick else _ANGLES
    found = [rotations(_some(digits(seed), setting), angles, seed) for seed in _seeds(setting)]
    frozen = np.mean([[at.frozen for at in run] for run in found], axis=0)
    adapting = np.mean([[at.adapting for at in run] for run in found], axis=0)
    page.said.append(
        "Digits that turn: a memory of upright digits sees the test images at 0°, then at 10°, to 60°, without labels."
        " AdaNPC keeps its sure guesses; the frozen memory does not. Accuracy counts each guess as it was made."
    )
    rows = [(f"{a}°", f"{f:.3f}", f"{k:.3f}") for a, f, k in zip(angles, frozen, adapting, strict=True)]
    page.tables.append(Table(("angle", "frozen", "keeps its guesses"), rows, "AdaNPC on rotated digits"))
    page.figures["rotated"] = {"degrees": list(angles), "frozen": frozen.tolist(), "adapting": adapting.tolist()}
    far = np.array(angles) >= 40
    gain = float((adapting - frozen)[far].mean())
    page.limits.append(Limit("rotated digits, 40° to 60°: gain of AdaNPC", "at least", 0.05, gain))
    page.charts["continual_rotated"] = line_chart(
        {
            "frozen": [(float(a), float(v)) for a, v in zip(angles, frozen, strict=True)],
            "keeps its guesses": [(float(a), float(v)) for a, v in zip(angles, adapting, strict=True)],
        },
        title="Digits that turn, without labels",
        x_label="degrees",
        y_label="accuracy",
    )


def _permuted(page: _Page, setting: Setting) -> None:
    if setting.quick or importlib.util.find_spec("torch") is None:
        page.said.append("Orthogonal projection (HLOP) is not measured here: PyTorch is not installed, or it is quick.")
        return
    page.said.append(
        "Orthogonal projection: an MLP learns tasks whose pixels are shuffled anew, by SGD. The subspaces of earlier"
        " tasks are learnt by the Hebbian rule, or worked out exactly. 64 inputs have no room for five tasks that need"
        " some 20 directions each: there the exact subspaces forget as much."
    )
    small = digits(0)
    cases: list[tuple[str, Images, dict[str, Any]]] = [
        ("digits, 64-100-10, 5 tasks", small, {"directions": (12, 18)}),
        ("digits, 64-100-10, 3 tasks", small, {"directions": (20, 30), "tasks": 3}),
    ]
    if setting.data is not None:
        pick = mnist(setting.data)
        part = Images(
            pick.train[:5_000], pick.train_labels[:5_000], pick.train[50_000:52_000], pick.train_labels[50_000:52_000]
        )
        cases.append(("MNIST, 784-200-10, 5 tasks", part, {"directions": (140, 36), "hidden": 200, "epochs": 5}))
    ways: tuple[Guarding, ...] = ("none", "hebbian", "exact")
    rows = []
    for name, images, how in cases:
        x, y = np.concatenate([images.train, images.test]), np.concatenate([images.train_labels, images.test_labels])
        seeds = setting.seeds if "digits" in name else setting.seeds[:1]
        runs = {w: [forgetting(x, y, guard=w, seed=s, train=len(images.train), **how) for s in seeds] for w in ways}
        lost = {way: float(np.mean([run.mean_forgetting for run in found])) for way, found in runs.items()}
        final = {way: float(np.mean([run.after[-1] for run in found])) for way, found in runs.items()}
        rows += [(name, way, f"{lost[way]:.3f}", f"{final[way]:.3f}") for way in ways]
        page.figures[f"permuted {name}"] = {"forgetting": lost, "final": final}
        page.limits.append(Limit(f"forgetting, guarded: {name}", "at most", 0.03, lost["hebbian"]))
        if "5 tasks" in name and "digits" in name:
            page.limits.append(
                Limit(f"forgetting, plain SGD: {name}", "at least", 0.25, lost["none"], why="the contrast")
            )
            page.charts["continual_permuted"] = line_chart(
                {
                    w: [(n, float(v)) for n, v in enumerate(np.mean([r.after for r in runs[w]], axis=0), 1)]
                    for w in ways
                },
                title="Five tasks of shuffled pixels (digits)",
                x_label="tasks learnt",
                y_label="mean accuracy on them",
            )
    page.tables.append(Table(("tasks", "subspaces", "forgetting", "accuracy in the end"), rows, "Shuffled pixels"))


def _texts(page: _Page, setting: Setting) -> None:
    if setting.data is None or setting.quick:
        return
    from anamnos.embed import resolve_embedder

    try:
        embedder = resolve_embedder("minilm-int8")
        sets = [load(setting.data, embedder, each=60) for load in SETS]
    except AnamnosError as exc:
        page.said.append(f"Texts are not measured here: {exc}")
        return
    page.said.append(
        "Tags of real texts (MiniLM): prompts of CounterFact by their relation, tagged are rephrasings about other"
        " subjects; what users said in PersonaMem by the topic of their history, tagged are other conversations."
        " Feedback: half of the texts come one by one and are corrected where they are wrong, the other half is tested."
    )
    for tagged in sets:
        _of_set(page, tagged, setting)
    unasked = {
        (tagged.title, count): _means([given_unasked(tagged, other, count, seed) for seed in setting.seeds])
        for tagged, other in zip(sets, reversed(sets), strict=True)
        for count in _EXAMPLES
    }
    page.figures["given_unasked"] = {f"{title}, {count}": found for (title, count), found in unasked.items()}
    page.tables.append(
        Table(
            ("set", "examples per tag", "first one right", "given a tag", "of these right", "other texts given one"),
            [(title, str(count), *(f"{v:.3f}" for v in found.values())) for (title, count), found in unasked.items()],
            "Suggestions, and tags given unasked (setting tagging = auto)",
        )
    )


def _of_set(page: _Page, tagged: Tagged, setting: Setting) -> None:
    zero = _means([without_examples(tagged, seed) for seed in setting.seeds])
    few = {count: _means([from_examples(tagged, count, seed) for seed in setting.seeds]) for count in _EXAMPLES}
    fed = {
        (policy, count): _means([with_feedback(tagged, count, seed, policy) for seed in setting.seeds])
        for policy in ("knn", "dual", "prototype")
        for count in _EXAMPLES
    }
    page.figures[tagged.title] = {
        "tags": len(tagged.tags),
        "without_examples": zero,
        "from_examples": {str(count): found for count, found in few.items()},
        "with_feedback": {f"{policy}, {count}": found for (policy, count), found in fed.items()},
    }
    methods = list(few[_EXAMPLES[0]])
    page.tables += [
        Table(
            ("method", *(f"{count} per tag" for count in _EXAMPLES)),
            [(method, *(f"{few[count][method]:.3f}" for count in _EXAMPLES)) for method in methods],
            f"Accuracy by examples, {tagged.title}, {len(tagged.tags)} tags",
        ),
        Table(
            ("policy", "examples per tag", "alone", "keeps sure guesses", "with feedback"),
            [(policy, str(count), *(f"{v:.3f}" for v in found.values())) for (policy, count), found in fed.items()],
            f"Accuracy with and without feedback, {tagged.title}",
        ),
    ]
    best = zero["DMN afterwards"]
    page.limits.append(Limit(f"{tagged.title}: DMN without an example", "at least", zero["names alone"], best))
    page.charts[f"continual_{tagged.title.split()[0]}"] = line_chart(
        {method: [(float(count), few[count][method]) for count in _EXAMPLES] for method in methods},
        title=f"Tags from few examples: {tagged.title}",
        x_label="examples per tag",
        y_label="accuracy",
        log_x=True,
    )


def _means(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: round(float(np.mean([run[name] for run in runs])), 4) for name in runs[0]}


def _seeds(setting: Setting) -> tuple[int, ...]:
    return setting.seeds[:1] if setting.quick else setting.seeds


def _orders(seed: int) -> list[list[int]]:
    return [list(range(10)), np.random.default_rng([seed, 3]).permutation(10).tolist()]


def _by_order(last: Any) -> float:
    """Return the largest difference between the two orders of one seed."""
    return float(np.abs(np.diff(np.reshape(last, (-1, 2)), axis=1)).max())


def _some(images: Images, setting: Setting) -> Images:
    if not setting.quick:
        return images
    return Images(images.train[:200], images.train_labels[:200], images.test[:60], images.test_labels[:60])
