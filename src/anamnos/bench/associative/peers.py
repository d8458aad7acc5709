"""Beside public code: torchhd's memories, and CA3 on the Brian 2 simulator, where they are installed.

Each task runs ours and theirs in turns, in one process, on the same data. Packages that are not in this environment
may be in others: ``--peer FOLDER`` asks that environment's Python, as in ``anamnos bench compare``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from statistics import median
from typing import Any

import numpy as np

from anamnos.associative.kanerva import KanervaMemory, KanervaSpec
from anamnos.associative.spiking import CA3Memory, CA3Spec, Operation
from anamnos.bench.associative.experiment import Experiment, Setting, Table
from anamnos.bench.child import run_child, serve
from anamnos.bench.limits import Limit
from anamnos.bench.peers.setup import interpreter, own_code
from anamnos.bench.timing import significant

INSTALLS = ("torch-hd", "brian2", "numpy<2.4")
"""What pip is asked for, for an environment of the peers; Brian 2.9 does not start with a later NumPy."""
_ROUNDS = 5
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def run(setting: Setting) -> Experiment:
    """Return speed and accuracy beside theirs. A minute; without any peer it says which are missing."""
    request = {"seed": setting.seeds[0], "quick": setting.quick}
    answers = [measure(request)]
    for folder in setting.environments:
        command = [str(interpreter(folder)), "-m", "anamnos.bench.associative.peers"]
        answers.append(run_child(command, request, setting.progress, environment={**own_code(), **_ONE_THREAD}))
    rows = [row for answer in answers for row in answer["rows"]]
    missing = {name: why for name, why in answers[0]["missing"].items() if all(name in a["missing"] for a in answers)}
    said = [
        "The same task, in turns, in one process and one thread; seconds are medians. Ratios above 1: ours is faster.",
        *(f"{name} was not measured: {why}." for name, why in missing.items()),
    ]
    return Experiment(
        name="peers",
        title="Beside public code",
        said=said,
        tables=(
            Table(
                ("task", "peer", "ours, ms", "theirs, ms", "ratio", "ours right", "theirs right"),
                [[row["task"], row["peer"], f"{1000 * row['ours_s']:.4g}", f"{1000 * row['theirs_s']:.4g}",
                  f"{row['ratio']:.3g}", f"{row['ours_right']:.3f}", f"{row['theirs_right']:.3f}"] for row in rows],
            ),
        ),
        figures={"rows": rows, "missing": missing},
        limits=[
            Limit(f"{row['task']}: right, ours less {row['peer']}'s", "at least", 0.0,
                  row["ours_right"] - row["theirs_right"]) for row in rows
        ],
    )  # fmt: skip


def measure(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rows of the peers that this environment has, and why others are missing."""
    rows: list[dict[str, Any]] = []
    missing = {}
    for name, tasks in _TASKS.items():
        if find_spec(name) is None:
            missing[name] = "it is not installed"
            continue
        try:
            for task in tasks:
                rows += task(int(request["seed"]), bool(request["quick"]))
        except (ImportError, AttributeError) as exc:  # installed, but not for the other packages that are there
            missing[name] = f"it does not run here ({exc})"
    return {"rows": rows, "missing": missing}


def _row(task: str, peer: str, ours: Callable[[], Any], theirs: Callable[[], Any], right: Any) -> dict[str, Any]:
    """Time both in turns; ``right`` tells how much of an answer is."""
    times: tuple[list[float], list[float]] = ([], [])
    answers: list[Any] = [ours(), theirs()]  # once to warm up
    for turn in range(_ROUNDS):
        for which in (0, 1) if turn % 2 else (1, 0):
            start = time.perf_counter()
            answers[which] = (ours, theirs)[which]()
            times[which].append(time.perf_counter() - start)
    ours_s, theirs_s = median(times[0]), median(times[1])
    return {
        "task": task,
        "peer": peer,
        "ours_s": significant(ours_s),
        "theirs_s": significant(theirs_s),
        "ratio": significant(theirs_s / ours_s),
        "ours_right": right(answers[0]),
        "theirs_right": right(answers[1]),
    }


