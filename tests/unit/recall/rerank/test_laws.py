"""The laws of ``rerank.base`` on every reranker."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anamnos import Scope
from anamnos.cube import MemCube, Provenance, Times
from anamnos.index.terms import TermReader
from anamnos.recall.rerank import Mmr, NewestFirst, Reranker, rerankers
from anamnos.testing import FakeEmbedder, seeded_ids
from anamnos.types import ChannelScore, Hit

START = datetime(2024, 1, 1, tzinfo=UTC)
SENTENCES = ["I live in Lyon.", "I moved to Oslo.", "I'm living in Rome now.", "The boat is blue.", "My job is dull."]
SENTENCES += ["My favourite tea is green.", "My favourite tea is black.", "The weather was fine."]
RERANKERS: list[Reranker] = [Mmr(0.3), Mmr(0.7, depth=3), Mmr(1.0), NewestFirst(TermReader())]
_new_id = seeded_ids(3)


def hits_of(drawn: list[tuple[str, int]]) -> list[Hit]:
    hits = []
    for place, (text, day) in enumerate(drawn):
        time = Times(created_at=START + timedelta(days=day) if day else None)
        cube = MemCube(_new_id(START), text, Scope(user="ann"), provenance=Provenance(actor="Ann"), time=time)
        score = 3.0 - place / 7
        hits.append(Hit(cube, 0.5, score, {"keyword": ChannelScore(1.0, score)}, "says “tea”"))
    return hits


def vectors_of(hits: list[Hit]) -> np.ndarray:
    return FakeEmbedder(16).embed([hit.cube.text for hit in hits])


@pytest.mark.parametrize("number", range(len(RERANKERS)))
def test_the_same_hits_come_back_in_an_order_that_explains_itself(number: int) -> None:
    reranker = RERANKERS[number]

    @settings(deadline=None)
    @given(
        st.lists(st.tuples(st.sampled_from(SENTENCES), st.integers(0, 5)), max_size=8),
        st.sampled_from(["Where does Ann live now?", "What is Ann's favourite tea?", "my favourite tea", "?"]),
    )
    def check(drawn: list[tuple[str, int]], query: str) -> None:
        hits = hits_of(drawn)
        out = reranker.rerank(query, hits, vectors_of)
        assert out == reranker.rerank(query, hits, vectors_of)
        assert sorted(hit.id for hit in out) == sorted(hit.id for hit in hits)
        assert [hit.rank_score for hit in out] == [hit.rank_score for hit in hits]
        place = {hit.id: n for n, hit in enumerate(hits)}
        for n, hit in enumerate(out):
            before = hits[place[hit.id]]
            assert (hit.cube, hit.similarity) == (before.cube, before.similarity)
            assert sum(seen.share for seen in hit.channels.values()) == pytest.approx(hit.rank_score)
            assert (reranker.name in hit.channels) == (place[hit.id] != n)
            assert hit.reason.endswith(before.reason)
            assert (hit.reason != before.reason) == (n < place[hit.id])

    check()


def test_the_newest_first_is_the_default_and_a_cross_encoder_must_be_named() -> None:
    reader = TermReader()
    assert [step.name for step in rerankers("", reader)] == ["newest"]
    assert [step.name for step in rerankers(str(Path("some folder")), reader)] == ["cross-encoder", "newest"]
