"""Maximal marginal relevance against a case worked by hand."""

from pathlib import Path

import numpy as np
import pytest

from anamnos import Memory, Scope
from anamnos.errors import ConfigError
from anamnos.recall.rerank import Mmr
from anamnos.testing import FakeClock, FakeEmbedder

from .test_laws import hits_of

ANN = Scope(user="ann")
VECTORS = np.array([[1, 0], [1, 0], [0, 1], [0.6, 0.8]], dtype=np.float32)


def order(mmr: Mmr, scores: list[float]) -> list[int]:
    hits = hits_of([(f"number {n}", 1) for n in range(len(scores))])
    hits = [type(hit)(hit.cube, hit.similarity, score) for hit, score in zip(hits, scores, strict=True)]
    place = {hit.id: n for n, hit in enumerate(hits)}
    return [place[hit.id] for hit in mmr.rerank("?", hits, lambda some: VECTORS[: len(some)])]


def test_a_case_worked_by_hand() -> None:
    """Scaled scores 1, .9, .5, 0; at .5: 0 first; then .45 - .5 for 1, .25 - 0 for 2, 0 - .3 for 3: 2 is next;
    then .45 - .5 for 1 and 0 - .4 for 3."""
    assert order(Mmr(0.5), [10, 9, 5, 0]) == [0, 2, 1, 3]
    assert order(Mmr(1.0), [10, 9, 5, 0]) == [0, 1, 2, 3]
    assert order(Mmr(0.0), [10, 9, 5, 0]) == [0, 2, 3, 1]
    assert order(Mmr(0.5, depth=2), [10, 9, 5, 0]) == [0, 1, 2, 3]
    assert order(Mmr(0.5), [1, 1, 1, 1]) == [0, 2, 3, 1]
    assert order(Mmr(0.5), []) == []


def test_settings_that_make_no_sense_are_refused() -> None:
    for bad in ({"relevance": -0.1}, {"relevance": 1.1}, {"depth": 0}):
        with pytest.raises(ConfigError):
            Mmr(**bad)


def test_a_search_may_be_told_to_bring_less_of_the_same(tmp_path: Path) -> None:
    with Memory(tmp_path / "v", embedder=FakeEmbedder(64), clock=FakeClock()) as memory:
        for n in range(5):
            memory.add(f"The boat on the river is blue, I said {n} times.", ANN)
        memory.add("A boat costs much.", ANN)
        plain = [hit.content for hit in memory.search("the blue boat on the river", ANN, top_k=2)]
        varied = memory.search("the blue boat on the river", ANN, top_k=2, rerank=[Mmr(0.3)])
        assert "costs" not in "".join(map(str, plain))
        assert varied[0].content == plain[0]
        assert varied[1].content == "A boat costs much."
        assert varied[1].reason.startswith("unlike those before it")
        assert len(memory.search("boat", ANN, top_k=3, rerank=[Mmr(0.5, depth=50)])) == 3