def _attention(seed: int, quick: bool) -> list[dict[str, Any]]:
    """Retrieve 20 noisy cues, one by one, from 10,000 unit vectors of 64 dimensions."""
    import torch
    from torchhd import memory as peer

    from anamnos.bench.associative.hopfield import memory_of, unit_vectors

    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    vectors = unit_vectors(rng, 500 if quick else 10_000, 64)
    asked = rng.choice(len(vectors), 20, replace=False)
    cues = vectors[asked] + rng.normal(scale=0.3 / 8, size=(20, 64)).astype(np.float32)
    slots, theirs = memory_of(vectors, 20.0), torch.from_numpy(vectors)

    def ours() -> Any:
        return np.stack([slots.read(cue, steps=1)[0].code for cue in cues])

    def attention() -> Any:
        return np.stack([peer.attention(cue, theirs, theirs, beta=20.0).numpy() for cue in torch.from_numpy(cues)])

    def right(found: Any) -> float:
        return float(((found * vectors[asked]).sum(axis=1) / np.linalg.norm(found, axis=1) > 0.999).mean())

    return [_row("modern Hopfield, 20 cues one by one", "torchhd attention", ours, attention, right)]


def _distributed(seed: int, quick: bool) -> list[dict[str, Any]]:
    """Write 50 words of 256 bits, and read each from a cue with a fifth of wrong bits, in at most 20 steps."""
    import torch
    from torchhd import memory as peer

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    locations, words = 2_000 if quick else 20_000, rng.integers(0, 2, (50, 256), dtype=np.uint8)
    flips = np.stack([rng.permutation(256) < 51 for _ in words])
    cues = words ^ flips
    ours = KanervaMemory(KanervaSpec(locations=locations, fraction=0.01, on_full="grow", seed=seed))
    theirs = peer.SparseDistributed(locations, 256, 256, p=0.0103)
    theirs.values.data.zero_()
    signs = torch.from_numpy(2.0 * words - 1).float()

    def write_ours() -> Any:
        memory = KanervaMemory(KanervaSpec(locations=locations, fraction=0.01, on_full="grow", seed=seed))
        for word in words:
            memory.write(word)
        return np.ones(1)

    def write_theirs() -> Any:
        memory = peer.SparseDistributed(locations, 256, 256, p=0.0103)
        memory.values.data.zero_()
        for sign in signs:
            memory.write(sign, sign)
        return np.ones(1)

    def read_ours() -> Any:
        return np.stack([ours.read(cue)[0].code for cue in cues])

    def read_theirs() -> Any:
        found = []
        for cue in torch.from_numpy(2.0 * cues - 1).float():
            state = cue
            for _ in range(20):
                sums = theirs.read(state).as_subclass(torch.Tensor)
                moved = torch.where(sums == 0, state, sums.sign())
                if torch.equal(moved, state):
                    break
                state = moved
            found.append((state > 0).numpy().astype(np.uint8))
        return np.stack(found)

    for word, sign in zip(words, signs, strict=True):
        ours.write(word)
        theirs.write(sign, sign)
    name = f"sparse distributed memory, {locations:,} locations"
    return [
        _row(f"{name}: make, and 50 writes", "torchhd", write_ours, write_theirs, lambda done: float(done.mean())),
        _row(
            f"{name}: 50 reads", "torchhd", read_ours, read_theirs, lambda found: float((found == words).all(1).mean())
        ),
    ]


def _spiking(seed: int, quick: bool) -> list[dict[str, Any]]:
    """Recall patterns of 8 cells of 200 from half on Brian 2, with the same links, and compare all spikes."""
    from anamnos.bench.associative.peer_brian import BrianRecall

    rng = np.random.default_rng(seed)
    memory = CA3Memory(CA3Spec(seed=seed))
    cues = np.zeros((50, 200), dtype=np.bool_)
    for cue in cues:
        cells = rng.choice(200, 8, replace=False)
        memory.write(np.isin(np.arange(200), cells).astype(np.uint8))
        cue[cells[:4]] = True
    cues, network = cues[: 1 if quick else 10], memory.network
    brian = BrianRecall(network, steps=4)

    def ours() -> Any:
        return np.stack([network.run(Operation.RECALL, cue) for cue in cues])

    expected = ours()
    row = _row(
        f"CA3: {len(cues)} recalls, each started anew; right: equal spikes",
        "Brian 2 (NumPy target)",
        ours,
        lambda: np.stack([brian.run(cue) for cue in cues]),
        lambda spikes: float((spikes == expected).all(axis=(1, 2)).mean()),
    )
    return [row]


_TASKS: Mapping[str, Sequence[Callable[[int, bool], list[dict[str, Any]]]]] = {
    "torchhd": (_attention, _distributed),
    "brian2": (_spiking,),
}

if __name__ == "__main__":
    sys.exit(serve(lambda request: measure(request)))  # type: ignore[func-returns-value]
