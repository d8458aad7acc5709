"""The read path: exact top-k, filters, similarity, reasons, neighbours, fusion and packing."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anamnos import Memory, Scope, where
from anamnos.cube import MemCube, Role
from anamnos.llm.base import estimate_tokens
from anamnos.recall.fusion import best
from anamnos.recipes import RECIPES
from anamnos.testing import FakeClock, FakeEmbedder, seeded_ids
from anamnos.types import And, Comparison, Field, Filter, Not, Or, Where, matches

ANN = Scope(user="ann")
MONDAY, TUESDAY = Scope(user="ann", session="monday"), Scope(user="ann", session="tuesday")
START = datetime(2024, 3, 1, 9, tzinfo=UTC)
THINGS = ["pears", "a boat", "the river", "rain", "bread", "the old mill", "a red bicycle", "winter"]


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory(tmp_path / "vault", embedder=FakeEmbedder(64), clock=FakeClock(), new_id=seeded_ids(1)) as memory:
        yield memory


def talk(memory: Memory, scope: Scope, count: int, seed: int = 1) -> list[str]:
    """Add a conversation of Ann and Bob, one message a minute."""
    rng = np.random.default_rng(seed)
    messages = [
        {
            "role": "user",
            "name": ("Ann", "Bob")[n % 2],
            "content": f"{n}. I saw {' and '.join(rng.choice(THINGS, size=int(rng.integers(1, 4)), replace=False))}",
            "at": START + timedelta(minutes=n),
        }
        for n in range(count)
    ]
    return list(memory.add(messages, scope).ids)


# --- top-k, order, similarity


@pytest.mark.parametrize("top_k", [1, 2, 9, 10, 59, 60, 61, 10_000])
def test_a_search_gives_exactly_top_k_if_there_are_so_many(memory: Memory, top_k: int) -> None:
    talk(memory, MONDAY, 40)
    talk(memory, TUESDAY, 20, seed=2)
    hits = memory.search("who saw the river?", ANN, top_k=top_k)
    assert len(hits) == min(top_k, 60)
    assert len({hit.id for hit in hits}) == len(hits)
    assert [h.rank_score for h in hits] == sorted((h.rank_score for h in hits), reverse=True)


def test_a_short_search_is_the_beginning_of_a_long_one(memory: Memory) -> None:
    talk(memory, MONDAY, 50)
    everything = [hit.id for hit in memory.search("Bob's boat on the river", ANN, top_k=50)]
    for top_k in (1, 3, 10, 49):
        assert [hit.id for hit in memory.search("Bob's boat on the river", ANN, top_k=top_k)] == everything[:top_k]


def test_similarity_is_the_cosine_clipped_to_the_unit_interval(memory: Memory) -> None:
    talk(memory, MONDAY, 40)
    (query,) = FakeEmbedder(64).embed(["where is the red bicycle"])
    hits = memory.search("where is the red bicycle", ANN, top_k=40)
    for hit in hits:
        (vector,) = FakeEmbedder(64).embed([f"{hit.cube.provenance.actor}: {hit.cube.text}"])
        assert 0.0 <= hit.similarity <= 1.0
        assert hit.similarity == pytest.approx(max(0.0, float(query @ vector)), abs=5e-4)  # kept as float16
    assert any(hit.similarity == 0 for hit in hits), "some cosines are below 0"


def test_a_vector_that_is_given_is_used(memory: Memory) -> None:
    talk(memory, MONDAY, 10)
    (vector,) = FakeEmbedder(64).embed(["the old mill"])
    assert [h.to_dict() for h in memory.search("the old mill", ANN)] == [
        h.to_dict() for h in memory.search("the old mill", ANN, vector=vector)
    ]
    calls = memory.embedder.calls  # type: ignore[attr-defined]
    memory.search("the old mill", ANN, vector=vector)
    assert memory.embedder.calls == calls  # type: ignore[attr-defined]


def test_a_hit_says_where_it_came_from_and_why(memory: Memory) -> None:
    memory.add(
        [
            {"role": "user", "name": "Ann", "content": "The boat is moored at the mill.", "id": "m1", "at": START},
            {"role": "user", "name": "Bob", "content": "Thank you.", "id": "m2", "at": START},
        ],
        MONDAY,
        source="chat.json",
    )
    first, second = memory.search("Where did Ann moor the boat?", ANN, top_k=2)
    assert first.cube.provenance.source == "chat.json"
    assert first.cube.provenance.message_ids == ("m1",)
    assert "boat" in first.reason
    assert "said by Ann" in first.reason
    assert set(first.channels) == {part.channel.name for part in RECIPES["zsum-v2"].channels}  # no words' vectors
    assert first.rank_score == pytest.approx(sum(score.share for score in first.channels.values()), abs=1e-5)
    assert second.reason
    assert first.to_dict()["provenance"]["source"] == "chat.json"


def test_names_that_nobody_here_has_are_words_like_others(memory: Memory) -> None:
    memory.add({"role": "user", "name": "Eve", "content": "Carl has a boat."}, MONDAY)
    memory.add({"role": "user", "name": "Carl", "content": "nothing to say"}, TUESDAY)
    memory.add({"role": "user", "name": "Eve", "content": "It rains."}, MONDAY)
    hit, _ = memory.search("Carl's boat", MONDAY)
    assert hit.channels["speaker"].raw == 0
    assert "“carl”" in hit.reason


def test_an_empty_scope_finds_nothing(memory: Memory) -> None:
    assert memory.search("anything", ANN) == []
    talk(memory, MONDAY, 3)
    assert memory.search("anything", Scope(user="bob")) == []
    assert memory.search("anything", Scope(tenant="other", user="ann")) == []
    assert memory.search("anything", Scope(user="ann", session="sunday")) == []
    assert memory.search("anything", Scope(user="ann", agent="tutor")) == []
    assert memory.answer_context("anything", Scope(user="bob")).text == ""


def test_a_query_without_any_word_still_finds_by_meaning(memory: Memory) -> None:
    talk(memory, MONDAY, 5)
    for query in ("the of and", "?!", "🙂", "Ann", "日本"):
        assert len(memory.search(query, ANN, top_k=5)) == 5


# --- filters


FILTERS: dict[str, Filter] = {
    "role": Where(Field.ROLE, Comparison.EQ, "note"),
    "roles": Where(Field.ROLE, Comparison.IN, ["note", "fact"]),
    "actor": Where(Field.ACTOR, Comparison.EQ, "Bob"),
    "tag": Where(Field.TAG, Comparison.EQ, "even"),
    "not tag": Not(Where(Field.TAG, Comparison.EQ, "even")),
    "since": Where(Field.CREATED_AT, Comparison.GE, START + timedelta(minutes=30)),
    "importance": Where(Field.IMPORTANCE, Comparison.GT, 0.6),
    "text": Where(Field.TEXT, Comparison.CONTAINS, "BICYCLE"),
    "session": Where(Field.SESSION, Comparison.EQ, "monday"),
    "both": And((Where(Field.TAG, Comparison.EQ, "even"), Where(Field.TEXT, Comparison.CONTAINS, "river"))),
    "either": Or((Where(Field.ACTOR, Comparison.EQ, "Ann"), Where(Field.ROLE, Comparison.EQ, "note"))),
    "archived too": Where(Field.STATE, Comparison.IN, ["archived", "generated"]),
    "nothing": Or(()),
    "everything": And(()),
}


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_gives_exactly_the_best_of_those_that_pass(memory: Memory, name: str) -> None:
    """Scores are those of the whole scope, so the filtered list is the long list, filtered."""
    talk(memory, MONDAY, 30)
    talk(memory, TUESDAY, 30, seed=2)
    for n in range(30):
        tags = ["even"] if n % 2 == 0 else ["odd"]
        memory.add(f"note {n} about {THINGS[n % 8]}", ANN, tags=tags, importance=n / 29)
    notes = tmp = Path(memory.vault.folder) / "doc.txt"
    notes.write_text("The bicycle is red.\n\nThe mill is old.")
    memory.ingest(notes, ANN)
    notes.write_text("The bicycle is red.")
    memory.ingest(tmp, ANN)  # the other passage is archived
    tree = FILTERS[name]
    states = Where(Field.STATE, Comparison.IN, ["archived", "generated"])
    base = states if name == "archived too" else None
    everything = memory.search("Bob and the red bicycle in winter", ANN, top_k=1_000, filter=base)
    assert len(everything) == (92 if base else 91)
    want = [(h.id, h.rank_score) for h in everything if matches(tree, h.cube)]
    for top_k in (1, 5, 1_000):
        found = memory.search("Bob and the red bicycle in winter", ANN, top_k=top_k, filter=tree)
        assert [(h.id, h.rank_score) for h in found] == want[:top_k]


def test_where_asks_for_all_at_once(memory: Memory) -> None:
    memory.add("pears", ANN, tags=["a", "b"], role="fact")
    memory.add("pears too", ANN, tags=["a"], role="fact")
    memory.add("pears as well", ANN, tags=["a", "b"])
    (hit,) = memory.search("pears", ANN, filter=where(tags=["a", "b"], role="fact"))
    assert hit.content == "pears"
    assert where() is None


# --- neighbours


def test_neighbours_are_those_right_before_and_after_in_the_session(memory: Memory) -> None:
    ids = talk(memory, MONDAY, 5)
    talk(memory, TUESDAY, 5, seed=2)
    note = memory.add("a note of its own", ANN).ids[0]
    hits = {hit.id: hit for hit in memory.search("I saw", ANN, top_k=100)}
    near = {cube_id: [cube.id for cube in memory._recaller.neighbours(hits[cube_id])] for cube_id in (*ids, note)}
    assert near[ids[0]] == [ids[1]]
    assert near[ids[2]] == [ids[1], ids[3]], "the one before comes first"
    assert near[ids[4]] == [ids[3]]
    assert near[note] == []
    memory.delete(ids[3], ANN)
    assert [cube.id for cube in memory._recaller.neighbours(hits[ids[2]])] == [ids[1], ids[4]]


# --- fusion


@given(
    st.lists(st.sampled_from([0.0, 1.0, 2.5, -3.0]), min_size=1, max_size=40),
    st.integers(1, 45),
    st.randoms(use_true_random=False),
)
def test_best_equals_a_stable_sort(scores: list[float], top_k: int, rng: Any) -> None:
    candidates = np.array([rng.random() < 0.7 for _ in scores])
    docs = [doc for doc in range(len(scores)) if candidates[doc]]
    want = sorted(docs, key=lambda doc: -scores[doc])[:top_k]
    assert best(np.array(scores, dtype=np.float32), candidates, top_k).tolist() == want


def test_scores_are_standardised_over_the_scope(memory: Memory) -> None:
    """z-sums by hand: with raw scores known per channel, the shares must be weight * (x - mean) / std."""
    talk(memory, MONDAY, 12)
    talk(memory, Scope(user="ann", session="other"), 30, seed=9)
    hits = memory.search("the old mill and the river", MONDAY, top_k=12)
    weights = {part.channel.name: part.weight for part in RECIPES["zsum-v2"].channels if part.channel.standardise}
    for name, weight in weights.items():
        raw = np.array([hit.channels[name].raw for hit in hits])
        share = np.array([hit.channels[name].share for hit in hits])
        np.testing.assert_allclose(share, weight * (raw - raw.mean()) / (raw.std() + 1e-9), atol=1e-4)


# --- packing


def lines(text: str) -> list[str]:
    return [line for line in text.split("\n") if line.startswith("[")]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 700), st.integers(1, 30))
def test_a_packed_context_is_never_above_its_budget(budget: int, top_k: int) -> None:
    memory = _talked()
    packed = memory.answer_context("who saw the boat on the river?", ANN, token_budget=budget, top_k=top_k)
    assert estimate_tokens(packed.text) == packed.tokens <= budget
    assert len(lines(packed.text)) == len(packed.citations)
    if budget >= 30:
        assert packed.text


_memories: list[Memory] = []


def _talked() -> Memory:
    """Return a memory that all examples of a test share."""
    if not _memories:
        from tempfile import mkdtemp

        memory = Memory(mkdtemp(), embedder=FakeEmbedder(64), clock=FakeClock(), new_id=seeded_ids(1))
        talk(memory, MONDAY, 40)
        talk(memory, TUESDAY, 40, seed=2)
        memory.add("The boat was sold. It is not known when.", ANN)
        _memories.append(memory)
    return _memories[0]


def test_a_packed_context_is_in_time_order_and_cited(memory: Memory) -> None:
    talk(memory, TUESDAY, 30, seed=2)
    talk(memory, MONDAY, 30)
    memory.add("A fact without a date: the boat is blue.", Scope(user="ann", session="undated"), role="fact")
    packed = memory.answer_context("who saw the boat on the river?", ANN, token_budget=600)
    cited = list(packed.citations.items())
    assert [number for number, _ in cited] == list(range(1, len(cited) + 1))
    for (number, cube), line in zip(cited, lines(packed.text), strict=True):
        speaker = f"{cube.provenance.actor}: " if cube.provenance.actor else ""
        assert line == f"[{number}] {speaker}{cube.text}"
    times = [cube.time.created_at or START.replace(year=1) for _, cube in cited]
    assert times == sorted(times)
    assert {hit.id for hit in packed.hits[:3]} <= {cube.id for _, cube in cited}, "the best hits are in it"
    assert "## Friday 01 March 2024 (monday)" in packed.text


def test_a_counter_of_tokens_may_be_given(memory: Memory) -> None:
    talk(memory, MONDAY, 20)
    packed = memory.answer_context("the boat", ANN, token_budget=40, count_tokens=lambda text: len(text.split()))
    assert packed.tokens == len(packed.text.split()) <= 40
    nothing = memory.answer_context("the boat", ANN, token_budget=1)
    assert (nothing.text, nothing.tokens, dict(nothing.citations)) == ("", 0, {})


def test_the_evidence_is_a_sentence_of_the_memories(memory: Memory) -> None:
    memory.add("I moved in May. The key is under the blue pot. Do not tell anyone.", ANN)
    memory.add("The weather was fine.", ANN)
    assert memory.answer_context("Where is the key?", ANN).evidence == "The key is under the blue pot."


def test_a_question_asked_back_is_no_evidence(memory: Memory) -> None:
    memory.add("I moved in May. The key is under the blue pot. Do not tell anyone.", ANN)
    memory.add("Where is the key?", ANN)
    assert memory.answer_context("Where is the key?", ANN).evidence == "The key is under the blue pot."


def test_tokens_are_estimated() -> None:
    assert estimate_tokens("") == 0
    assert estimate_tokens("abcd") == 1
    assert estimate_tokens("abcde") == 2
    assert estimate_tokens("日本語") == 3


def test_search_sees_changes_of_another_client(tmp_path: Path) -> None:
    new_id = seeded_ids(3)
    with (
        Memory(tmp_path / "v", embedder="hashing", new_id=new_id) as one,
        Memory(tmp_path / "v", embedder="hashing", new_id=new_id) as two,
    ):
        assert two.search("boat", ANN) == []
        first = one.add("The boat is blue.", ANN).ids[0]
        assert [h.id for h in two.search("boat", ANN)] == [first]
        two.update(first, ANN, content="The boat is green.")
        assert [h.content for h in one.search("boat", ANN)] == ["The boat is green."]
        one.rebuild_index()
        assert [h.to_dict() for h in two.search("boat", ANN)] == [h.to_dict() for h in one.search("boat", ANN)]
        two.delete(first, ANN)
        assert one.search("boat", ANN) == []


def test_a_rebuilt_index_of_another_client_is_seen_at_once(tmp_path: Path) -> None:
    """Nothing was written in between, so that only the files tell."""
    with Memory(tmp_path / "v", embedder="hashing") as one, Memory(tmp_path / "v", embedder="hashing") as two:
        one.add("The boat is blue.", ANN)
        two._index.catch_up()
        want = one.search("blue boat", ANN)[0].similarity
        one.rebuild_index()
        assert two.search("blue boat", ANN)[0].similarity == want > 0
        assert two.verify() == []


def test_lost_or_torn_index_files_heal_when_the_vault_is_opened(tmp_path: Path) -> None:
    for damage in ("lost", "torn", "state", "all"):
        with Memory(tmp_path / "v", embedder="hashing") as memory:
            memory.add(f"The boat is blue, {damage}.", ANN)
            want = [(h.id, h.similarity) for h in memory.search("blue boat", ANN)]
        vectors, state = next((tmp_path / "v").rglob("vectors.f32")), next((tmp_path / "v").rglob("state.json"))
        if damage == "lost":
            vectors.unlink()
        elif damage == "torn":
            vectors.write_bytes(vectors.read_bytes()[:1_000])
        elif damage == "state":
            state.write_text('{"format":')
        else:
            vectors.unlink()
            state.unlink()
        with Memory(tmp_path / "v", embedder="hashing") as memory:
            assert [(h.id, h.similarity) for h in memory.search("blue boat", ANN)] == want
            assert memory.verify() == []


def test_notes_written_where_a_session_was_forgotten_are_not_its_turns(tmp_path: Path) -> None:
    """The store gives the number of an emptied scope to the next one; that must not make it a session."""
    with Memory(tmp_path / "v", embedder="hashing") as memory:
        memory.add("Alone here.", Scope(user="ann", session="kept"))
        memory.add("Soon gone.", MONDAY)
        memory.search("boat", ANN)
        memory.delete_all(MONDAY)
        memory.add("The boat is blue.", ANN)
        memory.add("Unrelated things.", ANN)
        here = [h.to_dict() for h in memory.search("boat", ANN)]
        hit = memory.search("boat", ANN, top_k=1)[0]
        assert memory._recaller.neighbours(hit) == []
    with Memory(tmp_path / "v", embedder="hashing") as memory:
        assert [h.to_dict() for h in memory.search("boat", ANN)] == here


def test_roles_of_hits(memory: Memory) -> None:
    memory.add({"role": "user", "content": "a boat"}, ANN)
    memory.add("a boat again", ANN)
    roles = {hit.cube.role for hit in memory.search("boat", ANN)}
    assert roles == {Role.TURN, Role.NOTE}
    assert all(isinstance(hit.cube, MemCube) and math.isfinite(hit.rank_score) for hit in memory.search("x", ANN))
