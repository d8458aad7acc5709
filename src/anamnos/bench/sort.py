"""Book-SORT: which of two segments of a book comes first? Source: arXiv:2410.08133.

The book is remembered; each segment is searched for, and the places of the best hits are compared. Where both are in
one passage, where the segments begin in it decides, else a coin. Segments start at sentences of one excerpt, at a
distance of one of four bins. Deviation: starts are drawn uniformly, without the paper's test of uniformity.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from anamnos.bench.sets.files import about, read_data
from anamnos.bench.statistics import wilson
from anamnos.bench.surroundings import load_average, surroundings
from anamnos.bench.synthetic import texts
from anamnos.bench.timing import Durations, Progress, quiet, significant, timed
from anamnos.cube import Scope
from anamnos.embed.base import Embedder
from anamnos.errors import InvalidInput
from anamnos.memory import Memory

EXCERPTS = (250, 1_000, 2_500, 10_000, 20_000)
SEGMENTS = (20, 50)
_TRIES = 100
_FIRST_WORDS = 5  # of a segment, looked for in the passage found
_SENTENCE_END = re.compile(r"""[.!?]["'”’)\]]*\Z""")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two segments in the order in which they are shown; ``first_is_earlier`` is the right answer."""

    shown: tuple[str, str]
    first_is_earlier: bool
    excerpt: int
    segment: int
    bin: int


def sentence_starts(words: Sequence[str]) -> list[int]:
    """Return the places of the words that begin a sentence.

    >>> sentence_starts("One two. Three! Four".split())
    [0, 2, 3]
    """
    return [0, *(n + 1 for n, word in enumerate(words[:-1]) if _SENTENCE_END.search(word))]


def bins(excerpt: int, segment: int) -> list[tuple[float, float]]:
    """Return the four ranges (above, up to) of distances in words.

    >>> bins(1_000, 20)
    [(20, 250.0), (250.0, 333.3333333333333), (333.3333333333333, 500.0), (500.0, 1250.0)]
    """
    long = excerpt > 10_000
    inner = [1_000.0, excerpt / 4, excerpt / 2] if long else [excerpt / 4, excerpt / 3, excerpt / 2]
    edges = [segment, *inner, excerpt / 0.8]
    return list(pairwise(edges))


def draw(words: Sequence[str], excerpt: int, segment: int, count: int, rng: np.random.Generator) -> list[Pair]:
    """Return ``count`` pairs a bin from excerpts of a text; fewer where a bin has none. Half of them are turned."""
    starts = np.array(sentence_starts(words))
    firsts = starts[starts + excerpt <= len(words)]
    pairs: list[Pair] = []
    if not len(firsts):
        return pairs
    for number, (above, upto) in enumerate(bins(excerpt, segment)):
        for _ in range(count):
            for _try in range(_TRIES):
                start = int(rng.choice(firsts))
                inside = starts[(starts >= start) & (starts + segment <= start + excerpt)]
                one = int(rng.choice(inside)) if len(inside) else start
                others = inside[(inside - one > above) & (inside - one <= upto)]
                if not len(others):
                    continue
                two = int(rng.choice(others))
                cut = [" ".join(words[at : at + segment]) for at in (one, two)]
                earlier = len(pairs) % 2 == 0
                shown = (cut[0], cut[1]) if earlier else (cut[1], cut[0])
                pairs.append(Pair(shown, earlier, excerpt, segment, number))
                break
    return pairs


def run_sort(
    data: Path | None,
    embedder: Embedder,
    *,
    pairs: int = 20,
    excerpts: Sequence[int] = EXCERPTS,
    segments: Sequence[int] = SEGMENTS,
    dropout: float = 0.0,
    recipe: str | None = None,
    limit: int | None = None,
    seed: int = 100,
    progress: Progress = quiet,
) -> dict[str, Any]:
    """Return the JSON of the benchmark: accuracy per excerpt, segment and bin of distance, with 95 % intervals.

    data     a book as plain text, a folder of them, or None for a made-up one of 4,000 sentences
    pairs    per bin, excerpt length and segment length of each book; the paper draws 110
    dropout  share of the segments' words that are left out of the cue: order from paraphrase, not from quotes
    limit    only the first so many books
    """
    if not 0 <= dropout < 1:
        raise InvalidInput(f"dropout must be at least 0 and below 1, got {dropout}.")
    start, around = time.perf_counter(), surroundings()
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory(prefix="anamnos-bench-") as name:
        folder = Path(name)
        books = _books(data, folder, seed)[:limit]
        with Memory(folder / "vault", embedder=embedder, recipe=recipe) as memory:
            rows, durations, taken_s = _ask_books(memory, books, (pairs, excerpts, segments, dropout), rng, progress)
            memories, used = memory.stats()["memories"], memory.settings.recipe
        described = {"name": "made up", "sha256": ""} if data is None else about(*books)
    if not rows:
        raise InvalidInput("No book is as long as the shortest excerpt.", hint="Ask for shorter excerpts.")
    result: dict[str, Any] = {
        "benchmark": "sort",
        "part": "made-up" if data is None else "",
        **around,
        "data": {**described, "books": len(books), "documents": memories, "pairs": len(rows)},
        "embedder": {"id": embedder.id, "dim": embedder.dim},
        "recipe": used,
        "dropout": dropout,
        "seed": seed,
        "all": _accuracy(rows),
        "bins": _table(rows),
        "first_share": significant(float(np.mean([row["said_first"] for row in rows]))),
        "coins": sum(row["coin"] for row in rows),
        "ingest": {"documents_per_s": significant(memories / taken_s)},
        "search": {"n": len(durations.seconds), "top_k": 1, **durations.summary()},
    }
    result["machine"]["load_average_at_end"] = load_average()
    result["seconds"] = round(time.perf_counter() - start, 1)
    return result


def _books(data: Path | None, folder: Path, seed: int) -> list[Path]:
    if data is None:
        path = folder / "made-up.txt"
        made = texts(2_000, seed)
        path.write_text("\n\n".join(" ".join(made[n : n + 4]) for n in range(0, len(made), 4)), "utf-8")
        return [path]
    found = sorted(data.glob("*.txt")) if data.is_dir() else [data]
    if not found or not all(path.is_file() for path in found):
        raise InvalidInput(f"There is no book in {data}.", hint="Name a plain text or a folder of them.")
    return found


def _ask_books(
    memory: Memory,
    books: Sequence[Path],
    drawn: tuple[int, Sequence[int], Sequence[int], float],
    rng: np.random.Generator,
    progress: Progress,
) -> tuple[list[dict[str, Any]], Durations, float]:
    """Return a row per pair, how long searches took, and how long remembering did."""
    count, excerpts, segments, dropout = drawn
    rows: list[dict[str, Any]] = []
    durations, taken_s = Durations(), 0.0
    for book in books:
        scope = Scope(user=book.stem)
        taken_s += timed(lambda b=book, s=scope: memory.ingest(b, s, reader="text"))[1]  # type: ignore[misc]
        order: dict[str, int] = {cube.id: place for place, cube in enumerate(memory.list(scope, limit=None))}
        words = read_data(book).split()
        pairs = [pair for e in excerpts for s in segments for pair in draw(words, e, s, count, rng)]
        for done, pair in enumerate(pairs, start=1):
            progress(book.stem, done, len(pairs))
            places = [_place(memory, scope, order, _cue(text, dropout, rng), text, durations) for text in pair.shown]
            coin = places[0] == places[1]
            said_first = bool(rng.random() < 0.5) if coin else places[0] < places[1]
            right = said_first == pair.first_is_earlier
            rows.append(
                {
                    "excerpt": pair.excerpt,
                    "segment": pair.segment,
                    "bin": pair.bin,
                    "right": right,
                    "said_first": said_first,
                    "coin": coin,
                }
            )
    return rows, durations, taken_s


def _cue(text: str, dropout: float, rng: np.random.Generator) -> str:
    words = text.split()
    kept = [word for word, draw in zip(words, rng.random(len(words)), strict=True) if draw >= dropout]
    return " ".join(kept or words)


def _place(
    memory: Memory, scope: Scope, order: Mapping[str, int], cue: str, text: str, durations: Durations
) -> tuple[int, int]:
    """Return where the best hit stands in the book, and where in it the segment begins; -1 if before it."""
    hit = durations.time(lambda: memory.search(cue, scope, top_k=1))[0]
    found = " ".join(hit.cube.text.split())
    return order[hit.cube.id], found.find(" ".join(text.split()[:_FIRST_WORDS]))


def _accuracy(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    right = Counter(bool(row["right"]) for row in rows)[True]
    low, high = wilson(right, len(rows))
    return {"n": len(rows), "accuracy": round(right / len(rows), 4), "interval": [round(low, 4), round(high, 4)]}


def _table(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    keys = sorted({(row["excerpt"], row["segment"], row["bin"]) for row in rows})
    table = []
    for excerpt, segment, number in keys:
        members = [row for row in rows if (row["excerpt"], row["segment"], row["bin"]) == (excerpt, segment, number)]
        above, upto = bins(excerpt, segment)[number]
        where = {"excerpt": excerpt, "segment": segment, "above": round(above), "upto": round(min(upto, excerpt))}
        table.append({**where, **_accuracy(members)})
    return table
