"""BM25 by an independent library (bm25s): ``python -m anamnos.bench.peers.bm25`` in an environment that has it.

k1 = 1.2, b = 0.75, its own words and English stop words, no stemming. An index takes all turns at once.
Source: https://github.com/xhluca/bm25s, arXiv:2407.03618
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bm25s

from anamnos.bench.child import serve
from anamnos.bench.peers.protocol import Case, Request, Run, indexed_text, refuse_network, requested_embedder
from anamnos.bench.surroundings import installed
from anamnos.bench.timing import significant, timed


def answer(request: Request) -> dict[str, Any]:
    """Index each case, search, then save the indexes."""
    refuse_network()
    run = Run("bm25", request, requested_embedder(request))
    indexes, seconds = {}, 0.0
    for case in request["cases"]:
        indexes[case["id"]], took = timed(lambda c=case: _index(c))  # type: ignore[misc]
        seconds += took
    for case, query in run.queries():
        run.ranked[query["id"]] = run.searches.time(
            lambda c=case, q=query: _search(indexes[c["id"]], c, q["text"], request["top_k"])  # type: ignore[misc]
        )
    folder = Path(request["folder"]) / "bm25"
    for number, index in enumerate(indexes.values()):
        index.save(folder / str(number))
    return run.result(
        versions=installed(("bm25s", "numpy")),
        notes=["k1 1.2, b 0.75", "its English stop words, no stemming", "on the disk: the index, without the texts"],
        folder=folder,
        bulk={"per_s": significant(sum(len(case["turns"]) for case in request["cases"]) / seconds)},
    )


def _index(case: Case) -> Any:
    index = bm25s.BM25(k1=1.2, b=0.75)
    index.index(_words([indexed_text(turn) for turn in case["turns"]]), show_progress=False)
    return index


def _search(index: Any, case: Case, text: str, top_k: int) -> list[str]:
    """Return the turns that have a word of the cue, best first."""
    found, scores = index.retrieve(_words([text]), k=min(top_k, len(case["turns"])), show_progress=False)
    return [case["turns"][row]["id"] for row, score in zip(found[0], scores[0], strict=True) if score > 0]


def _words(texts: list[str]) -> Any:
    return bm25s.tokenize(texts, stopwords="en", show_progress=False)


if __name__ == "__main__":
    serve(answer)
