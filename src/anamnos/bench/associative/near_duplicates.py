"""Near duplicates of texts: which signal tells them from unseen texts, and what it costs, by the number stored."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anamnos.associative.base import CapacityWarning
from anamnos.associative.codes import TopK
from anamnos.associative.sparsey.belief import BeliefMemory, BeliefSpec
from anamnos.associative.sparsey.csa import familiarity
from anamnos.bench.associative.experiment import Experiment, Setting, Table
from anamnos.bench.index.texts import embed_texts, sentences
from anamnos.bench.limits import Limit
from anamnos.bench.plots import line_chart
from anamnos.embed import resolve_embedder
from anamnos.embed.base import Embedder, Vectors
from anamnos.system.novelty import WORDS, keys_of

SIZES, _QUICK_SIZES = (1_000, 10_000, 100_000), (50, 150)
ASKED, _QUICK_ASKED = 1_000, 40  # duplicates, and unseen texts
CHOSEN_ON = 102_000  # sentences at the start that parameters were chosen on; those reported on come after
LIKE = 0.6  # share of words in common from which an unseen text is a near duplicate itself
AT_LEAST, FLAT = 0.95, 1.2
_EMBEDDED = 200  # characters, as in ``embed_texts``
_ROUNDS, _TIMED = 7, 100
_MAC = (24, 256)  # modules, units of the one coding field
_METHODS = {
    "belief": "belief, fixed time",
    "all codes": "belief over all codes",
    "cosine": "cosine of meaning",
    "key": "cosine of the key",
    "bits": "bits in common",
    "G": "G of one mac",
}
Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Texts:
    """Stored and unseen sentences with their vectors; what a duplicate says comes from ``_shortened``."""

    stored: Sequence[str]
    unseen: Sequence[str]
    stored_vectors: Vectors
    unseen_vectors: Vectors
    embedder: Embedder


def run(setting: Setting) -> Experiment:
    """Return areas under the curve (AUC) of several signals of being known, and times, by the number stored.

    A full run takes some 4 minutes of CPU time per seed, and 3 more for vectors that ``setting.cache`` does not hold.
    """
    texts = _texts(setting)
    sizes = _QUICK_SIZES if setting.quick else SIZES
    runs = []
    for done, seed in enumerate(setting.seeds):
        setting.progress("near duplicates: seeds", done, len(setting.seeds))
        runs.append(_measured(texts, sizes, _QUICK_ASKED if setting.quick else ASKED, seed))
    figures = {str(size): _mean([each[size] for each in runs]) for size in sizes}
    ratios = {verb: max(_flat(each, verb) for each in runs) for verb in ("write_ms", "read_ms")}
    first, last = figures[str(sizes[0])], figures[str(sizes[-1])]
    limits = [
        Limit(f"AUC of belief at {sizes[0]:,} stored", "at least", AT_LEAST, first["auc"]["belief"]),
        Limit(f"AUC of belief at {sizes[-1]:,} stored", "at least", AT_LEAST, last["auc"]["belief"]),
        *(
            Limit(f"time of a {verb.split('_')[0]} at {sizes[-1]:,} by that at {sizes[0]:,}", "at most", FLAT, ratio)
            for verb, ratio in ratios.items()
        ),
    ]
    lines = {name: [(float(size), figures[str(size)]["auc"][key]) for size in sizes] for key, name in _METHODS.items()}
    chart = line_chart(
        lines, title="Near duplicates", x_label="sentences stored", y_label="AUC", log_x=True, y_range=(0.5, 1.0)
    )
    return Experiment(
        "near_duplicates",
        "Near duplicates of texts in fixed time",
        _said(texts, sizes),
        _tables(figures),
        {"sizes": figures, "ratios": ratios, "embedder": texts.embedder.id, "words": WORDS},
        limits,
        {"near-duplicates": chart},
    )


def _said(texts: _Texts, sizes: Sequence[int]) -> list[str]:
    return [
        f"Sentences of books, encyclopedias and chats, as vectors of {texts.embedder.id}. A duplicate is a stored"
        " sentence without one or two of its words and in lower case; unseen are sentences that are not stored. AUC is"
        " the chance that a duplicate gets a higher signal than an unseen sentence."
        f" Parameters were chosen on the first {CHOSEN_ON:,} sentences; these figures are of later ones.",
        f"The key of the memory is the vector of meaning beside one of spelling (share of the latter {WORDS}). G is the"
        " familiarity of one coding field of 24 x 256 units over 2,048 bits of the key, without a gate: it masks, as"
        " each unit answers for many items. *Belief* asks whether the winners agree on one item; in fixed time it"
        " compares the cue only with the items that a bounded list names for some three winners.",
        "The corpus itself has near duplicates, such as prompts of one pattern: the second table leaves out unseen"
        f" sentences that share {LIKE:.0%} or more of their words (Jaccard) with one of the {sizes[-1]:,} stored.",
    ]


# --- texts


def _texts(setting: Setting) -> _Texts:
    if setting.quick or setting.data is None:
        rng = np.random.default_rng(0)
        words = [f"w{number}" for number in range(500)]
        made = [" ".join(rng.choice(words, size=10)) for _ in range(max(_QUICK_SIZES) + _QUICK_ASKED)]
        embedder: Embedder = resolve_embedder("hashing")
        vectors = embedder.embed(made)
        if not setting.quick:
            setting.progress("near duplicates: made-up texts only, for want of data", 0, 1)
        return _parted(made, vectors, max(_QUICK_SIZES), embedder)
    embedder = resolve_embedder("minilm-int8")
    chosen = sentences(setting.data)[CHOSEN_ON : CHOSEN_ON + max(SIZES) + ASKED]
    held = None if setting.cache is None else setting.cache / "near_duplicates.npy"
    if held is not None and held.exists():
        vectors = np.load(held)
    else:
        vectors = embed_texts(chosen, embedder, setting.progress)
        if held is not None:
            held.parent.mkdir(parents=True, exist_ok=True)
            _save(held, vectors)
    return _parted(chosen, vectors, max(SIZES), embedder)


def _save(path: Path, vectors: Vectors) -> None:
    partial_file = path.with_name(f"{path.stem}.partial.npy")
    np.save(partial_file, vectors)
    partial_file.replace(path)


def _parted(texts: Sequence[str], vectors: Vectors, stored: int, embedder: Embedder) -> _Texts:
    return _Texts(texts[:stored], texts[stored:], vectors[:stored], vectors[stored:], embedder)


def _shortened(text: str, rng: np.random.Generator) -> str:
    """Return a text in lower case without one or two of its words."""
    words = text.split()
    gone = rng.choice(len(words), size=min(int(rng.integers(1, 3)), len(words) - 1), replace=False).tolist()
    return " ".join(word for place, word in enumerate(words) if place not in gone).lower()


# --- one seed


def _measured(texts: _Texts, sizes: Sequence[int], asked: int, seed: int) -> dict[int, dict[str, Any]]:
    """Return per number stored: AUC of each signal, of all unseen texts and of those unlike all stored ones; times."""
    rng = np.random.default_rng(seed)
    keys = keys_of([text[:_EMBEDDED] for text in texts.stored], texts.stored_vectors)
    new_keys = keys_of([text[:_EMBEDDED] for text in texts.unseen[:asked]], texts.unseen_vectors[:asked])
    unlike = _unlike(texts.unseen[:asked], texts.stored)
    memory = BeliefMemory(BeliefSpec(dim=keys.shape[1], seed=seed))
    encoder = TopK(keys.shape[1], seed=seed)
    mac = _Mac(encoder, seed)
    bits = np.packbits(np.concatenate([encoder.encode(part) for part in _blocks(keys)]), axis=1)
    found: dict[int, dict[str, Any]] = {}
    done = 0
    for size in sizes:
        write_ms = _write(memory, keys, done, size)
        mac.learn(bits[done:size])
        done = size
        places = rng.choice(size, size=min(asked, size), replace=False)
        said = [_shortened(texts.stored[place], rng)[:_EMBEDDED] for place in places]
        meant = texts.embedder.embed(said)
        cues = np.concatenate([keys_of(said, meant), new_keys])
        meanings = np.concatenate([meant, texts.unseen_vectors[:asked]])
        coded = np.packbits(encoder.encode(cues), axis=1)
        signals = {
            "belief": np.array([memory.familiarity(cue) for cue in cues]),
            "all codes": _most_in_common(memory.encode(cues), memory.codes, _equal),
            "cosine": _best_cosine(meanings, texts.stored_vectors[:size]),
            "key": _best_cosine(cues, keys[:size]),
            "bits": _most_in_common(coded, bits[:size], _both),
            "G": mac.familiarity(coded),
        }
        right = [memory.read(cue)[:1] for cue in cues[: len(places)]]
        found[size] = {
            "auc": {name: auc(all_[: len(places)], all_[len(places) :]) for name, all_ in signals.items()},
            "auc_unlike": {
                name: auc(all_[: len(places)], all_[len(places) :][unlike]) for name, all_ in signals.items()
            },
            "right": float(np.mean([bool(r) and r[0].value == p for r, p in zip(right, places.tolist(), strict=True)])),
            "write_ms": write_ms,
            "read_ms": _time(partial(_read_all, memory, cues[:_TIMED])) / min(_TIMED, len(cues)),
            "all_ms": _time(partial(_best_cosine, meanings[:1], texts.stored_vectors[:size])),
            "unlike": float(unlike.mean()),
        }
    return found


def _write(memory: BeliefMemory, keys: Vectors, start: int, stop: int) -> float:
    """Write keys ``start`` to ``stop``, and return the ms of CPU time that one of the last of them took."""
    timed = max(start, stop - _ROUNDS * _TIMED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CapacityWarning)
        for number in range(start, timed):
            memory.write(keys[number], number)
        spent = []
        for first in range(timed, stop, _TIMED):
            began = time.process_time()
            last = min(first + _TIMED, stop)
            for number in range(first, last):
                memory.write(keys[number], number)
            spent.append((time.process_time() - began) / (last - first) * 1e3)
    return float(np.median(spent))


def _read_all(memory: BeliefMemory, cues: Vectors) -> None:
    for cue in cues:
        memory.familiarity(cue)


def _time(work: Any) -> float:
    """Return the median CPU time of several runs in ms."""
    spent = []
    for _ in range(_ROUNDS):
        began = time.process_time()
        work()
        spent.append((time.process_time() - began) * 1e3)
    return float(np.median(spent))


def _flat(found: dict[int, dict[str, Any]], verb: str) -> float:
    sizes = sorted(found)
    return float(found[sizes[-1]][verb] / max(found[sizes[0]][verb], 1e-9))


# --- the other signals, over all that is stored


class _Mac:
    """One coding field with uniform choice of winners, no gate and no freezing: its G."""

    def __init__(self, encoder: TopK, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._length, self._active = encoder.length, encoder.active
        self._weights = np.zeros((encoder.length, *_MAC), dtype=np.uint8)

    def learn(self, packed: NDArray[np.uint8]) -> None:
        for row in packed:
            winners = self._rng.integers(0, _MAC[1], _MAC[0])
            self._weights[self._on(row)[:, None], np.arange(_MAC[0]), winners] = 1

    def familiarity(self, packed: NDArray[np.uint8]) -> Scores:
        sums = (self._weights[self._on(row)].sum(axis=0, dtype=np.uint16) for row in packed)
        return np.array([familiarity(each / self._active) for each in sums], dtype=np.float64)

    def _on(self, row: NDArray[np.uint8]) -> NDArray[np.intp]:
        return np.flatnonzero(np.unpackbits(row, count=self._length))


def _best_cosine(cues: Vectors, stored: Vectors) -> Scores:
    best = np.full(len(cues), -1.0)
    for part in _blocks(stored):
        best = np.maximum(best, (cues @ part.T).max(axis=1))
    return best


def _most_in_common(cues: NDArray[np.uint8], stored: NDArray[np.uint8], likeness: Any) -> Scores:
    return np.array([likeness(stored, cue).max() for cue in cues], dtype=np.float64)


def _equal(stored: NDArray[np.uint8], cue: NDArray[np.uint8]) -> NDArray[np.intp]:
    return np.asarray(np.count_nonzero(stored == cue, axis=1))


def _both(stored: NDArray[np.uint8], cue: NDArray[np.uint8]) -> NDArray[np.integer[Any]]:
    shared = np.bitwise_count(stored.view(np.uint64) & cue.view(np.uint64))
    return np.asarray(shared.sum(axis=1, dtype=np.uint16))


def _blocks(rows: NDArray[Any], size: int = 8_192) -> Iterator[NDArray[Any]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _unlike(unseen: Sequence[str], stored: Sequence[str]) -> NDArray[np.bool_]:
    """Return which unseen texts share fewer than ``LIKE`` of their words with each stored one (Jaccard)."""
    sets = [_words(text) for text in stored]
    holding: dict[str, list[int]] = {}
    for number, words in enumerate(sets):
        for word in words:
            holding.setdefault(word, []).append(number)
    lists = {word: np.array(numbers) for word, numbers in holding.items()}
    sizes = np.array([len(words) for words in sets])
    found = []
    for words in map(_words, unseen):
        shared = np.zeros(len(sets), dtype=np.int64)
        for word in words & lists.keys():
            shared[lists[word]] += 1
        found.append(bool((shared < LIKE * (sizes + len(words) - shared)).all()))
    return np.array(found, dtype=np.bool_)


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.lower()))


def auc(known: Scores, new: Scores) -> float:
    """Return the chance that one of ``known`` is above one of ``new``, equal ones counting half.

    >>> auc(np.array([3.0, 2.0]), np.array([1.0, 2.0]))
    0.875
    """
    ordered = np.sort(new)
    below = np.searchsorted(ordered, known, side="left") + np.searchsorted(ordered, known, side="right")
    return float(below.mean() / 2 / len(new))


# --- telling


def _mean(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the means of what several seeds found, key by key, to four digits."""
    return {
        name: _mean([each[name] for each in found])
        if isinstance(value, dict)
        else round(float(np.mean([each[name] for each in found])), 4)
        for name, value in found[0].items()
    }


def _tables(figures: dict[str, dict[str, Any]]) -> list[Table]:
    head = ("stored", *_METHODS.values())
    captions = {"auc": "AUC, all unseen sentences", "auc_unlike": "AUC, without unseen ones that are near duplicates"}
    tables = [
        Table(head, [(f"{int(n):,}", *(f"{f[kind][key]:.3f}" for key in _METHODS)) for n, f in figures.items()], said)
        for kind, said in captions.items()
    ]
    times = [
        (f"{int(n):,}", f"{f['right']:.3f}", *(f"{f[key]:.2f}" for key in ("write_ms", "read_ms", "all_ms")))
        for n, f in figures.items()
    ]
    heads = ("stored", "right item first", "write, ms", "read, ms", "cosine with all, ms")
    return [*tables, Table(heads, times, "Belief in fixed time: its best item, and CPU time of one thread")]
