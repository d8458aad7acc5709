"""A tree of topics over memories: what a group has in common as its key, its most central texts as its value.

Source: the parents of MemOS, arXiv:2507.03724 and its code, in words taken from their members instead of a language
model's: the three phrases with the most TF-IDF, the three texts nearest to the centre.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from anamnos.cube import MemCube
from anamnos.evolve.consolidate.base import Topic, Wording, ids_of

Vectors = NDArray[np.float32]
Places = NDArray[np.intp]
Spans = Callable[[str], Sequence[tuple[int, int, int]]]
"""Gives (start, end, term) of each word of a text that counts."""

KEY_PHRASES = 3
VALUE_TEXTS = 3
MIN_PARTS = 4  # topics that a topic of topics needs
_MAX_TEXT_CHARS = 240
_MAX_PHRASE_CHARS = 60


def topics(cubes: Sequence[MemCube], vectors: Vectors, groups: Sequence[Places], spans: Spans) -> list[Topic]:
    """Return a topic for each group of places among ``cubes``.

    vectors  of the cubes: (n, dim) unit vectors
    """
    said = [frozenset(phrases(cube.text, spans)) for cube in cubes]
    everywhere = Counter(phrase for found in said for phrase in found)
    return [_topic([cubes[p] for p in g], [said[p] for p in g], vectors[g], everywhere, len(cubes)) for g in groups]


def _topic(
    cubes: Sequence[MemCube], said: Sequence[frozenset[str]], vectors: Vectors, everywhere: Counter[str], total: int
) -> Topic:
    key = _best(Counter(phrase for found in said for phrase in found), everywhere, total)
    central = [cubes[place] for place in _central(vectors)]
    lines = list(dict.fromkeys(_short(cube.text) for cube in central))[:VALUE_TEXTS]
    sources = tuple(cube.text for cube in cubes)
    return Topic(Wording(", ".join(key) or lines[0], tuple(lines), sources), key, ids_of(cubes))


def parents(parts: Sequence[Topic], vectors: Vectors, groups: Sequence[Places]) -> list[Topic]:
    """Return a topic of topics for each group, of at least four, of places among ``parts``.

    vectors  the centres of the parts: (n, dim) unit vectors
    """
    everywhere = Counter(phrase for topic in parts for phrase in topic.phrases)
    found = []
    for group in groups:
        if len(group) < MIN_PARTS:
            continue
        own = [parts[place] for place in group]
        key = _best(Counter(phrase for topic in own for phrase in topic.phrases), everywhere, len(parts), least=1)
        central = [own[place] for place in _central(vectors[group])]
        lines = list(dict.fromkeys(topic.wording.title for topic in central))[:VALUE_TEXTS]
        sources = tuple(topic.wording.text for topic in own)
        wording = Wording(", ".join(key) or lines[0], tuple(lines), sources)
        found.append(Topic(wording, key, parts=tuple(int(place) for place in group)))
    return found


def centre(vectors: Vectors) -> Vectors:
    """Return the unit vector in the middle of unit vectors (n, dim): (dim,)."""
    mean = vectors.mean(axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-9), dtype=np.float32)


def phrases(text: str, spans: Spans) -> list[str]:
    """Return the words of a text that count and the pairs of them that stand side by side, in lower case."""
    found: list[str] = []
    last_end = -2
    last = ""
    for start, end, _ in spans(text):
        word = text[start:end].casefold()
        if word.isdigit() or len(word) < 3:
            last = ""
            continue
        found.append(word)
        if last and start == last_end + 1 and text[last_end:start] == " " and word != last:
            found.append(f"{last} {word}")
        last, last_end = word, end
    return [phrase for phrase in found if len(phrase) <= _MAX_PHRASE_CHARS]


def _best(here: Counter[str], everywhere: Counter[str], total: int, *, least: int = 2) -> tuple[str, ...]:
    """Return the most telling phrases, none of them part of another: the most TF-IDF, pairs counting half as much
    again."""

    def telling(phrase: str) -> float:
        return here[phrase] * math.log((total + 1) / (everywhere[phrase] + 0.5)) * (1.5 if " " in phrase else 1.0)

    chosen: list[str] = []
    for phrase in sorted((p for p, n in here.items() if n >= least), key=lambda p: (-telling(p), p)):
        words = set(phrase.split())
        if not any(words & set(other.split()) for other in chosen):
            chosen.append(phrase)
        if len(chosen) == KEY_PHRASES:
            break
    return tuple(chosen)


def _central(vectors: Vectors) -> list[int]:
    """Return the places of vectors, the nearest to their centre first."""
    return [int(place) for place in np.argsort(-(vectors @ centre(vectors)), kind="stable")]


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _MAX_TEXT_CHARS else flat[:_MAX_TEXT_CHARS].rsplit(" ", 1)[0] + " …"
